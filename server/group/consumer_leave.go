package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leaveConsumer answers a member that leaves, for good or, as a static member may, for a while.
func (l *Leader) leaveConsumer(b beating) *refusal {
	req := b.req
	g := l.consumers[req.Group]
	if g == nil {
		return l.notConsumerGroup(req.Group)
	}
	m := g.members[req.MemberID]
	if req.InstanceID != nil {
		current := g.members[g.static[*req.InstanceID]]
		switch {
		case current == nil:
			return refuse(kerr.UnknownMemberID, "Instance id %s is unknown.", *req.InstanceID)
		case current != m:
			return refuse(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.",
				req.MemberID, *req.InstanceID, current.id)
		}
	}
	if m == nil {
		return refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", req.MemberID, g.id)
	}
	c := l.change(g)
	if req.MemberEpoch == staticLeftEpoch {
		l.env.Logger.Info("static group member is away", "group", g.id, "member", m.id, "instance", *req.InstanceID)
		a := m.memberAssignment
		a.epoch, a.revoking = staticLeftEpoch, ownership{}
		l.timers.Cancel(&g.live[m.id].rebalance)
		c.do(consumerAssignmentStored{g.id, m.id, a})
	} else {
		l.env.Logger.Info("group member left", "group", g.id, "member", m.id)
		l.removeConsumers(c, b.now, []string{m.id})
	}
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &req.MemberID, req.MemberEpoch
	c.commit(func(err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrConsumerGroupHeartbeatResponse()
			resp.ErrorCode = err.Code
		}
		b.reply(resp)
	})
	return nil
}

// removeConsumers takes members out. What they had is free at once; who gets it is worked out when somebody asks. Where
// only members of the classic protocol are left, the group becomes one of that protocol.
func (l *Leader) removeConsumers(c *change, now time.Time, ids []string) {
	g := c.group
	hadConsumers := g.consumers() > 0
	for _, id := range ids {
		c.do(consumerMemberRemoved{g.id, id})
	}
	if hadConsumers && g.consumers() == 0 && len(g.members) > 0 {
		if classic := l.downgrade(c, now); classic != nil {
			l.prepareRebalance(classic, now, "the group changed to the classic protocol")
			return
		}
	}
	topics := l.env.Topics()
	c.set(g.epoch+1, g.targetEpoch, hashTopics(g.subscribed(topics, now), topics))
}

// consumers counts the members that speak the consumer protocol.
func (g *consumerGroup) consumers() (n int) {
	for _, m := range g.members {
		if m.classic == nil {
			n++
		}
	}
	return n
}

// notConsumerGroup says why a group cannot be had as one of the consumer protocol.
func (l *Leader) notConsumerGroup(id string) *refusal {
	if l.exists(id) {
		return refuse(kerr.GroupIDNotFound, "Group %s is not a consumer group.", id)
	}
	return refuse(kerr.GroupIDNotFound, "Group %s not found.", id)
}
