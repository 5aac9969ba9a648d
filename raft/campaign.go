package raft

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// campaignStep separates the candidates for a group: each stands only when those before it did not win.
	campaignStep = 300 * time.Millisecond
	campaignPoll = 20 * time.Millisecond
	// campaignGiveUp ends the attempts: the library's own timeouts are at work then.
	campaignGiveUp = 30 * time.Second
	leaderAsk      = 500 * time.Millisecond
)

// CampaignIfLeaderless makes a replica stand for election, in its turn among the voters, if nobody leads: on a cold start, or
// in a new group, that saves an election timeout. The first voter, the preferred leader, is the first to stand.
func (g *Group) CampaignIfLeaderless() {
	voters := g.Voters()
	turn := slices.Index(voters, g.host.node)
	switch {
	case turn < 0:
	case len(voters) == 1:
		g.Campaign()
	default:
		g.host.running.Go(func() { g.campaignInTurn(voters, turn) })
	}
}

// peerDied makes the surviving members of the groups that a node led stand for election at once, instead of after an
// election timeout of silence. It is called when the node's host refuses connections, or another process answers there,
// which proves that the process is gone; and when the node stopped answering, which the other voters have to confirm.
func (h *Host) peerDied(dead NodeID, why string) {
	campaigns := 0
	for _, g := range h.openGroups() {
		if g.Leadership().Leader != dead {
			continue
		}
		voters := g.Voters()
		survivors := slices.DeleteFunc(slices.Clone(voters), func(n NodeID) bool { return n == dead || !h.Alive(n) })
		turn := slices.Index(survivors, h.node)
		if turn < 0 {
			continue
		}
		campaigns++
		// Turns differ from group to group, so that leaders spread.
		turn = (turn + int(g.id.hash()%uint32(len(survivors)))) % len(survivors)
		h.running.Go(func() { g.campaignInTurn(voters, turn) })
	}
	h.logger.Warn("peer is gone", "peer", dead, "why", why, "led", campaigns)
}

// campaignInTurn stands for election as long as nobody leads, when it is this replica's turn; the turns go round, because a
// candidate that lacks entries cannot win. Standing bypasses pre-vote and would depose a healthy leader, so the
// other voters are asked first: a leader is heard by a majority of them.
func (g *Group) campaignInTurn(voters []NodeID, turn int) {
	ctx, cancel := context.WithTimeout(g.trans.ctx, campaignGiveUp)
	defer cancel()
	for !g.majorityAlive(voters) {
		if !sleep(ctx, campaignPoll) {
			return
		}
	}
	if !sleep(ctx, time.Duration(turn)*campaignStep) {
		return
	}
	for g.leaderless() {
		if g.majorityAlive(voters) && !g.ledElsewhere(ctx, voters) && g.leaderless() {
			g.Campaign()
		}
		if !sleep(ctx, time.Duration(len(voters))*campaignStep) {
			return
		}
	}
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// leaderless says whether this replica knows no leader, or one that its node does not hear.
func (g *Group) leaderless() bool {
	l := g.Leadership().Leader
	return l == NoNode || !g.host.Alive(l)
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

// ledElsewhere asks the other voters whether any hears a leader. One that does not answer counts as hearing none.
func (g *Group) ledElsewhere(ctx context.Context, voters []NodeID) bool {
	ctx, cancel := context.WithTimeout(ctx, leaderAsk)
	defer cancel()
	var led atomic.Bool
	var wg sync.WaitGroup
	for _, v := range voters {
		if v == g.host.node || !g.host.Alive(v) {
			continue
		}
		wg.Go(func() {
			answer, err := g.host.Call(ctx, v, leaderService, g.id.appendTo(nil))
			if err == nil && len(answer) == 4 && NodeID(binary.BigEndian.Uint32(answer)) != NoNode {
				led.Store(true)
			}
		})
	}
	wg.Wait()
	return led.Load()
}

// leaderService is this package's own service: which leader of a group the node asked hears.
const leaderService uint8 = 0

func (h *Host) serveLeader(_ context.Context, _ NodeID, payload []byte) ([]byte, error) {
	r := &reader{b: payload}
	id := r.group()
	if r.err != nil {
		return nil, r.err
	}
	leader := NoNode
	if g := h.lookup(id); g != nil && !g.leaderless() {
		leader = g.Leadership().Leader
	}
	return binary.BigEndian.AppendUint32(nil, uint32(leader)), nil
}
