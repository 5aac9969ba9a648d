package group

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (r *refusal) shareResponse() *kmsg.ShareGroupHeartbeatResponse {
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = r.err.Code, &r.message
	return resp
}

// shareBeating is a ShareGroupHeartbeat that is being decided.
type shareBeating struct {
	now    time.Time
	client Client
	req    *kmsg.ShareGroupHeartbeatRequest
	reply  Reply
}

// shareHeartbeat joins, keeps and leaves a share group, all by one request.
func (l *Leader) shareHeartbeat(now time.Time, client Client, req *kmsg.ShareGroupHeartbeatRequest, reply Reply) {
	b := shareBeating{now, client, req, reply}
	r := validateShareHeartbeat(req)
	switch {
	case r != nil:
	case req.MemberEpoch == leftEpoch:
		r = l.leaveShare(b)
	default:
		r = l.beatShare(b)
	}
	if r != nil {
		reply(r.shareResponse())
	}
}

func validateShareHeartbeat(req *kmsg.ShareGroupHeartbeatRequest) *refusal {
	empty := func(s string) bool { return strings.TrimSpace(s) == "" }
	switch {
	case empty(req.MemberID):
		return refuse(kerr.InvalidRequest, "MemberId can't be empty.")
	case empty(req.GroupID):
		return refuse(kerr.InvalidRequest, "GroupId can't be empty.")
	case req.RackID != nil && empty(*req.RackID):
		return refuse(kerr.InvalidRequest, "RackId can't be empty.")
	case req.MemberEpoch == 0 && len(req.SubscribedTopicNames) == 0:
		return refuse(kerr.InvalidRequest, "SubscribedTopicNames must be set in first request.")
	case req.MemberEpoch < leftEpoch:
		return refuse(kerr.InvalidRequest, "MemberEpoch is invalid.")
	}
	return nil
}

// beatShare answers a member that joins or stays.
func (l *Leader) beatShare(b shareBeating) *refusal {
	req := b.req
	if len(encodeRecord(shareMemberStored{req.GroupID, b.subscription(&shareMember{})})) > l.env.Config.MaxRecordBytes {
		return refuse(kerr.InvalidRequest, "The subscription is too large.")
	}
	c, r := l.shareGroupToBeat(b)
	if r != nil {
		return r
	}
	g := c.group
	before := g.members[req.MemberID]
	if r := before.checkEpoch(req, g.id); r != nil {
		return r
	}
	l.shares[g.id] = g
	changed := c.subscribe(b, before)
	c.refreshTopics(b.now, changed)
	c.retarget()
	m := c.reconcile(req.MemberID)
	l.touchShare(g, m.id, b.now)

	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &req.MemberID, m.epoch
	resp.HeartbeatIntervalMillis = int32(l.shareHeartbeatInterval(g, b.now).Milliseconds())
	if req.MemberEpoch == 0 || req.SubscribedTopicNames != nil || before == nil || !m.assigned.equal(before.assigned) {
		resp.Assignment = shareHeartbeatAssignment(m.assigned)
	}
	c.commit(func(err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrShareGroupHeartbeatResponse()
			resp.ErrorCode = err.Code
		}
		b.reply(resp)
	})
	return nil
}

// shareGroupToBeat returns the group that a heartbeat is for, with what must be on record before the member can be. A group that
// does not exist is made by a member that joins it, and is not known yet.
func (l *Leader) shareGroupToBeat(b shareBeating) (*shareChange, *refusal) {
	id := b.req.GroupID
	if g := l.shares[id]; g != nil {
		if limit := l.env.Config.ShareMaxSize; len(g.members) >= int(limit) && g.members[b.req.MemberID] == nil {
			return nil, refuse(kerr.GroupMaxSizeReached, "The share group has reached its maximum capacity of %d members.", limit)
		}
		return l.shareChange(g), nil
	}
	if b.req.MemberEpoch != 0 && !l.exists(id) {
		return nil, refuse(kerr.GroupIDNotFound, "Share group %s not found.", id)
	}
	return l.makeShareGroup(id, b.now)
}

// makeShareGroup makes a share group, unless there is a group of another type. It is not known yet.
func (l *Leader) makeShareGroup(id string, now time.Time) (*shareChange, *refusal) {
	switch {
	case l.exists(id):
		return nil, l.notShareGroup(id)
	case l.writing[id] > 0 && l.deleting[id] == 0:
		// A commit that makes a simple group, or has made it and is not replayed.
		return nil, refuse(kerr.CoordinatorLoadInProgress, "Offsets of group %s are being written.", id)
	}
	c := l.shareChange(l.newShareGroup(id, newShareState(), now))
	c.set(firstEpoch, firstEpoch, 0)
	return c, nil
}

// exists says whether there is a group, of whichever type.
func (l *Leader) exists(id string) bool {
	return l.shares[id] != nil || l.consumers[id] != nil || l.find(id) != nil
}

// notShareGroup says why a group cannot be had as a share group.
func (l *Leader) notShareGroup(id string) *refusal {
	if l.exists(id) {
		return refuse(kerr.GroupIDNotFound, "Group %s is not a share group.", id)
	}
	return refuse(kerr.GroupIDNotFound, "Group %s not found.", id)
}

