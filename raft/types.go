package raft

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
	"balsa/log/batch"
)

// NodeID is a broker's id, Kafka's node.id.
type NodeID int32

// NoNode stands for "no leader known".
const NoNode NodeID = -1

// server returns the node as hashicorp/raft names it: id and address are the same, the transport knows the rest, so
// that a node may change its address without a membership change.
func (n NodeID) server() string { return strconv.Itoa(int(n)) }

func parseNode(s string) NodeID {
	v, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return NoNode
	}
	return NodeID(v)
}

// GroupID names a Raft group: a topic's UUID and a partition number. The zero GroupID is the cluster metadata.
type GroupID struct {
	Topic     [16]byte
	Partition int32
}

const groupIDLen = 20

func (g GroupID) appendTo(b []byte) []byte {
	b = append(b, g.Topic[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(g.Partition))
}

func parseGroupID(b []byte) (g GroupID) {
	copy(g.Topic[:], b)
	g.Partition = int32(binary.BigEndian.Uint32(b[16:]))
	return g
}

// String is the group's directory name: the topic's UUID in hex, a dash, the partition.
func (g GroupID) String() string {
	return hex.EncodeToString(g.Topic[:]) + "-" + strconv.Itoa(int(g.Partition))
}

// ParseGroupID is the inverse of String.
func ParseGroupID(s string) (g GroupID, ok bool) {
	topic, partition, found := strings.Cut(s, "-")
	if !found || len(topic) != 2*len(g.Topic) {
		return GroupID{}, false
	}
	if _, err := hex.Decode(g.Topic[:], []byte(topic)); err != nil {
		return GroupID{}, false
	}
	n, err := strconv.ParseInt(partition, 10, 32)
	if err != nil || n < 0 {
		return GroupID{}, false
	}
	g.Partition = int32(n)
	return g, true
}

// hash spreads groups over connections and over campaign order. It is FNV-1a, but that the partition goes in as a whole.
func (g GroupID) hash() uint32 {
	const offsetBasis, prime = 2166136261, 16777619
	h := uint32(offsetBasis)
	for _, b := range g.Topic {
		h = (h ^ uint32(b)) * prime
	}
	return (h ^ uint32(g.Partition)) * prime
}

var (
	// ErrNotLeader means that this node does not lead the group, and that the entry was certainly not written.
	ErrNotLeader = errors.New("not the leader")
	// ErrLeadershipLost means that the entry was in flight when leadership went: it may or may not commit.
	ErrLeadershipLost = errors.New("leadership lost")
	// ErrClosed means that the group or host is closed. An entry in flight may or may not commit.
	ErrClosed = errors.New("raft group closed")
	// ErrUnknownGroup means that the node asked has no replica of the group.
	ErrUnknownGroup = errors.New("unknown raft group")
	// ErrLostLog means that this node took part in the group before, and that its log is gone. A replica that forgot what it
	// acknowledged must not vote again: with its vote, records that were acknowledged could be lost.
	ErrLostLog = errors.New("the log of a replica that took part before is missing")
	// ErrUnreachable means that there is no connection to the node.
	ErrUnreachable = errors.New("node unreachable")
)

// Entry is one committed entry.
type Entry struct {
	Index log.Index
	Epoch log.Epoch
	Kind  batch.Kind
	// Header is the stored batch's header. Zero for the metadata group, whose entries are not batches.
	Header batch.Header
	// Payload is an internal entry's payload; the whole stored batch for a control batch, and for data of a group opened
	// with NeedPayload; the command for the metadata group; nil for other data. It is valid only during Apply.
	Payload []byte
}

// Leadership is what a replica knows about its group's leader.
type Leadership struct {
	Leader NodeID    // NoNode when unknown
	Epoch  log.Epoch // the Raft term
	// Ready is true on the leader once everything committed before its term has been applied here: only then may it
	// serve reads or decide anything.
	Ready bool
}

// StateMachine is what a group replicates for. Apply, Snapshot and Restore are never called concurrently.
type StateMachine interface {
	// Apply takes committed entries in order, each exactly once since the restored state. Only data and our own
	// kinds come; Raft's entries are left out. A gap, which stands for entries that compaction removed on the leader before
	// they came here, may come more than once. No clock, no randomness, no I/O.
	Apply(entries []Entry)
	// Snapshot returns the state after the last Apply as versioned, self-contained bytes.
	Snapshot() []byte
	// Restore replaces the state; nil means the empty state.
	Restore(state []byte) error
	// LeadershipChanged is called in order, from one goroutine per host; it must not block.
	LeadershipChanged(Leadership)
}

// Reindexer is a StateMachine that keeps an index of its log beside its state. A follower that fell behind the log start
// gets the leader's state and then the log from its start; the entries that the state covers go to Reindex instead of
// Apply, in order, and only they: their effect on the state was taken.
type Reindexer interface {
	Reindex(entries []Entry)
}

// Compacted is a StateMachine of a group whose log may lose entries that a replica with an older copy of the log needs: those that
// revoke others, once all members have done without the others. A replica that is no member is not asked, so one that comes back to
// such a group begins with nothing.
type Compacted interface {
	// Compacted says, on the leader, whether anything may have gone so far.
	Compacted() bool
}

// mapError turns the library's errors into ours.
func mapError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress),
		errors.Is(err, hraft.ErrEnqueueTimeout):
		return ErrNotLeader
	case errors.Is(err, hraft.ErrLeadershipLost):
		return ErrLeadershipLost
	case errors.Is(err, hraft.ErrRaftShutdown):
		return ErrClosed
	}
	return fmt.Errorf("raft: %w", err)
}
