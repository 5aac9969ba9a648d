package raft

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"
)

const (
	campaignPoll = 20 * time.Millisecond
	// campaignGiveUp ends the wait for a majority: the library's own timeouts are at work then.
	campaignGiveUp = 30 * time.Second
	leaderAsk      = 500 * time.Millisecond
)

// CampaignIfLeaderless makes a replica that should lead, the first of the voters, stand for election if nobody leads: on a
// cold start, or in a new group, that saves an election timeout. Standing bypasses pre-vote and would depose a healthy
// leader, so the other voters are asked first: a leader is known to a majority of them.
func (g *Group) CampaignIfLeaderless() {
	voters := g.Voters()
	if len(voters) == 1 && voters[0] == g.host.node {
		g.Campaign()
		return
	}
	if g.preferred == g.host.node {
		g.host.running.Go(func() { g.campaignWithMajority(voters) })
	}
}

func (g *Group) campaignWithMajority(voters []NodeID) {
	ctx, cancel := context.WithTimeout(g.trans.ctx, campaignGiveUp)
	defer cancel()
	for !g.majorityAlive(voters) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(campaignPoll):
		}
	}
	if g.Leadership().Leader == NoNode && !g.ledElsewhere(ctx, voters) && g.Leadership().Leader == NoNode {
		g.Campaign()
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

// ledElsewhere asks the other voters whether any knows a leader. One that does not answer counts as not knowing.
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

// leaderService is this package's own service: who leads a group, as far as the node asked knows.
const leaderService uint8 = 0

func (h *Host) serveLeader(_ context.Context, _ NodeID, payload []byte) ([]byte, error) {
	r := &reader{b: payload}
	id := r.group()
	if r.err != nil {
		return nil, r.err
	}
	leader := NoNode
	if g := h.lookup(id); g != nil {
		leader = g.Leadership().Leader
	}
	return binary.BigEndian.AppendUint32(nil, uint32(leader)), nil
}
