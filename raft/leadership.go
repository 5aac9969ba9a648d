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

	mu     sync.Mutex
	groups map[*hraft.Raft]*Group
	ready  chan readyEvent
}

// readyEvent says that a leader has applied everything of the terms before its own.
type readyEvent struct {
	group *Group
	epoch log.Epoch
}

func (e *leadershipEvents) init(h *Host) {
	e.host = h
	e.observations = make(chan hraft.Observation, 4096)
	e.groups = map[*hraft.Raft]*Group{}
	e.ready = make(chan readyEvent, 64)
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

func (h *Host) unwatch(g *Group) {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	delete(h.events.groups, g.raft)
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
		case r := <-e.ready:
			l := r.group.Leadership()
			if l.Leader == e.host.node && l.Epoch == r.epoch && !l.Ready {
				l.Ready = true
				r.group.publish(l)
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
	if err := g.raft.Barrier(0).Error(); err != nil {
		return // leadership went; the next observation tells
	}
	select {
	case e.ready <- readyEvent{g, epoch}:
	case <-e.host.ctx.Done():
	}
}

func (g *Group) publish(l Leadership) {
	g.leadership.Store(&l)
	g.machine.LeadershipChanged(l)
}

const (
	// campaignStep separates the candidates for a dead leader's groups: the second stands only when the first did not win.
	campaignStep = 300 * time.Millisecond
	// coldStart is how long the preferred leader of a group listens for a leader before it stands for election.
	coldStart = 800 * time.Millisecond
)

// peerDied makes the surviving members of the dead node's groups stand for election at once, instead of after an
// election timeout of silence. It is called only on proof: the node's host refuses connections, or another process
// answers there.
func (h *Host) peerDied(dead NodeID) {
	campaigns := 0
	for _, g := range h.snapshotGroups() {
		if g.Leadership().Leader != dead {
			continue
		}
		rank := g.campaignRank(dead)
		if rank < 0 {
			continue
		}
		campaigns++
		h.running.Go(func() { g.campaignFor(dead, time.Duration(rank)*campaignStep) })
	}
	h.logger.Warn("peer process is gone", "peer", dead, "campaigns", campaigns)
}

// campaignRank is this node's turn among the survivors; turns differ from group to group, so that leaders spread.
func (g *Group) campaignRank(dead NodeID) int {
	var survivors []NodeID
	for _, v := range g.Voters() {
		if v != dead && g.host.Alive(v) {
			survivors = append(survivors, v)
		}
	}
	for i, v := range survivors {
		if v == g.host.node {
			return (i + int(g.id.hash()%uint32(len(survivors)))) % len(survivors)
		}
	}
	return -1
}

func (g *Group) campaignFor(dead NodeID, delay time.Duration) {
	select {
	case <-g.trans.ctx.Done():
		return
	case <-time.After(delay):
	}
	if l := g.Leadership(); l.Leader == dead || l.Leader == NoNode {
		g.Campaign()
	}
}

// CampaignIfLeaderless makes a replica that should lead stand for election soon, if no leader shows up: at once when it
// is the only voter or when fresh says that no replica can have a leader yet.
func (g *Group) CampaignIfLeaderless(fresh bool) {
	voters := g.Voters()
	alone := len(voters) == 1 && voters[0] == g.host.node
	if alone || (fresh && g.preferred == g.host.node) {
		g.Campaign()
		return
	}
	if g.preferred != g.host.node {
		return
	}
	g.host.running.Go(func() {
		select {
		case <-g.trans.ctx.Done():
			return
		case <-time.After(coldStart):
		}
		alive := 0
		for _, v := range voters {
			if g.host.Alive(v) {
				alive++
			}
		}
		if g.Leadership().Leader == NoNode && 2*alive > len(voters) {
			g.Campaign()
		}
	})
}
