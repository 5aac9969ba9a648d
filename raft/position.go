package raft

import (
	"encoding/binary"
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

// position is what a group saves as the state of its log's checkpoint, and what it ships to a follower that is behind
// the log start: where Raft stands, who is a member, and the state machine's state.
type position struct {
	index       log.Index // Raft's start index S
	term        log.Epoch // of the entry at index
	config      hraft.Configuration
	configIndex uint64
	// machineIndex is the last entry that machine covers. It may lie beyond index in a shipped position: the receiver
	// then skips entries up to it, so that their effects are not taken twice.
	machineIndex log.Index
	// baseOffset is the Kafka offset of the entry after index; used when a log is reset to this position.
	baseOffset log.Offset
	machine    []byte
}

const positionVersion = 1

var errPosition = errors.New("malformed raft position")

func (p position) encode() []byte {
	b := make([]byte, 0, 64+len(p.machine))
	b = append(b, positionVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(p.index))
	b = binary.BigEndian.AppendUint32(b, uint32(p.term))
	b = binary.BigEndian.AppendUint64(b, uint64(p.machineIndex))
	b = binary.BigEndian.AppendUint64(b, uint64(p.baseOffset))
	b = binary.BigEndian.AppendUint64(b, p.configIndex)
	b = binary.AppendUvarint(b, uint64(len(p.config.Servers)))
	for _, s := range p.config.Servers {
		b = append(b, byte(s.Suffrage))
		b = binary.AppendVarint(b, int64(parseNode(string(s.ID))))
	}
	return append(b, p.machine...)
}

func decodePosition(b []byte) (position, error) {
	const fixed = 1 + 8 + 4 + 8 + 8 + 8
	if len(b) < fixed || b[0] != positionVersion {
		return position{}, fmt.Errorf("%w: %d bytes, version %v", errPosition, len(b), b[:min(1, len(b))])
	}
	p := position{
		index:        log.Index(binary.BigEndian.Uint64(b[1:])),
		term:         log.Epoch(binary.BigEndian.Uint32(b[9:])),
		machineIndex: log.Index(binary.BigEndian.Uint64(b[13:])),
		baseOffset:   log.Offset(binary.BigEndian.Uint64(b[21:])),
		configIndex:  binary.BigEndian.Uint64(b[29:]),
	}
	b = b[fixed:]
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)) {
		return position{}, fmt.Errorf("%w: servers", errPosition)
	}
	b = b[k:]
	for range n {
		if len(b) < 2 {
			return position{}, fmt.Errorf("%w: server", errPosition)
		}
		suffrage := hraft.ServerSuffrage(b[0])
		id, k := binary.Varint(b[1:])
		if k <= 0 {
			return position{}, fmt.Errorf("%w: server id", errPosition)
		}
		b = b[1+k:]
		p.config.Servers = append(p.config.Servers, server(NodeID(id), suffrage))
	}
	p.machine = b
	return p, nil
}

func server(n NodeID, suffrage hraft.ServerSuffrage) hraft.Server {
	return hraft.Server{Suffrage: suffrage, ID: hraft.ServerID(n.server()), Address: hraft.ServerAddress(n.server())}
}

func voterConfiguration(voters []NodeID) hraft.Configuration {
	var c hraft.Configuration
	for _, v := range voters {
		c.Servers = append(c.Servers, server(v, hraft.Voter))
	}
	return c
}
