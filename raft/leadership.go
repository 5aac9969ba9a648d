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
	if err := g.raft.Barrier(0).Error(); err != nil {
		return // leadership went; the next observation tells
	}
	e.tell(learned{group: g, epoch: epoch})
}

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

const (
	// campaignStep separates the candidates for a dead leader's groups: the second stands only when the first did not win.
	campaignStep = 300 * time.Millisecond
	// coldStart is how long the preferred leader of a group listens for a leader before it stands for election. A leader
	// makes itself known by a heartbeat within a heartbeat timeout of being connected.
	coldStart    = 2 * time.Second
	campaignPoll = 20 * time.Millisecond
	// campaignGiveUp ends the watch: by then the library's own timeouts are at work.
	campaignGiveUp = 30 * time.Second
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

// CampaignIfLeaderless makes a replica that should lead stand for election, if no leader shows up: at once when it is the
// only voter; else, on the preferred leader, once a majority is connected. fresh says that the replica is new, so that
// there can hardly be a leader; otherwise one is given coldStart to make itself known, because a needless
// election would depose it.
func (g *Group) CampaignIfLeaderless(fresh bool) {
	voters := g.Voters()
	if len(voters) == 1 && voters[0] == g.host.node {
		g.Campaign()
		return
	}
	if g.preferred != g.host.node {
		return
	}
	patience := coldStart
	if fresh {
		patience = 0
	}
	if g.majorityAlive(voters) && patience == 0 {
		g.Campaign()
		return
	}
	g.host.running.Go(func() { g.campaignAfter(patience, voters) })
}

// campaignAfter stands for election when a majority has been connected for patience and none of it was heard to lead.
func (g *Group) campaignAfter(patience time.Duration, voters []NodeID) {
	ticker := time.NewTicker(campaignPoll)
	defer ticker.Stop()
	var since time.Time // when a majority was first seen
	for deadline := time.Now().Add(campaignGiveUp); time.Now().Before(deadline); {
		select {
		case <-g.trans.ctx.Done():
			return
		case now := <-ticker.C:
			switch {
			case g.Leadership().Leader != NoNode:
				return
			case !g.majorityAlive(voters):
				since = time.Time{}
			default:
				if since.IsZero() {
					since = now
				}
				if now.Sub(since) >= patience {
					g.Campaign()
					return
				}
			}
		}
	}
}

func (g *Group) majorityAlive(voters []NodeID) bool {
	alive := 0
	for _, v := range voters {
		if g.host.Alive(v) {
			alive++
		}
	}
	return 2*alive > len(voters)
}
