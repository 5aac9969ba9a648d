package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// replaceStatic gives a static member that comes back without its member id a new one, and fences whoever still uses the
// old one. In a stable group that costs no rebalance when the protocol stays the same (KIP-345).
func (l *Leader) replaceStatic(g *liveGroup, old *member, j joining) {
	previousLeader := g.leader
	m := l.replaceMember(g, old, l.newMemberID(*j.req.InstanceID))
	m.protocols = newProtocols(j.req.Protocols)
	m.rebalanceTimeout = j.rebalanceTimeout()
	m.sessionTimeout = millis(j.req.SessionTimeoutMillis)
	m.client = j.client
	m.join = j.reply
	l.touch(m, j.now)

	switch g.state {
	case stateStable:
		if g.selectProtocol() == g.protocol {
			l.storeReplaced(g, m, previousLeader, j.req.Version)
			return
		}
		l.rebalance(g, j.now, j.reason("static member "+m.id+" changes the protocol"))
	case stateCompletingRebalance:
		// The leader may be assigning to the old id already.
		l.prepareRebalance(g, j.now, j.reason("static member "+m.id+" was replaced"))
	default:
		l.maybeCompleteJoin(g, j.now)
	}
}

// replaceMember puts a copy of old under a new id in its place.
func (l *Leader) replaceMember(g *liveGroup, old *member, id string) *member {
	old.answerJoin(joinError(old.id, kerr.FencedInstanceID))
	old.answerSync(syncError(kerr.FencedInstanceID))
	l.timers.Cancel(&old.session)
	m := &member{
		id:               id,
		instanceID:       old.instanceID,
		client:           old.client,
		rebalanceTimeout: old.rebalanceTimeout,
		sessionTimeout:   old.sessionTimeout,
		protocols:        old.protocols,
		assignment:       old.assignment,
	}
	for i, other := range g.members {
		if other == old {
			g.members[i] = m
		}
	}
	delete(g.byID, old.id)
	g.byID[id] = m
	g.static[*m.instanceID] = id
	if g.leader == old.id {
		g.leader = id
	}
	if g.pendingSync[old.id] {
		delete(g.pendingSync, old.id)
		g.pendingSync[id] = true
	}
	l.arm(g, m)
	return m
}

// storeReplaced makes the new member id durable, then tells it to the member. The session starts over: it may have ended
// while the join waited, when no heartbeat was expected.
func (l *Leader) storeReplaced(g *liveGroup, m *member, previousLeader string, version int16) {
	generation := g.generation
	assignments := make(map[string][]byte, len(g.members))
	for _, other := range g.members {
		assignments[other.id] = other.assignment
	}
	l.write(g.id, []record{groupStored{g.id, g.membership(assignments)}}, false, func(now time.Time, err *kerr.Error) {
		if err != nil {
			m.answerJoin(joinError("", err))
			return
		}
		if g.state != stateStable || g.generation != generation {
			return // the join takes part in the rebalance that has begun
		}
		r := g.joined(m)
		if version >= joinSkipAssignment {
			r.SkipAssignment = g.leader == m.id
		} else {
			// An older client that hears that it leads would assign anew: it hears of its former self instead.
			r.LeaderID = previousLeader
			r.Members = nil
		}
		if m.answerJoin(r) {
			l.touch(m, now)
		}
	})
}
