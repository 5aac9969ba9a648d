package raft

import (
	"context"
	"errors"
	"time"

	"balsa/log"
	"balsa/log/batch"
)

// Contract skeleton; types stay, functions are replaced by the real ones.

// NodeID is a broker's id, Kafka's node.id.
type NodeID int32

// NoNode stands for "no leader known".
const NoNode NodeID = -1

// GroupID names a Raft group: a topic's UUID and a partition number. The zero GroupID is the cluster metadata.
type GroupID struct {
	Topic     [16]byte
	Partition int32
}

var (
	// ErrNotLeader means that this node does not lead the group; try another node.
	ErrNotLeader = errors.New("not the leader")
	// ErrLeadershipLost means that the proposal was in flight when leadership went: it may or may not commit.
	ErrLeadershipLost = errors.New("leadership lost")
	// ErrClosed means that the group or host is closed.
	ErrClosed = errors.New("raft group closed")
)

// Entry is one committed entry.
type Entry struct {
	Index log.Index
	Epoch log.Epoch
	Kind  batch.Kind
	// Header is the stored batch's header (partition and coordinator groups; zero for the metadata group).
	Header batch.Header
	// Payload is the internal entry's payload, the whole stored batch for data of a group opened with NeedPayload, nil
	// for other data. Valid only during Apply.
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
	// Apply takes committed entries in order, each exactly once per run (also KindNoop etc. are left out: only data and
	// our own kinds come). No clock, no randomness, no I/O.
	Apply(entries []Entry)
	// Snapshot returns the state after the last Apply: versioned, self-contained bytes.
	Snapshot() []byte
	// Restore replaces the state; nil means the empty state.
	Restore(state []byte) error
	// LeadershipChanged is called in order, from one goroutine per host; it must not block.
	LeadershipChanged(Leadership)
}

// Proposal is an entry on its way.
type Proposal struct{}

// Done is closed when the outcome is known.
func (p *Proposal) Done() <-chan struct{} { panic("skeleton") }

// Wait blocks until the entry was committed and applied here, or failed, or ctx ended (the entry may still commit).
func (p *Proposal) Wait(ctx context.Context) error { panic("skeleton") }

// Group is one replica of a Raft group.
type Group struct{}

// Propose enqueues an entry. Proposals of one caller keep their order. For KindData the payload is a whole
// batch.Batch, which is stamped in place and must not be touched until Done; other kinds take any bytes. Never blocks
// on the disk; blocks when too many proposals wait.
func (g *Group) Propose(kind batch.Kind, payload []byte) *Proposal { panic("skeleton") }

func (g *Group) ID() GroupID                                             { panic("skeleton") }
func (g *Group) Leadership() Leadership                                  { panic("skeleton") }
func (g *Group) Voters() []NodeID                                        { panic("skeleton") }
func (g *Group) TransferLeadership(ctx context.Context, to NodeID) error { panic("skeleton") }
func (g *Group) Campaign()                                               { panic("skeleton") } // stand for election now
func (g *Group) Checkpoint() error                                       { panic("skeleton") } // save state now
func (g *Group) Close() error                                            { panic("skeleton") }

// GroupConfig says how to open a replica.
type GroupConfig struct {
	ID          GroupID
	Log         *log.Log
	Checkpoint  log.Checkpoint // as log.Open returned it
	Voters      []NodeID       // the initial membership, the same on every node; used only when the log is empty
	Machine     StateMachine
	NeedPayload bool // Apply wants whole batches (coordinators), not headers only
}

// Host runs the groups of one node.
type Host struct{}

// Open starts a replica.
func (h *Host) Open(c GroupConfig) (*Group, error) { panic("skeleton") }

// Call sends a request to a service on another node (or this one) and returns its answer. Services are registered
// with Handle before Start. Safe for concurrent use.
func (h *Host) Call(ctx context.Context, to NodeID, service uint8, payload []byte) ([]byte, error) {
	panic("skeleton")
}

// Handle registers the function that answers Calls to service.
func (h *Host) Handle(service uint8, f func(ctx context.Context, from NodeID, payload []byte) ([]byte, error)) {
	panic("skeleton")
}

// Alive says whether node answered within the last few heartbeats (this node: always).
func (h *Host) Alive(node NodeID) bool { panic("skeleton") }

var _ = time.Second
