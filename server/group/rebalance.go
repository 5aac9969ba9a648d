package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// rebalance starts a rebalance, or goes on with the one that runs.
func (l *Leader) rebalance(g *liveGroup, now time.Time, reason string) {
	if g.state == statePreparingRebalance {
		l.maybeCompleteJoin(g, now)
		return
	}
	l.prepareRebalance(g, now, reason)
}

// prepareRebalance asks all members to join again.
func (l *Leader) prepareRebalance(g *liveGroup, now time.Time, reason string) {
	if g.state == stateCompletingRebalance {
		for _, m := range g.members {
			m.assignment = nil
			l.releaseSync(g, m, now, kerr.RebalanceInProgress)
		}
	}
	clear(g.pendingSync)
	l.timers.Cancel(&g.syncTimer)

	initial := g.state == stateEmpty
	from := g.state
	g.setState(statePreparingRebalance, now)
	l.env.Logger.Info("group rebalance begins", "group", g.id, "generation", g.generation, "state", from.String(),
		"members", len(g.members), "reason", reason)
	switch {
	case initial:
		delay := l.env.Config.InitialRebalanceDelay
		l.scheduleInitialJoin(g, now, delay, max(g.rebalanceTimeout()-delay, 0))
	case g.allJoined():
		l.completeJoin(g, now)
	default:
		l.scheduleJoin(g, now)
	}
}

// scheduleJoin ends the wait for members after the rebalance timeout.
func (l *Leader) scheduleJoin(g *liveGroup, now time.Time) {
	g.joinTimer.Fire = func(now time.Time) { l.completeJoin(g, now) }
	l.timers.Schedule(&g.joinTimer, now.Add(g.rebalanceTimeout()))
}

// scheduleInitialJoin ends the first wait after delay. When members came meanwhile it waits again, until the rebalance
// timeout, of which remaining is left, is used up.
func (l *Leader) scheduleInitialJoin(g *liveGroup, now time.Time, delay, remaining time.Duration) {
	g.joinTimer.Fire = func(now time.Time) {
		if g.newMember && remaining > 0 {
			g.newMember = false
			l.scheduleInitialJoin(g, now, min(l.env.Config.InitialRebalanceDelay, remaining), max(remaining-delay, 0))
			return
		}
		l.completeJoin(g, now)
	}
	l.timers.Schedule(&g.joinTimer, now.Add(delay))
}

// maybeCompleteJoin ends the wait when everybody is there. An initial rebalance waits for its delay in any case.
func (l *Leader) maybeCompleteJoin(g *liveGroup, now time.Time) {
	if g.state == statePreparingRebalance && !g.initial && g.allJoined() {
		l.completeJoin(g, now)
	}
}

// maybeCompleteJoinOf is for when a member or pending member is gone: then even an initial rebalance ends when all that
// are left wait, as in Kafka.
func (l *Leader) maybeCompleteJoinOf(g *liveGroup, now time.Time) {
	if g.state == statePreparingRebalance && g.allJoined() {
		l.completeJoin(g, now)
	}
}

// completeJoin begins the next generation with the members that wait. Dynamic members that did not rejoin are out; static
// ones stay until their session expires.
func (l *Leader) completeJoin(g *liveGroup, now time.Time) {
	l.timers.Cancel(&g.joinTimer)
	for _, m := range append([]*member(nil), g.members...) {
		if m.join == nil && m.instanceID == nil {
			l.env.Logger.Info("group member did not rejoin", "group", g.id, "member", m.id)
			l.drop(g, m, kerr.UnknownMemberID)
		}
	}
	if len(g.members) > 0 && !g.electJoined() {
		// Only static members, none of them here: wait until one comes or their sessions expire.
		l.scheduleJoin(g, now)
		return
	}
	g.generation++
	g.newMember = false
	clear(g.pendingSync)
	if len(g.members) == 0 {
		l.becomeEmpty(g, now)
		return
	}
	g.protocol = g.selectProtocol()
	g.subscribed = g.subscribedTopics()
	g.setState(stateCompletingRebalance, now)
	l.env.Logger.Info("group generation begins", "group", g.id, "generation", g.generation, "members", len(g.members),
		"protocol", g.protocol, "leader", g.leader)
	for _, m := range g.members {
		m.answerJoin(g.joined(m))
		m.isNew = false
		l.touch(m, now)
		g.pendingSync[m.id] = true
	}
	l.timers.Schedule(&g.syncTimer, now.Add(g.rebalanceTimeout()))
}

// electJoined makes sure that the leader is one of those who wait. False when nobody waits.
func (g *liveGroup) electJoined() bool {
	if m := g.byID[g.leader]; m != nil && m.join != nil {
		return true
	}
	for _, m := range g.members {
		if m.join != nil {
			g.leader = m.id
			return true
		}
	}
	return false
}

// becomeEmpty ends a rebalance without members.
func (l *Leader) becomeEmpty(g *liveGroup, now time.Time) {
	g.protocol, g.leader = "", ""
	g.subscribed = g.subscribedTopics()
	g.setState(stateEmpty, now)
	l.env.Logger.Info("group is empty", "group", g.id, "generation", g.generation)
	l.write(g.id, []record{groupStored{g.id, g.membership(nil)}}, false, func(time.Time, *kerr.Error) {
		// Not written means that a new leader loads the previous generation, whose members then expire.
	})
}

// expireSync removes the members that did not ask for their assignment within the rebalance timeout.
func (l *Leader) expireSync(g *liveGroup, now time.Time) {
	if len(g.pendingSync) == 0 || g.state != stateCompletingRebalance && g.state != stateStable {
		return
	}
	for _, m := range append([]*member(nil), g.members...) {
		if g.pendingSync[m.id] {
			l.env.Logger.Info("group member did not sync", "group", g.id, "member", m.id)
			l.drop(g, m, kerr.UnknownMemberID)
		}
	}
	l.prepareRebalance(g, now, "members did not sync")
}
