package group

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Members of the classic protocol in a group of the consumer protocol. The coordinator assigns for them too: they join,
// get what they have now from SyncGroup, and hear from Heartbeat when they have to join again. No join waits for others.

// joinConsumerGroup answers JoinGroup to a group of the consumer protocol that has members.
func (l *Leader) joinConsumerGroup(g *consumerGroup, j joining) {
	req := j.req
	id := req.MemberID
	if id == "" {
		id = l.newMemberID(j.client.ID)
	}
	if len(g.members) >= int(l.env.Config.ConsumerMaxSize) && g.members[id] == nil {
		j.refuse("", kerr.GroupMaxSizeReached)
		return
	}
	if !g.supportsClassic(req) {
		j.refuse(req.MemberID, kerr.InconsistentGroupProtocol)
		return
	}
	said, err := parseConsumerSubscription(req.Protocols[0].Metadata)
	if err != nil {
		j.refuse(req.MemberID, kerr.InconsistentGroupProtocol)
		return
	}
	if req.MemberID == "" && req.InstanceID == nil && req.Version >= joinMemberIDRequired {
		j.refuse(id, kerr.MemberIDRequired)
		return
	}
	replaced, refused := g.admitClassic(req)
	if refused != nil {
		j.refuse(req.MemberID, refused)
		return
	}
	c := l.change(g)
	changed := c.subscribeClassic(j, id, replaced, said)
	c.refreshTopics(j.now, changed)
	c.retarget(j.now)
	m := c.reconcile(id, ownedNames(said.owned, l.env.Topics()), j.now)

	resp := kmsg.NewPtrJoinGroupResponse()
	resp.MemberID, resp.Generation = id, m.epoch
	resp.ProtocolType, resp.Protocol = nullable(consumerProtocolType), nullable(m.classic.protocols[0].name)
	live := g.live[id]
	l.timers.Cancel(&live.join)
	l.touchConsumer(g, m, j.now)
	l.timers.Schedule(&live.sync, j.now.Add(j.rebalanceTimeout()))
	if replaced != nil && replaced.classic == nil && g.consumers() == 0 {
		l.downgrade(c, j.now)
	}
	c.commit(func(err *kerr.Error) {
		if err != nil {
			j.refuse(req.MemberID, err)
			return
		}
		j.reply(resp)
	})
}

// supportsClassic says whether a member with these protocols could be in the group: all members of the classic protocol
// must share one.
func (g *consumerGroup) supportsClassic(req *kmsg.JoinGroupRequest) bool {
	return req.ProtocolType == consumerProtocolType && slices.ContainsFunc(req.Protocols, func(p kmsg.JoinGroupRequestProtocol) bool {
		for _, m := range g.members {
			if m.classic != nil && m.id != req.MemberID &&
				!slices.ContainsFunc(m.classic.protocols, func(own protocol) bool { return own.name == p.Name }) {
				return false
			}
		}
		return true
	})
}

// admitClassic checks who a static member is, and returns the one that it replaces, if any.
func (g *consumerGroup) admitClassic(req *kmsg.JoinGroupRequest) (replaced *consumerMember, err *kerr.Error) {
	if req.InstanceID == nil {
		return nil, nil
	}
	current := g.members[g.static[*req.InstanceID]]
	switch {
	case req.MemberID == "":
		return current, nil
	case current == nil:
		return nil, kerr.UnknownMemberID
	case current.id != req.MemberID:
		return nil, kerr.FencedInstanceID
	}
	return nil, nil
}

func (c *change) subscribeClassic(j joining, id string, replaced *consumerMember, said consumerSubscription) (changed bool) {
	g, req := c.group, j.req
	s := memberSubscription{
		id: id, instanceID: cloneOptional(req.InstanceID), rackID: said.rackID, client: j.client,
		rebalanceTimeout: int32(j.rebalanceTimeout().Milliseconds()),
		topics:           sortedSet(said.topics),
		classic:          &classicSubscription{req.SessionTimeoutMillis, newProtocols(req.Protocols)},
	}
	before := g.members[id]
	switch {
	case replaced != nil:
		before = replaced
		c.replace(replaced, s)
	case before == nil:
		c.leader.env.Logger.Info("group member joins", "group", g.id, "member", id, "client", j.client.ID, "protocol", "classic")
		c.do(consumerMemberStored{g.id, s})
		return true
	case !s.equal(&before.memberSubscription):
		c.do(consumerMemberStored{g.id, s})
	}
	return !slices.Equal(s.topics, before.topics) || s.regex != before.regex
}

// ownedNames turns what a consumer says it has into ids. Topics that are gone are nobody's.
func ownedNames(names map[string][]int32, topics Topics) *assignment {
	a := assignment{}
	for name, partitions := range names {
		if id, _, ok := topics.ByName(name); ok {
			a[id] = partitions
		}
	}
	return &a
}

// classicMember returns the member of the classic protocol that a request is from.
func (g *consumerGroup) classicMember(id string, instanceID *string) (*consumerMember, *kerr.Error) {
	m, err := g.member(id, instanceID)
	if err == nil && m.classic == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, err
}

