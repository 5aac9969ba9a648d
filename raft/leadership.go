package raft

import (
	"context"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

// leadershipEvents turns the library's observations of all groups into LeadershipChanged calls, in order, on one
// goroutine. It looks at a group's present state on each observation rather than at what was observed, so that
// nothing is lost when observations coincide.
type leadershipEvents struct {
	host         *Host
	observations chan hraft.Observation

	mu      sync.Mutex
	groups  map[*hraft.Raft]*Group
	learned chan learned
}

// learned is what this package finds out itself: that a leader has applied everything of the terms before its own, or that
// a replica has stopped.
type learned struct {
	group   *Group
	epoch   log.Epoch
	stopped bool
}

func (e *leadershipEvents) init(h *Host) {
	e.host = h
	e.observations = make(chan hraft.Observation, 4096)
	e.groups = map[*hraft.Raft]*Group{}
	e.learned = make(chan learned, 64)
}

// watch subscribes to a group's observations.
func (h *Host) watch(g *Group) {
	e := &h.events
	e.mu.Lock()
	e.groups[g.raft] = g
	e.mu.Unlock()
	g.raft.RegisterObserver(hraft.NewObserver(e.observations, true, func(o *hraft.Observation) bool {
		switch o.Data.(type) {
		case hraft.LeaderObservation, hraft.RaftState:
			return h.ctx.Err() == nil
		}
		return false
	}))
}

func (e *leadershipEvents) forget(g *Group) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.groups, g.raft)
}

func (e *leadershipEvents) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-e.observations:
			e.mu.Lock()
			g := e.groups[o.Raft]
			e.mu.Unlock()
			if g != nil {
				e.observe(g)
			}
		case n := <-e.learned:
			l := n.group.Leadership()
			switch {
			case n.stopped:
				n.group.publish(Leadership{Leader: NoNode, Epoch: l.Epoch})
			case l.Leader == e.host.node && l.Epoch == n.epoch && !l.Ready:
				l.Ready = true
				n.group.publish(l)
			}
		}
	}
}

func (e *leadershipEvents) observe(g *Group) {
	next := Leadership{Leader: NoNode, Epoch: log.Epoch(g.raft.CurrentTerm())}
	_, id := g.raft.LeaderWithID()
	if id != "" {
		next.Leader = parseNode(string(id))
	}
	leading := g.raft.State() == hraft.Leader
	if !leading && next.Leader == e.host.node {
		next.Leader = NoNode // on its way up or down
	}
	if leading {
		next.Leader = e.host.node
	}
	now := g.Leadership()
	if now.Leader == next.Leader && now.Epoch == next.Epoch {
		return
	}
	g.publish(next)
	if leading {
		go e.prove(g, next.Epoch)
	}
}

// prove waits until the new leader has applied all that was committed before its term.
func (e *leadershipEvents) prove(g *Group, epoch log.Epoch) {
	for g.raft.State() == hraft.Leader && g.raft.CurrentTerm() == uint64(epoch) {
		done := make(chan error, 1)
		go func() { done <- g.raft.Barrier(0).Error() }()
		select {
		case err := <-done:
			if err == nil {
				e.tell(learned{group: g, epoch: epoch})
				return
			}
		case <-g.trans.ctx.Done():
			return
		}
		// Either leadership went, and the next observation tells, or it is on its way elsewhere and may yet stay.
		select {
		case <-time.After(proveRetry):
		case <-g.trans.ctx.Done():
			return
		}
	}
}

const proveRetry = 50 * time.Millisecond

func (e *leadershipEvents) tell(n learned) {
	select {
	case e.learned <- n:
	case <-e.host.ctx.Done():
	}
}

func (g *Group) publish(l Leadership) {
	g.leadership.Store(&l)
	g.machine.LeadershipChanged(l)
}
