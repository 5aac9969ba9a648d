package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Target is the membership that a group shall have.
type Target struct {
	Voters   []NodeID // the first is the preferred leader
	Learners []NodeID // members without a vote
	// Majority lets members go as soon as a majority of Voters serves; otherwise all of them must.
	Majority bool
}

func (t Target) has(n NodeID) bool {
	return slices.Contains(t.Voters, n) || slices.Contains(t.Learners, n)
}

// Reconciled says how far Reconcile came.
type Reconciled struct {
	// Done: the membership is the target, and all of it is in service and has caught up.
	Done bool
	// Waiting says for what, when there was nothing to do yet; empty after a step, or when Done.
	Waiting string
	// CatchingUp says that what it waits for is under way: a replica is being sent what it lacks.
	CatchingUp bool
}

// Reconcile takes the next step, if there is one, that brings the membership closer to target; call it on the leader until it is
// Done. Whatever happens in between, a crash of any node or another leader with another target, the next call
// starts from what is. It never removes a voter before all of target's voters have caught up, except one that lost its
// memory, and that only while all others are in service. Errors: ErrNotLeader, or why the step failed, which may
// have been taken all the same.
func (g *Group) Reconcile(ctx context.Context, target Target) (Reconciled, error) {
	l := g.Leadership()
	if l.Leader != g.host.node || !l.Ready {
		return Reconciled{}, ErrNotLeader
	}
	if len(target.Voters) == 0 {
		return Reconciled{}, errors.New("a group needs a voter")
	}
	s := nextStep(g.look(ctx, target))
	if s.kind != stepWait && s.kind != stepDone {
		g.logger.Info("membership changes", "step", s.kind.String(), "node", s.node, "epoch", l.Epoch)
	}
	switch s.kind {
	case stepDone:
		return Reconciled{Done: true}, nil
	case stepWait:
		return Reconciled{Waiting: s.why, CatchingUp: s.catchingUp}, nil
	}
	return Reconciled{}, g.take(ctx, s)
}

func (g *Group) take(ctx context.Context, s step) error {
	switch s.kind {
	case stepAdd:
		return g.addLearner(ctx, s.node)
	case stepPromote:
		return g.promote(ctx, s.node)
	case stepRemove:
		return g.remove(ctx, s.node)
	case stepAdmit:
		return g.admitLearner(ctx, s)
	case stepRebuild:
		return g.rebuild(ctx, s)
	case stepTransfer:
		return g.TransferLeadership(ctx, s.node)
	}
	return fmt.Errorf("no such step: %d", s.kind)
}

// admitLearner tells a joining replica what it must have to be a full member.
func (g *Group) admitLearner(ctx context.Context, s step) error {
	index, term, err := g.proven(ctx)
	if err != nil {
		return err
	}
	request := memberRequest(memberAdmit, g.id, s.life, uint64(index), term)
	if _, err := g.host.Call(ctx, s.node, memberService, request); err != nil {
		return fmt.Errorf("admit node %d to group %s: %w", s.node, g.id, err)
	}
	return nil
}

// rebuild has a replica start anew. That it has no vote must be committed: what it stored does not count then.
func (g *Group) rebuild(ctx context.Context, s step) error {
	if _, _, err := g.proven(ctx); err != nil {
		return err
	}
	if _, voter := g.isMember(s.node); voter {
		return fmt.Errorf("rebuild replica %d of group %s: it has a vote", s.node, g.id)
	}
	if _, err := g.host.Call(ctx, s.node, memberService, memberRequest(memberRebuild, g.id, s.life)); err != nil {
		return fmt.Errorf("rebuild replica %d of group %s: %w", s.node, g.id, err)
	}
	return nil
}

// askPatience bounds the wait for what other nodes say of their replicas.
const askPatience = 2 * time.Second

// look gathers what nextStep decides on.
func (g *Group) look(ctx context.Context, target Target) outlook {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	o := outlook{self: g.host.node, target: target, members: g.Members(), replicas: map[NodeID]replicaView{}}
	if c, ok := g.machine.(Compacted); ok {
		o.compacted = c.Compacted()
	}
	o.replicas[o.self] = replicaView{report: report{condition: full}, caughtUp: true}
	nodes := slices.Concat(target.Voters, target.Learners)
	for _, m := range o.members {
		if !slices.Contains(nodes, m.Node) {
			nodes = append(nodes, m.Node)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, n := range nodes {
		if n == o.self {
			continue
		}
		wg.Go(func() {
			v := replicaView{report: g.ask(ctx, n), caughtUp: g.CaughtUp(n)}
			mu.Lock()
			defer mu.Unlock()
			o.replicas[n] = v
		})
	}
	wg.Wait()
	return o
}
