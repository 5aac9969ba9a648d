package coordinator

import (
	"context"

	"balsa/log/batch"
	"balsa/raft"
)

// Group is the replica that a shard is replicated by, as much of it as a shard needs.
type Group interface {
	// Propose is raft.Group's.
	Propose(kind batch.Kind, payload []byte) Proposal
	// Leadership is raft.Group's.
	Leadership() raft.Leadership
}

// Proposal is raft.Proposal's waiting side.
type Proposal interface {
	// Done is closed when the outcome is known; committed entries have been applied here by then.
	Done() <-chan struct{}
	// Wait returns the outcome: at once when Done is closed.
	Wait(ctx context.Context) error
}

// raftGroup makes a *raft.Group a Group.
type raftGroup struct{ *raft.Group }

func (g raftGroup) Propose(kind batch.Kind, payload []byte) Proposal {
	return g.Group.Propose(kind, payload)
}
