package raft

import (
	"encoding/binary"
	"fmt"

	hraft "github.com/hashicorp/raft"

	"balsa/log/batch"
)

// appendHeader is an AppendEntries request without its entries.
type appendHeader struct {
	group       GroupID
	term        uint64
	prevIndex   uint64
	prevTerm    uint64
	commitIndex uint64
	count       uint32
	// batches says that the entries are stored record batches, byte for byte, in the order of the log; otherwise (the
	// metadata group) they are encoded one by one.
	batches bool
	// reserve says that batches are to be taken although the follower's space is low, see Host.useReserve.
	reserve bool
}

const appendHeaderLen = groupIDLen + 8 + 8 + 8 + 8 + 4 + 1

func (h appendHeader) appendTo(b []byte) []byte {
	b = h.group.appendTo(b)
	b = binary.BigEndian.AppendUint64(b, h.term)
	b = binary.BigEndian.AppendUint64(b, h.prevIndex)
	b = binary.BigEndian.AppendUint64(b, h.prevTerm)
	b = binary.BigEndian.AppendUint64(b, h.commitIndex)
	b = binary.BigEndian.AppendUint32(b, h.count)
	var flags byte
	if h.batches {
		flags |= flagBatches
	}
	if h.reserve {
		flags |= flagReserve
	}
	return append(b, flags)
}

const (
	flagBatches = 1 << iota
	flagReserve
)

func (r *reader) appendHeader() appendHeader {
	h := appendHeader{
		group: r.group(), term: r.u64(), prevIndex: r.u64(), prevTerm: r.u64(), commitIndex: r.u64(), count: r.u32(),
	}
	flags := r.u8()
	h.batches, h.reserve = flags&flagBatches != 0, flags&flagReserve != 0
	return h
}

// appendEntry encodes an entry of the metadata group.
func appendEntry(b []byte, l *hraft.Log) []byte {
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	b = appendBytes(b, l.Extensions)
	return appendBytes(b, l.Data)
}

