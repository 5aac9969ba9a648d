package partition

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"balsa/log"
	"balsa/raft"
)

// CleanedService is the number of the service by which a partition's leader asks other nodes how far they compacted their
// replicas; see raft.Host.Handle. Request: version, group as raft.GroupID.String. Answer: version, offset.
const CleanedService uint8 = 13

const cleanedVersion = 1

// cleanedPatience bounds the wait for an answer: the next decision asks again.
const cleanedPatience = 2 * time.Second

var errCleaned = errors.New("malformed message about compaction")

// cleanedBy asks a node up to which offset its replica is compacted.
func (m *Manager) cleanedBy(ctx context.Context, node raft.NodeID, id raft.GroupID) (log.Offset, error) {
	if !m.Host.Alive(node) { // asking would hold up the decisions about all other partitions
		return 0, fmt.Errorf("ask node %d how far %s is compacted: %w", node, id, raft.ErrUnreachable)
	}
	ctx, cancel := context.WithTimeout(ctx, cleanedPatience)
	defer cancel()
	answer, err := m.Host.Call(ctx, node, CleanedService, append([]byte{cleanedVersion}, id.String()...))
	if err != nil {
		m.Logger.Debug("a replica does not say how far it is compacted; tombstones stay", "group", id, "node", node, "err", err)
		return 0, fmt.Errorf("ask node %d how far %s is compacted: %w", node, id, err)
	}
	if len(answer) != 9 || answer[0] != cleanedVersion {
		return 0, fmt.Errorf("%w: answer of %d bytes", errCleaned, len(answer))
	}
	return log.Offset(binary.BigEndian.Uint64(answer[1:])), nil
}

// ServeCleaned answers CleanedService.
func (m *Manager) ServeCleaned(_ context.Context, _ raft.NodeID, request []byte) ([]byte, error) {
	if len(request) == 0 || request[0] != cleanedVersion {
		return nil, errCleaned
	}
	id, ok := raft.ParseGroupID(string(request[1:]))
	if !ok {
		return nil, errCleaned
	}
	cleaned, ok := m.cleanedTo(id)
	if !ok {
		return nil, fmt.Errorf("no replica of %s here", id)
	}
	return binary.BigEndian.AppendUint64([]byte{cleanedVersion}, uint64(cleaned)), nil
}
