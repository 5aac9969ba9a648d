package group

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// heartbeatMemberID is the first version of ConsumerGroupHeartbeat whose clients make up their member id (KIP-1082).
const heartbeatMemberID = 1

// refusal is an error with what the client's user should read about it.
type refusal struct {
	err     *kerr.Error
	message string
}

func refuse(err *kerr.Error, format string, args ...any) *refusal {
	return &refusal{err, fmt.Sprintf(format, args...)}
}

func (r *refusal) response() *kmsg.ConsumerGroupHeartbeatResponse {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = r.err.Code, &r.message
	return resp
}

// beating is a ConsumerGroupHeartbeat that is being decided.
type beating struct {
	now    time.Time
	client Client
	req    *kmsg.ConsumerGroupHeartbeatRequest
	reply  Reply
}

// consumerHeartbeat joins, keeps and leaves a group of the consumer protocol, all by one request: it tells what the member
// wants and has, and is answered with what the member should have.
func (l *Leader) consumerHeartbeat(now time.Time, client Client, req *kmsg.ConsumerGroupHeartbeatRequest, reply Reply) {
	b := beating{now, client, req, reply}
	r := l.validateHeartbeat(req)
	switch {
	case r != nil:
	case req.MemberEpoch < 0:
		r = l.leaveConsumer(b)
	default:
		r = l.beatConsumer(b)
	}
	if r != nil {
		reply(r.response())
	}
}

func (l *Leader) validateHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest) *refusal {
	empty := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case empty(&req.Group):
		return refuse(kerr.InvalidRequest, "GroupId can't be empty.")
	case empty(req.InstanceID):
		return refuse(kerr.InvalidRequest, "InstanceId can't be empty.")
	case empty(req.RackID):
		return refuse(kerr.InvalidRequest, "RackId can't be empty.")
	case empty(&req.MemberID) && (req.MemberEpoch != 0 || req.Version >= heartbeatMemberID):
		return refuse(kerr.InvalidRequest, "MemberId can't be empty.")
	case req.MemberEpoch < staticLeftEpoch:
		return refuse(kerr.InvalidRequest, "MemberEpoch is invalid.")
	case req.MemberEpoch == staticLeftEpoch && req.InstanceID == nil:
		return refuse(kerr.InvalidRequest, "InstanceId can't be null.")
	}
	if req.MemberEpoch == 0 {
		switch {
		case req.RebalanceTimeoutMillis == -1:
			return refuse(kerr.InvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
		case req.Topics == nil || len(req.Topics) > 0:
			return refuse(kerr.InvalidRequest, "TopicPartitions must be empty when (re-)joining.")
		case req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
			return refuse(kerr.InvalidRequest,
				"Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
		}
	}
	if a := req.ServerAssignor; a != nil && !slices.Contains(l.env.Config.ConsumerAssignors, *a) {
		return refuse(kerr.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.",
			*a, strings.Join(l.env.Config.ConsumerAssignors, ", "))
	}
	if re := req.SubscribedTopicRegex; re != nil && *re != "" {
		if _, err := compileRegex(*re); err != nil {
			return invalidRegex(*re, err)
		}
	}
	return nil
}

// beatConsumer answers a member that joins or stays.
func (l *Leader) beatConsumer(b beating) *refusal {
	req := b.req
	if len(encodeRecord(consumerMemberStored{req.Group, b.subscription(&consumerMember{}, req.MemberID)})) > l.env.Config.MaxRecordBytes {
		return refuse(kerr.InvalidRequest, "The subscription is too large.")
	}
	c, r := l.consumerGroupToBeat(b)
	if r != nil {
		return r
	}
	g := c.group
	id := req.MemberID
	if id == "" {
		id = l.env.NewID()
	}
	before := g.members[id]
	replaced, r := g.admit(b, before)
	if r != nil {
		return r
	}
	l.consumers[g.id] = g
	changed := c.subscribe(b, id, before, replaced)
	c.refreshTopics(b.now, changed)
	c.retarget(b.now)
	m := c.reconcile(id, owned(req.Topics), b.now)
	l.touchConsumer(g, m, b.now)

	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &id, m.epoch
	resp.HeartbeatIntervalMillis = int32(l.heartbeatInterval(g.id).Milliseconds())
	full := req.MemberEpoch == 0 || req.RebalanceTimeoutMillis != -1 && req.Topics != nil &&
		(req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil)
	if full || before == nil || !m.assigned.samePartitions(before.assigned) {
		resp.Assignment = heartbeatAssignment(m.assigned)
	}
	c.commit(func(err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrConsumerGroupHeartbeatResponse()
			resp.ErrorCode = err.Code
		}
		b.reply(resp)
	})
	return nil
}

