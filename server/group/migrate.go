package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// upgrade makes a group of the classic protocol that has members one of the consumer protocol, for the first consumer
// that speaks it. The members keep what their leader assigned to them; they hear at their next heartbeat that they have
// to join again. Those who wait in a join or a sync hear it now.
func (l *Leader) upgrade(g *liveGroup, now time.Time) (*change, *refusal) {
	no := func(why string) (*change, *refusal) {
		l.env.Logger.Info("group cannot change to the consumer protocol", "group", g.id, "reason", why)
		return nil, refuse(kerr.GroupIDNotFound, "Group %s is not a consumer group.", g.id)
	}
	switch {
	case !l.env.Config.ConsumerMigration.upgrades():
		return no("group.consumer.migration.policy does not allow it")
	case !g.isConsumer():
		return no("its members are not consumers")
	case len(g.members) > int(l.env.Config.ConsumerMaxSize):
		return no("it has more members than group.consumer.max.size")
	}
	subscriptions := make([]memberSubscription, len(g.members))
	assignments := make([]ownership, len(g.members))
	epoch := max(g.generation, firstEpoch)
	taken := ownership{}
	for i, m := range g.members {
		var ok bool
		if subscriptions[i], ok = m.consumerSubscription(g.protocol); !ok {
			return no("a subscription cannot be read")
		}
		partitions, err := parseAssignment(m.assignment)
		if err != nil {
			return no("an assignment cannot be read")
		}
		assignments[i] = l.ownedOnce(partitions, epoch, taken)
	}

	l.env.Logger.Info("group changes to the consumer protocol", "group", g.id, "members", len(g.members), "epoch", epoch)
	for _, m := range g.members {
		m.answerJoin(joinError(m.id, kerr.RebalanceInProgress))
		m.answerSync(syncError(kerr.RebalanceInProgress))
	}
	l.removed(g)
	c := l.change(l.newConsumerGroup(g.id, newConsumerState()))
	c.set(epoch, epoch, 0)
	for i, s := range subscriptions {
		a := memberAssignment{epoch: epoch, previousEpoch: epoch, assigned: assignments[i], revoking: ownership{}}
		c.do(consumerMemberStored{g.id, s})
		c.do(consumerTargetStored{g.id, s.id, assignments[i].partitions()})
		c.do(consumerAssignmentStored{g.id, s.id, a})
		l.touchConsumer(c.group, c.group.members[s.id], now)
	}
	return c, nil
}

// consumerSubscription is what the member says about itself, in terms of the consumer protocol.
func (m *member) consumerSubscription(chosen string) (memberSubscription, bool) {
	metadata := m.subscription(chosen)
	if metadata == nil && len(m.protocols) > 0 {
		metadata = m.protocols[0].metadata // it joins for the first time
	}
	said, err := parseConsumerSubscription(metadata)
	if err != nil {
		return memberSubscription{}, false
	}
	return memberSubscription{
		id: m.id, instanceID: m.instanceID, rackID: said.rackID, client: m.client,
		rebalanceTimeout: int32(m.rebalanceTimeout / time.Millisecond),
		topics:           sortedSet(said.topics),
		classic:          &classicSubscription{int32(m.sessionTimeout / time.Millisecond), m.protocols},
	}, true
}

// ownedOnce turns what a group leader assigned to a member into ids, without what is taken already: a leader may assign
// as it likes.
func (l *Leader) ownedOnce(names map[string][]int32, epoch int32, taken ownership) ownership {
	owned := ownership{}
	for name, partitions := range names {
		id, _, ok := l.env.Topics().ByName(name)
		if !ok {
			continue
		}
		for _, partition := range partitions {
			if !taken.has(id, partition) {
				taken.add(id, partition, epoch)
				owned.add(id, partition, epoch)
			}
		}
	}
	return owned
}

// downgrade makes a group of the consumer protocol whose members all speak the classic protocol one of that protocol, in
// which everybody has what they should have had. It returns nil, and changes nothing, if it may not.
func (l *Leader) downgrade(c *change, now time.Time) *liveGroup {
	g := c.group
	switch {
	case !l.env.Config.ConsumerMigration.downgrades():
		l.env.Logger.Info("group stays with the consumer protocol", "group", g.id, "reason", "group.consumer.migration.policy")
		return nil
	case len(g.members) > int(l.env.Config.MaxSize):
		l.env.Logger.Info("group stays with the consumer protocol", "group", g.id, "reason", "group.max.size")
		return nil
	}
	classic := newLiveGroup(g.id)
	classic.generation, classic.protocolType = g.epoch, consumerProtocolType
	classic.setState(stateStable, now)
	for id, m := range sorted(g.members) {
		classic.add(&member{
			id: id, instanceID: m.instanceID, client: m.client,
			rebalanceTimeout: millis(m.rebalanceTimeout), sessionTimeout: millis(m.classic.sessionTimeout),
			protocols:  m.classic.protocols,
			assignment: m.classicAssignment(g.target[id], l.env.Topics()),
		})
	}
	classic.protocol = classic.selectProtocol()
	classic.subscribed = classic.subscribedTopics()
	l.dropConsumerGroup(g)
	l.adopt(classic)
	assignments := make(map[string][]byte, len(classic.members))
	for _, m := range classic.members {
		assignments[m.id] = m.assignment
		l.touch(m, now)
	}
	c.records = append(c.records, groupStored{g.id, classic.membership(assignments)})
	l.env.Logger.Info("group changes to the classic protocol", "group", g.id, "members", len(classic.members))
	return classic
}

// makeClassic makes an empty group of the consumer protocol one of the classic protocol.
func (l *Leader) makeClassic(g *consumerGroup, now time.Time) {
	l.dropConsumerGroup(g)
	classic := newLiveGroup(g.id)
	classic.protocolType, classic.stateTime = consumerProtocolType, now.UnixMilli()
	l.adopt(classic)
	l.write(g.id, []record{groupStored{g.id, classic.membership(nil)}}, false, func(time.Time, *kerr.Error) {})
}