// member returns the member that a request of the classic protocol names.
func (g *consumerGroup) member(id string, instanceID *string) (*consumerMember, *kerr.Error) {
	m := g.members[id]
	if instanceID != nil {
		switch current := g.static[*instanceID]; current {
		case "":
			return nil, kerr.UnknownMemberID
		case id:
		default:
			return nil, kerr.FencedInstanceID
		}
	}
	if m == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

// syncConsumerGroup answers SyncGroup with what the member has now.
func (l *Leader) syncConsumerGroup(g *consumerGroup, now time.Time, req *kmsg.SyncGroupRequest, reply Reply) {
	m, err := g.classicMember(req.MemberID, req.InstanceID)
	if err == nil {
		err = m.checkSync(req)
	}
	if err == nil && g.epoch > m.epoch && m.state != memberRevoking {
		l.expectJoin(g, m, now)
		err = kerr.RebalanceInProgress
	}
	if err != nil {
		reply(syncError(err))
		return
	}
	l.timers.Cancel(&g.live[m.id].sync)
	l.touchConsumer(g, m, now)
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ProtocolType, resp.Protocol = req.ProtocolType, req.Protocol
	resp.MemberAssignment = m.classicAssignment(m.assigned.partitions(), l.env.Topics())
	l.change(g).commit(func(err *kerr.Error) {
		if err != nil {
			resp = syncError(err)
		}
		reply(resp)
	})
}

func (m *consumerMember) checkSync(req *kmsg.SyncGroupRequest) *kerr.Error {
	switch {
	case req.Generation != m.epoch:
		return kerr.IllegalGeneration
	case req.ProtocolType != nil && *req.ProtocolType != consumerProtocolType,
		req.Protocol != nil && *req.Protocol != m.classic.protocols[0].name:
		return kerr.InconsistentGroupProtocol
	}
	return nil
}

// classicAssignment encodes an assignment as the member understands it.
func (m *consumerMember) classicAssignment(a assignment, topics Topics) []byte {
	names := map[string][]int32{}
	for id, partitions := range a {
		if name, _, ok := topics.ByID(id); ok {
			names[name] = partitions
		}
	}
	said, _ := parseConsumerSubscription(m.classic.protocols[0].metadata) // was read when it joined
	return appendAssignment(said.version, names)
}

// expectJoin gives a member that was told to join again its rebalance timeout to do so.
func (l *Leader) expectJoin(g *consumerGroup, m *consumerMember, now time.Time) {
	if join := &g.live[m.id].join; !join.Armed() {
		l.timers.Schedule(join, now.Add(millis(m.rebalanceTimeout)))
	}
}

// beatConsumerGroup answers Heartbeat: REBALANCE_IN_PROGRESS when the member has to join again, to learn of a new
// assignment, to say that it has given up partitions, or to get those that others have given up.
func (l *Leader) beatConsumerGroup(g *consumerGroup, now time.Time, req *kmsg.HeartbeatRequest) *kerr.Error {
	m, err := g.classicMember(req.MemberID, req.InstanceID)
	if err != nil {
		return err
	}
	if req.Generation != m.epoch {
		return kerr.IllegalGeneration
	}
	l.touchConsumer(g, m, now)
	if m.epoch < g.epoch || m.state == memberRevoking || m.state == memberUnreleased && !g.waits(m) {
		l.expectJoin(g, m, now)
		return kerr.RebalanceInProgress
	}
	return nil
}

// waits says whether others still have partitions that a member should have.
func (g *consumerGroup) waits(m *consumerMember) bool {
	for topic, partitions := range g.target[m.id] {
		for _, partition := range partitions {
			if !m.assigned.has(topic, partition) && !g.free(topic, partition) {
				return true
			}
		}
	}
	return false
}

// leaveConsumerGroup removes members by LeaveGroup, those of either protocol. An administrator may name static members by
// their instance id alone.
func (l *Leader) leaveConsumerGroup(g *consumerGroup, now time.Time, req *kmsg.LeaveGroupRequest, reply Reply) {
	resp := kmsg.NewPtrLeaveGroupResponse()
	leaving := leavingMembers(req)
	gone := map[string]bool{}
	for _, asked := range leaving {
		id := asked.MemberID
		if id == "" && asked.InstanceID != nil {
			id = g.static[*asked.InstanceID]
		}
		_, err := g.member(id, asked.InstanceID)
		if err == nil && gone[id] {
			err = kerr.UnknownMemberID
		}
		if err == nil {
			gone[id] = true
		}
		addLeft(resp, req, asked, err)
	}
	c := l.change(g)
	if len(gone) > 0 {
		l.env.Logger.Info("group members left", "group", g.id, "members", len(gone))
		l.removeConsumers(c, now, slices.Sorted(maps.Keys(gone)))
	}
	c.commit(func(err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrLeaveGroupResponse()
			resp.ErrorCode = err.Code
		}
		reply(resp)
	})
}