// consumerGroupToBeat returns the group that a heartbeat is for, with what must be on record before the member can be. A
// group that does not exist is made by a member that joins it, and is not known yet; one of the classic protocol
// changes over if it may.
func (l *Leader) consumerGroupToBeat(b beating) (*change, *refusal) {
	id := b.req.Group
	full := func(members int, known bool) *refusal {
		if members < int(l.env.Config.ConsumerMaxSize) || known {
			return nil
		}
		return refuse(kerr.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.",
			l.env.Config.ConsumerMaxSize)
	}
	if g := l.consumers[id]; g != nil {
		return l.change(g), full(len(g.members), g.members[b.req.MemberID] != nil)
	}
	classic := l.find(id)
	switch {
	case l.shares[id] != nil:
		return nil, l.notConsumerGroup(id)
	case b.req.MemberEpoch != 0 && classic == nil:
		return nil, refuse(kerr.GroupIDNotFound, "Consumer group %s not found.", id)
	case b.req.MemberEpoch != 0:
		return nil, l.notConsumerGroup(id)
	case classic == nil:
	case classic.state == stateEmpty:
		l.removed(classic)
	default:
		if r := full(len(classic.members), classic.byID[b.req.MemberID] != nil); r != nil {
			return nil, r
		}
		return l.upgrade(classic, b.now)
	}
	c := l.change(l.newConsumerGroup(id, newConsumerState()))
	c.set(firstEpoch, firstEpoch, 0)
	return c, nil
}

// admit checks a heartbeat against what is known of the member, which is nil for a new one. It returns the static member
// that the new one replaces, if any.
func (g *consumerGroup) admit(b beating, m *consumerMember) (replaced *consumerMember, r *refusal) {
	req := b.req
	if req.InstanceID == nil {
		if m == nil && req.MemberEpoch != 0 {
			return nil, refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", req.MemberID, g.id)
		}
		return nil, m.checkEpoch(req)
	}
	current := g.members[g.static[*req.InstanceID]]
	switch {
	case current == nil && req.MemberEpoch != 0:
		return nil, refuse(kerr.UnknownMemberID, "Instance id %s is unknown.", *req.InstanceID)
	case current == nil:
		return nil, m.checkEpoch(req)
	case req.MemberEpoch != 0 && current != m:
		return nil, refuse(kerr.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.",
			req.MemberID, *req.InstanceID, current.id)
	case req.MemberEpoch != 0:
		return nil, m.checkEpoch(req)
	case current == m && m.epoch != staticLeftEpoch:
		return nil, nil // it begins again; Kafka takes it for a stranger, also when only the answer to its join was lost
	case current.epoch != staticLeftEpoch && current.classic == nil:
		return nil, refuse(kerr.UnreleasedInstanceID,
			"Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.",
			req.MemberID, *req.InstanceID, current.id)
	}
	return current, nil
}

// checkEpoch fences a member whose epoch is not the one it was told. The epoch before is right too, from a member that
// has no more than it should, since the answer with the new one may have been lost; and so is 0 from one that begins again.
func (m *consumerMember) checkEpoch(req *kmsg.ConsumerGroupHeartbeatRequest) *refusal {
	switch {
	case m == nil || req.MemberEpoch == m.epoch || req.MemberEpoch == 0:
		return nil
	case req.MemberEpoch > m.epoch:
		return refuse(kerr.FencedMemberEpoch, "The consumer group member has a greater member epoch (%d) than the one known by "+
			"the group coordinator (%d). The member must abandon all its partitions and rejoin.", req.MemberEpoch, m.epoch)
	case req.MemberEpoch == m.previousEpoch && req.Topics != nil && m.assigned.contains(*owned(req.Topics)):
		return nil
	}
	return refuse(kerr.FencedMemberEpoch, "The consumer group member has a smaller member epoch (%d) than the one known by "+
		"the group coordinator (%d). The member must abandon all its partitions and rejoin.", req.MemberEpoch, m.epoch)
}