// decodeAppend turns a frame's body into a request whose entries are sub-slices of it.
func decodeAppend(from NodeID, body []byte) (GroupID, *hraft.AppendEntriesRequest, error) {
	r := &reader{b: body}
	h := r.appendHeader()
	req := &hraft.AppendEntriesRequest{
		RPCHeader: rpcHeader(from), Term: h.term, PrevLogEntry: h.prevIndex, PrevLogTerm: h.prevTerm,
		LeaderCommitIndex: h.commitIndex,
	}
	most := int64(len(r.b))
	if h.batches {
		most = min(most/batch.HeaderLen*batch.MaxGap, maxAppendEntries+batch.MaxGap)
	}
	if r.err == nil && int64(h.count) > most {
		r.err = fmt.Errorf("%w: %d entries in %d bytes", errFrame, h.count, len(r.b))
	}
	if r.err != nil {
		return h.group, nil, r.err
	}
	logs := make([]hraft.Log, h.count)
	req.Entries = make([]*hraft.Log, h.count)
	for i := range logs {
		logs[i].Index = h.prevIndex + 1 + uint64(i)
		req.Entries[i] = &logs[i]
	}
	for rest := logs; len(rest) > 0 && r.err == nil; {
		if h.batches {
			rest = rest[r.batch(rest, &h):]
		} else {
			r.entry(&rest[0])
			rest = rest[1:]
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%w: %d bytes after the last entry", errFrame, len(r.b))
	}
	return h.group, req, r.err
}

// entry takes an entry of the metadata group.
func (r *reader) entry(l *hraft.Log) {
	l.Term, l.Type = r.u64(), hraft.LogType(r.u8())
	l.Extensions, l.Data = r.bytes(), r.bytes()
}

// batch takes one stored batch of a leader's request, the next of the entries of logs, and returns how many of them
// it stands for. Its checksum is verified here: the last place before another disk takes it.
func (r *reader) batch(logs []hraft.Log, req *appendHeader) int {
	l := &logs[0]
	h, err := batch.ParseHeader(r.b)
	if err != nil {
		r.err = fmt.Errorf("%w: %w", errFrame, err)
		return 0
	}
	b := batch.Batch(r.take(int(h.Length)))
	if r.err != nil {
		return 0
	}
	if !b.CheckCRC() {
		r.err = fmt.Errorf("%w: entry %d: checksum does not match", errFrame, l.Index)
		return 0
	}
	if uint64(h.Epoch) > req.term {
		// A replicator that outlived its leader's term read what a later leader wrote.
		r.err = fmt.Errorf("%w: entry %d of term %d from a leader of term %d", errFrame, l.Index, h.Epoch, req.term)
		return 0
	}
	if h.Kind == batch.KindGap {
		return r.gap(logs, b, &h)
	}
	l.Term = uint64(h.Epoch)
	if h.Kind == batch.KindData {
		l.Type, l.Data, l.Extensions = hraft.LogCommand, b, stamped
		if req.reserve {
			l.Extensions = reserved
		}
		return 1
	}
	l.Type, l.Data, l.Extensions = unwrapInternal(b)
	return 1
}

// gap makes the entries that a gap stands for; the last one carries it.
func (r *reader) gap(logs []hraft.Log, b batch.Batch, h *batch.Header) int {
	n := int(h.Entries())
	if n > len(logs) {
		r.err = fmt.Errorf("%w: a gap of %d entries from entry %d on where %d are left", errFrame, n, logs[0].Index, len(logs))
		return 0
	}
	for i := range logs[:n] {
		logs[i] = gapEntry(logs[i].Index, uint64(h.Epoch))
	}
	logs[n-1].Data = b
	return n
}

func rpcHeader(n NodeID) hraft.RPCHeader {
	s := []byte(n.server())
	return hraft.RPCHeader{ProtocolVersion: hraft.ProtocolVersionMax, ID: s, Addr: s}
}

const appendResponseLen = 8 + 8 + 1 + 1

func encodeAppendResponse(b []byte, resp *hraft.AppendEntriesResponse) []byte {
	b = binary.BigEndian.AppendUint64(b, resp.Term)
	b = binary.BigEndian.AppendUint64(b, resp.LastLog)
	b = appendBool(b, resp.Success)
	return appendBool(b, resp.NoRetryBackoff)
}

func (r *reader) appendResponse(from NodeID) hraft.AppendEntriesResponse {
	return hraft.AppendEntriesResponse{
		RPCHeader: rpcHeader(from), Term: r.u64(), LastLog: r.u64(), Success: r.bool(), NoRetryBackoff: r.bool(),
	}
}

// vote is RequestVote and RequestPreVote, which differ in one flag, and TimeoutNow, which has only the group. The answers have
// the same form: the voter's term, and in transfer whether the vote is granted.
type vote struct {
	group     GroupID
	term      uint64
	lastIndex uint64
	lastTerm  uint64
	transfer  bool
}

func (v vote) appendTo(b []byte) []byte {
	b = v.group.appendTo(b)
	b = binary.BigEndian.AppendUint64(b, v.term)
	b = binary.BigEndian.AppendUint64(b, v.lastIndex)
	b = binary.BigEndian.AppendUint64(b, v.lastTerm)
	return appendBool(b, v.transfer)
}

func (r *reader) vote() vote {
	return vote{group: r.group(), term: r.u64(), lastIndex: r.u64(), lastTerm: r.u64(), transfer: r.bool()}
}

func encodeSnapshotRequest(b []byte, g GroupID, req *hraft.InstallSnapshotRequest) []byte {
	b = g.appendTo(b)
	b = append(b, byte(req.SnapshotVersion))
	b = binary.BigEndian.AppendUint64(b, req.Term)
	b = binary.BigEndian.AppendUint64(b, req.LastLogIndex)
	b = binary.BigEndian.AppendUint64(b, req.LastLogTerm)
	b = binary.BigEndian.AppendUint64(b, req.ConfigurationIndex)
	return appendBytes(b, req.Configuration)
}

// snapshotRequest takes a request; what is left of the reader is the snapshot itself.
func (r *reader) snapshotRequest(from NodeID) (GroupID, *hraft.InstallSnapshotRequest) {
	g := r.group()
	req := &hraft.InstallSnapshotRequest{
		RPCHeader: rpcHeader(from), SnapshotVersion: hraft.SnapshotVersion(r.u8()), Term: r.u64(),
		LastLogIndex: r.u64(), LastLogTerm: r.u64(), ConfigurationIndex: r.u64(), Configuration: r.bytes(),
	}
	req.Size = int64(len(r.b))
	return g, req
}
