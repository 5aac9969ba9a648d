package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/invariant"
	"balsa/internal/timers"
)

// consumerGroup is a group of the consumer protocol as its coordinator knows it: the state that has been decided, which
// is that in State plus the records on their way, and what follows from it.
type consumerGroup struct {
	id string
	*consumerState
	owners map[topicID]map[int32]string // who has a partition, or has yet to give it up, by member id
	static map[string]string            // group.instance.id to member id
	live   map[string]*liveConsumer     // by member id
	topics subscribedTopics
}

// liveConsumer is what only the coordinator has of a member.
type liveConsumer struct {
	session   timers.Timer // the member is silent for too long
	rebalance timers.Timer // it does not give up what it must
	join      timers.Timer // a member of the classic protocol does not rejoin
	sync      timers.Timer // a member of the classic protocol does not ask for its assignment
}

// newConsumerGroup starts to coordinate a group, which is known when it is in l.consumers. state is the caller's to give
// away.
func (l *Leader) newConsumerGroup(id string, state *consumerState) *consumerGroup {
	g := &consumerGroup{
		id:            id,
		consumerState: state,
		owners:        map[topicID]map[int32]string{},
		static:        map[string]string{},
		live:          map[string]*liveConsumer{},
	}
	for _, m := range state.members {
		g.index(m)
		l.arrive(g, m.id)
	}
	return g
}

// arrive makes the timers of a member.
func (l *Leader) arrive(g *consumerGroup, id string) {
	fence := func(why string) func(time.Time) {
		return func(now time.Time) {
			l.env.Logger.Info("group member is fenced", "group", g.id, "member", id, "reason", why)
			c := l.change(g)
			l.removeConsumers(c, now, []string{id})
			c.commit(func(*kerr.Error) {})
		}
	}
	live := &liveConsumer{}
	live.session.Fire = fence("session expired")
	live.rebalance.Fire = fence("partitions not given up in time")
	live.join.Fire = fence("not joined again in time")
	live.sync.Fire = fence("not synced in time")
	g.live[id] = live
}

// resume gives the members of a group that was just loaded their full timeouts.
func (l *Leader) resume(g *consumerGroup, now time.Time) {
	for id, m := range sorted(g.members) {
		l.touchConsumer(g, m, now)
		if m.state == memberRevoking && m.classic == nil {
			l.timers.Schedule(&g.live[id].rebalance, now.Add(millis(m.rebalanceTimeout)))
		}
	}
}

// touchConsumer starts a member's session over.
func (l *Leader) touchConsumer(g *consumerGroup, m *consumerMember, now time.Time) {
	timeout := l.sessionTimeout(g.id)
	if m.classic != nil {
		timeout = millis(m.classic.sessionTimeout)
	}
	l.timers.Schedule(&g.live[m.id].session, now.Add(timeout))
}

func (l *Leader) depart(g *consumerGroup, id string) {
	live := g.live[id]
	for _, t := range []*timers.Timer{&live.session, &live.rebalance, &live.join, &live.sync} {
		l.timers.Cancel(t)
	}
	delete(g.live, id)
}

// dropConsumerGroup forgets a group, which is deleted or has become one of the classic protocol.
func (l *Leader) dropConsumerGroup(g *consumerGroup) {
	for id := range g.live {
		l.depart(g, id)
	}
	delete(l.consumers, g.id)
}

func (g *consumerGroup) index(m *consumerMember) {
	if m.instanceID != nil {
		g.static[*m.instanceID] = m.id
	}
	for _, set := range []ownership{m.assigned, m.revoking} {
		for topic, partitions := range set {
			if g.owners[topic] == nil {
				g.owners[topic] = map[int32]string{}
			}
			for partition := range partitions {
				_, taken := g.owners[topic][partition]
				invariant.Check(!taken, "group %q: partition %x/%d is given to %q too", g.id, topic, partition, m.id)
				g.owners[topic][partition] = m.id
			}
		}
	}
}

func (g *consumerGroup) unindex(m *consumerMember) {
	if m.instanceID != nil && g.static[*m.instanceID] == m.id {
		delete(g.static, *m.instanceID)
	}
	for _, set := range []ownership{m.assigned, m.revoking} {
		for topic, partitions := range set {
			for partition := range partitions {
				delete(g.owners[topic], partition)
			}
			if len(g.owners[topic]) == 0 {
				delete(g.owners, topic)
			}
		}
	}
}

// free says whether nobody has a partition.
func (g *consumerGroup) free(topic topicID, partition int32) bool {
	_, taken := g.owners[topic][partition]
	return !taken
}

// reconciled says whether a member has what it should.
func (g *consumerGroup) reconciled(m *consumerMember) bool {
	return m.state == memberStable && m.epoch == g.targetEpoch
}

// States of a group of the consumer protocol, as Kafka calls them.
const (
	consumerEmpty       = "Empty"
	consumerAssigning   = "Assigning"
	consumerReconciling = "Reconciling"
	consumerStable      = "Stable"
)

func (g *consumerGroup) stateName() string {
	switch {
	case len(g.members) == 0:
		return consumerEmpty
	case g.epoch > g.targetEpoch:
		return consumerAssigning
	}
	for _, m := range g.members {
		if !g.reconciled(m) {
			return consumerReconciling
		}
	}
	return consumerStable
}

// change is a decision about a group: records that are in force here at once, and written together.
type change struct {
	leader  *Leader
	group   *consumerGroup
	records []record
}

func (l *Leader) change(g *consumerGroup) *change { return &change{leader: l, group: g} }

func (c *change) do(r consumerRecord) {
	g := c.group
	id := r.member()
	old := g.members[id]
	if old != nil {
		g.unindex(old)
	}
	r.applyTo(g.consumerState)
	if m := g.members[id]; m != nil {
		g.index(m)
		if old == nil {
			c.leader.arrive(g, id)
		}
	} else if old != nil {
		c.leader.depart(g, id)
	}
	c.records = append(c.records, r)
}

// commit tells done when what was decided, now and before, is durable.
func (c *change) commit(done func(err *kerr.Error)) { c.leader.commit(c.group.id, c.records, done) }

// set puts the group's epochs on record.
func (c *change) set(epoch, targetEpoch int32, topicsHash uint64) {
	c.do(consumerGroupStored{c.group.id, epoch, targetEpoch, topicsHash})
}