func (o ownership) contains(a assignment) bool {
	for topic, partitions := range a {
		for _, partition := range partitions {
			if !o.has(topic, partition) {
				return false
			}
		}
	}
	return true
}

// subscription is what the member says about itself now; what the request leaves out is as before.
func (b beating) subscription(before *consumerMember, id string) memberSubscription {
	s := before.memberSubscription
	req := b.req
	s.id, s.client, s.classic = id, b.client, nil
	if req.InstanceID != nil {
		s.instanceID = req.InstanceID
	}
	if req.RackID != nil {
		s.rackID = req.RackID
	}
	if req.RebalanceTimeoutMillis != -1 {
		s.rebalanceTimeout = req.RebalanceTimeoutMillis
	}
	if req.SubscribedTopicNames != nil {
		s.topics = sortedSet(req.SubscribedTopicNames)
	}
	if req.SubscribedTopicRegex != nil {
		s.regex = *req.SubscribedTopicRegex
	}
	if req.ServerAssignor != nil {
		s.assignor = *req.ServerAssignor
	}
	return s
}

func sortedSet(names []string) []string { return slices.Compact(slices.Sorted(slices.Values(names))) }

// subscribe puts what the member says on record, and says whether that calls for another assignment.
func (c *change) subscribe(b beating, id string, before, replaced *consumerMember) (changed bool) {
	switch {
	case replaced != nil:
		c.replace(replaced, b.subscription(replaced, id))
		before = replaced
	case before == nil:
		s := b.subscription(&consumerMember{}, id)
		c.leader.env.Logger.Info("group member joins", "group", c.group.id, "member", id, "client", s.client.ID)
		c.do(consumerMemberStored{c.group.id, s})
		return len(s.topics) > 0 || s.regex != ""
	default:
		if s := b.subscription(before, id); !s.equal(&before.memberSubscription) {
			c.do(consumerMemberStored{c.group.id, s})
		}
	}
	now := c.group.members[id]
	return !slices.Equal(now.topics, before.topics) || now.regex != before.regex
}

// replace puts a static member that came back under another member id in the place of its former self. It has to learn its
// assignment first: until then its epoch is 0.
func (c *change) replace(old *consumerMember, s memberSubscription) {
	g := c.group
	target := g.target[old.id]
	c.leader.env.Logger.Info("static group member is replaced", "group", g.id, "instance", *old.instanceID, "member", s.id,
		"former", old.id)
	c.do(consumerMemberRemoved{g.id, old.id})
	c.do(consumerMemberStored{g.id, s})
	c.do(consumerTargetStored{g.id, s.id, target})
	a := old.memberAssignment
	a.epoch, a.previousEpoch = 0, 0
	c.do(consumerAssignmentStored{g.id, s.id, a})
}

// reconcile takes a member as near to what it should have as it can get now.
func (c *change) reconcile(id string, owned *assignment, now time.Time) *consumerMember {
	g, m := c.group, c.group.members[id]
	next := reconcile(m, g.targetEpoch, g.target[id], owned, g.free)
	if next.equal(&m.memberAssignment) {
		return m
	}
	c.do(consumerAssignmentStored{g.id, id, next})
	m = g.members[id]
	c.leader.env.Logger.Debug("group member's assignment", "group", g.id, "member", id, "epoch", m.epoch, "state", m.state,
		"assigned", m.assigned.partitions().count(), "revoking", m.revoking.partitions().count())
	rebalance := &g.live[id].rebalance
	if m.state == memberRevoking && m.classic == nil {
		c.leader.timers.Schedule(rebalance, now.Add(millis(m.rebalanceTimeout)))
	} else {
		c.leader.timers.Cancel(rebalance)
	}
	return m
}

// owned is what a member says it has; nil when it does not say.
func owned(topics []kmsg.ConsumerGroupHeartbeatRequestTopic) *assignment {
	if topics == nil {
		return nil
	}
	a := make(assignment, len(topics))
	for _, t := range topics {
		a[t.TopicID] = append(a[t.TopicID], t.Partitions...)
	}
	return &a
}

func heartbeatAssignment(o ownership) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	a := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	a.Topics = make([]kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic, 0, len(o))
	partitions := o.partitions()
	for _, topic := range sortedTopics(partitions) {
		t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
		t.TopicID, t.Partitions = topic, partitions[topic]
		a.Topics = append(a.Topics, t)
	}
	return &a
}
