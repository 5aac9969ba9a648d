package partition

import (
	"context"
	"time"

	"balsa/raft"
	"balsa/server/share"
)

// ShareChange is a decision about a share group's records on its way.
type ShareChange struct {
	proposals []*raft.Proposal
	kept      *keptShare // nil: none was kept back
}

// Wait returns when the decision is replicated, so that it outlives this leader; NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR or
// REQUEST_TIMED_OUT when that is not known.
func (c *ShareChange) Wait(ctx context.Context) error {
	proposals := c.proposals
	if c.kept != nil {
		proposals = append(proposals, c.kept.propose())
	}
	for _, proposal := range proposals {
		if err := proposal.Wait(ctx); err != nil {
			return produceError(err)
		}
	}
	return nil
}

// keptShare is decisions of a share group's leader that nobody waits for yet. They go with the next one in one entry: acknowledgements
// that came with a fetch with what it then acquires, instead of being in its way.
type keptShare struct {
	p        *Partition
	g        *shareGroup
	change   share.Change
	timer    *time.Timer
	proposal *raft.Proposal // guarded by p.shares.mu; nil until it is proposed
}

const (
	// keptLinger is how long a decision is kept back at most.
	keptLinger = 5 * time.Millisecond
	// maxKeptRuns bounds what is kept back of a group.
	maxKeptRuns = 1000
)

// keep makes a decision part of what is proposed next. The caller holds p.shares.mu since it decided.
func (p *Partition) keep(g *shareGroup, c share.Change) *keptShare {
	if g.kept != nil {
		if both, ok := g.kept.change.Then(c); ok && len(both.Runs) <= maxKeptRuns {
			g.kept.change = both
			return g.kept
		}
		p.proposeKept(g)
	}
	k := &keptShare{p: p, g: g, change: c}
	k.timer = time.AfterFunc(keptLinger, func() { k.propose() })
	g.kept = k
	return k
}

// propose replicates the decisions, if that was not done yet.
func (k *keptShare) propose() *raft.Proposal {
	k.p.shares.mu.Lock()
	defer k.p.shares.mu.Unlock()
	if k.proposal == nil {
		k.p.proposeKept(k.g)
	}
	return k.proposal
}

// proposeKept replicates what was kept back. The caller holds p.shares.mu.
func (p *Partition) proposeKept(g *shareGroup) {
	if k := g.kept; k != nil {
		g.kept = nil
		k.timer.Stop()
		k.proposal = p.proposeShare(g, shareEntry{op: shareChanged, group: g.id, change: k.change})
	}
}

// proposeChange replicates a decision, with what was kept back. The caller holds p.shares.mu since it decided.
func (p *Partition) proposeChange(g *shareGroup, c share.Change) *raft.Proposal {
	if k := g.kept; k != nil {
		if both, ok := k.change.Then(c); ok {
			k.change = both
			p.proposeKept(g)
			return k.proposal
		}
		p.proposeKept(g)
	}
	return p.proposeShare(g, shareEntry{op: shareChanged, group: g.id, change: c})
}