// checkEpoch fences a member whose epoch is not the one it was told. The epoch before is right too, since the answer with the new
// one may have been lost; and so is 0 from one that begins again.
func (m *shareMember) checkEpoch(req *kmsg.ShareGroupHeartbeatRequest, group string) *refusal {
	switch {
	case req.MemberEpoch == 0:
		return nil
	case m == nil:
		return refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", req.MemberID, group)
	case req.MemberEpoch > m.epoch:
		return refuse(kerr.FencedMemberEpoch, "The share group member has a greater member epoch (%d) than the one known by "+
			"the group coordinator (%d). The member must abandon all its partitions and rejoin.", req.MemberEpoch, m.epoch)
	case req.MemberEpoch < m.epoch && req.MemberEpoch != m.previousEpoch:
		return refuse(kerr.FencedMemberEpoch, "The share group member has a smaller member epoch (%d) than the one known by "+
			"the group coordinator (%d), and it does not match the previous member epoch (%d). The member must abandon all its "+
			"partitions and rejoin.", req.MemberEpoch, m.epoch, m.previousEpoch)
	}
	return nil
}

// subscription is what the member says about itself now; what the request leaves out is as before.
func (b shareBeating) subscription(before *shareMember) shareSubscription {
	s := before.shareSubscription
	s.id, s.client = b.req.MemberID, b.client
	if b.req.RackID != nil {
		s.rackID = b.req.RackID
	}
	if b.req.SubscribedTopicNames != nil {
		s.topics = sortedSet(b.req.SubscribedTopicNames)
	}
	return s
}

// subscribe puts what the member says on record, and says whether that calls for another assignment.
func (c *shareChange) subscribe(b shareBeating, before *shareMember) (changed bool) {
	if before == nil {
		c.leader.env.Logger.Info("group member joins", "group", c.group.id, "member", b.req.MemberID, "client", b.client.ID,
			"protocol", "share")
		c.do(shareMemberStored{c.group.id, b.subscription(&shareMember{})})
		return true
	}
	s := b.subscription(before)
	if !s.equal(&before.shareSubscription) {
		c.do(shareMemberStored{c.group.id, s})
	}
	return !slices.Equal(s.topics, before.topics)
}

// reconcile gives a member what it should have. Partitions are shared, so nobody has to give them up first.
func (c *shareChange) reconcile(id string) *shareMember {
	g, m := c.group, c.group.members[id]
	if m.epoch == g.targetEpoch {
		return m
	}
	c.do(shareAssignmentStored{g.id, id, shareAssignment{epoch: g.targetEpoch, previousEpoch: m.epoch, assigned: g.target[id]}})
	m = g.members[id]
	c.leader.env.Logger.Debug("group member's assignment", "group", g.id, "member", id, "epoch", m.epoch, "assigned", m.assigned.count())
	return m
}

// leaveShare answers a member that leaves.
func (l *Leader) leaveShare(b shareBeating) *refusal {
	g := l.shares[b.req.GroupID]
	switch {
	case g == nil:
		return l.notShareGroup(b.req.GroupID)
	case g.members[b.req.MemberID] == nil:
		return refuse(kerr.UnknownMemberID, "Member %s is not a member of group %s.", b.req.MemberID, g.id)
	}
	l.env.Logger.Info("group member left", "group", g.id, "member", b.req.MemberID)
	resp := kmsg.NewPtrShareGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &b.req.MemberID, leftEpoch
	c := l.shareChange(g)
	c.remove(b.req.MemberID)
	c.commit(func(err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrShareGroupHeartbeatResponse()
			resp.ErrorCode = err.Code
		}
		b.reply(resp)
	})
	return nil
}

// shareWait is the least time that a member is asked to wait for share partitions that are being made.
const shareWait = 50 * time.Millisecond

// shareHeartbeatInterval is when a member is to be heard next (share.heartbeat.interval.ms of its group). While share partitions are
// being made it is sooner: after as long again as that has taken so far, so that nobody waits a whole interval for the first
// assignment.
func (l *Leader) shareHeartbeatInterval(g *shareGroup, now time.Time) time.Duration {
	interval := l.groupMillis(g.id, "share.heartbeat.interval.ms", l.env.Config.ShareHeartbeatInterval)
	if session := l.groupMillis(g.id, "share.session.timeout.ms", l.env.Config.ShareSessionTimeout); interval >= session {
		interval = session / 3
	}
	if len(g.partitions[shareInitializing]) > 0 {
		interval = min(interval, max(now.Sub(g.initializing), shareWait))
	}
	return interval
}

func shareHeartbeatAssignment(assigned assignment) *kmsg.ShareGroupHeartbeatResponseAssignment {
	a := kmsg.NewShareGroupHeartbeatResponseAssignment()
	a.TopicPartitions = make([]kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition, 0, len(assigned))
	for _, topic := range sortedTopics(assigned) {
		t := kmsg.NewShareGroupHeartbeatResponseAssignmentTopicPartition()
		t.TopicID, t.Partitions = topic, assigned[topic]
		a.TopicPartitions = append(a.TopicPartitions, t)
	}
	return &a
}
