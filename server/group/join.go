package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/timers"
)

const (
	// joinMemberIDRequired is the first version whose clients can be told MEMBER_ID_REQUIRED.
	joinMemberIDRequired = 4
	// joinSkipAssignment is the first version whose leaders understand that nothing is to be assigned (KIP-814).
	joinSkipAssignment = 9
)

// joining is a JoinGroup request being decided.
type joining struct {
	now    time.Time
	client Client
	req    *kmsg.JoinGroupRequest
	reply  Reply
}

func (j joining) refuse(memberID string, err *kerr.Error) { j.reply(joinError(memberID, err)) }

// rebalanceTimeout is the session timeout in version 0, which has no field for it.
func (j joining) rebalanceTimeout() time.Duration {
	if j.req.Version == 0 {
		return millis(j.req.SessionTimeoutMillis)
	}
	return millis(j.req.RebalanceTimeoutMillis)
}

// reason is what the log says about a rebalance.
func (j joining) reason(what string) string {
	if j.req.Reason == nil || *j.req.Reason == "" {
		return what
	}
	return what + "; client reason: " + *j.req.Reason
}

func (l *Leader) join(now time.Time, client Client, req *kmsg.JoinGroupRequest, reply Reply) {
	j := joining{now, client, req, reply}
	session := millis(req.SessionTimeoutMillis)
	switch {
	case req.Group == "":
		j.refuse(req.MemberID, kerr.InvalidGroupID)
		return
	case session < l.env.Config.MinSessionTimeout || session > l.env.Config.MaxSessionTimeout:
		j.refuse(req.MemberID, kerr.InvalidSessionTimeout)
		return
	case l.shares[req.Group] != nil:
		j.refuse("", kerr.InconsistentGroupProtocol)
		return
	}
	if g := l.consumers[req.Group]; g != nil {
		if len(g.members) > 0 {
			l.joinConsumerGroup(g, j)
			return
		}
		l.makeClassic(g, now)
	}
	names := make([]string, len(req.Protocols))
	for i, p := range req.Protocols {
		names[i] = p.Name
	}
	g := l.find(req.Group)
	if g == nil {
		// A group comes into being only for a member that may join it, so that requests in error leave nothing.
		if req.MemberID != "" {
			j.refuse(req.MemberID, kerr.UnknownMemberID)
			return
		}
		if !newLiveGroup("").supports(req.ProtocolType, names) {
			j.refuse("", kerr.InconsistentGroupProtocol)
			return
		}
		g = l.load(req.Group)
	}
	switch {
	case !l.accepts(g, req.MemberID):
		l.rejectOversize(g, j)
	case !g.supports(req.ProtocolType, names):
		j.refuse(req.MemberID, kerr.InconsistentGroupProtocol)
	case req.MemberID == "":
		l.joinNew(g, j)
	default:
		l.joinKnown(g, j)
	}
}

// accepts says whether group.max.size leaves room. While a rebalance gathers members, those who wait are counted: the last
// to rejoin a group above its limit are left out.
func (l *Leader) accepts(g *liveGroup, memberID string) bool {
	m := g.byID[memberID]
	switch g.state {
	case stateEmpty:
		return true
	case statePreparingRebalance:
		return m != nil && m.join != nil || g.awaitingJoin() < int(l.env.Config.MaxSize)
	default:
		return m != nil || len(g.members) < int(l.env.Config.MaxSize)
	}
}

func (l *Leader) rejectOversize(g *liveGroup, j joining) {
	if m := g.byID[j.req.MemberID]; m != nil {
		l.drop(g, m, kerr.GroupMaxSizeReached)
	}
	l.dropPending(g, j.req.MemberID)
	j.refuse("", kerr.GroupMaxSizeReached)
	l.maybeCompleteJoin(g, j.now)
}

// joinNew lets in somebody without a member id.
func (l *Leader) joinNew(g *liveGroup, j joining) {
	if instance := j.req.InstanceID; instance != nil {
		if old := g.static[*instance]; old != "" {
			l.replaceStatic(g, g.byID[old], j)
			return
		}
		l.addMember(g, l.newMemberID(*instance), j)
		return
	}
	id := l.newMemberID(j.client.ID)
	if j.req.Version < joinMemberIDRequired {
		l.addMember(g, id, j)
		return
	}
	if len(g.pending) >= int(l.env.Config.MaxSize) {
		j.refuse("", kerr.GroupMaxSizeReached)
		return
	}
	// A client that gives up before it has its id would leave a member behind that nobody speaks for (KIP-394): it has
	// to come back with the id before it counts.
	t := &timers.Timer{Fire: func(now time.Time) {
		delete(g.pending, id)
		l.maybeCompleteJoinOf(g, now)
	}}
	g.pending[id] = t
	l.timers.Schedule(t, j.now.Add(millis(j.req.SessionTimeoutMillis)))
	j.refuse(id, kerr.MemberIDRequired)
}

// newMemberID makes an id as Kafka does: the client id or group.instance.id, a dash, a UUID.
func (l *Leader) newMemberID(prefix string) string { return prefix + "-" + l.env.NewID() }

// joinKnown lets in, or back in, somebody who has a member id.
func (l *Leader) joinKnown(g *liveGroup, j joining) {
	id := j.req.MemberID
	if g.pending[id] != nil && j.req.InstanceID == nil {
		l.dropPending(g, id)
		l.addMember(g, id, j)
		return
	}
	m, err := g.validate(id, j.req.InstanceID)
	if err != nil {
		j.refuse(id, err)
		return
	}
	switch g.state {
	case statePreparingRebalance:
		l.updateMember(g, m, j, "member rejoins")
	case stateCompletingRebalance:
		if !m.matches(j.req.Protocols) {
			l.updateMember(g, m, j, "member changed its protocols")
			return
		}
		// It may have missed the answer to its join.
		j.reply(g.joined(m))
	case stateStable:
		switch {
		case g.leader == m.id:
			// The leader may know of changes that its own metadata does not show, such as new partitions.
			l.updateMember(g, m, j, "leader rejoins")
		case !m.matches(j.req.Protocols):
			l.updateMember(g, m, j, "member changed its protocols")
		default:
			j.reply(g.joined(m))
		}
	default:
		j.refuse(id, kerr.UnknownMemberID)
	}
}

// validate checks a member's identity. A static member's id is the one that its group.instance.id joined with last.
func (g *liveGroup) validate(memberID string, instanceID *string) (*member, *kerr.Error) {
	if instanceID != nil {
		switch current := g.static[*instanceID]; current {
		case "":
			return nil, kerr.UnknownMemberID
		case memberID:
		default:
			return nil, kerr.FencedInstanceID
		}
	}
	m := g.byID[memberID]
	if m == nil {
		return nil, kerr.UnknownMemberID
	}
	return m, nil
}

// joined is the answer to a member of the current generation; the leader gets all members to assign to.
func (g *liveGroup) joined(m *member) *kmsg.JoinGroupResponse {
	r := kmsg.NewPtrJoinGroupResponse()
	r.Generation = g.generation
	r.ProtocolType = nullable(g.protocolType)
	r.Protocol = nullable(g.protocol)
	r.LeaderID = g.leader
	r.MemberID = m.id
	if g.leader == m.id {
		r.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.members))
		for _, other := range g.members {
			rm := kmsg.NewJoinGroupResponseMember()
			rm.MemberID = other.id
			rm.InstanceID = other.instanceID
			rm.ProtocolMetadata = other.subscription(g.protocol)
			r.Members = append(r.Members, rm)
		}
	}
	return r
}

// addMember makes a member and parks its join.
func (l *Leader) addMember(g *liveGroup, id string, j joining) {
	m := &member{
		id:               id,
		instanceID:       cloneOptional(j.req.InstanceID),
		client:           Client{j.client.ID, j.client.Host},
		rebalanceTimeout: j.rebalanceTimeout(),
		sessionTimeout:   millis(j.req.SessionTimeoutMillis),
		protocols:        newProtocols(j.req.Protocols),
		isNew:            true,
		join:             j.reply,
	}
	if len(g.members) == 0 {
		g.protocolType = j.req.ProtocolType
	}
	if g.state == statePreparingRebalance && g.initial {
		g.newMember = true
	}
	g.add(m)
	l.arm(g, m)
	l.timers.Schedule(&m.session, j.now.Add(l.env.Config.NewMemberJoinTimeout))
	l.rebalance(g, j.now, j.reason("new member "+id))
}

// updateMember takes over what a rejoin says and parks it.
func (l *Leader) updateMember(g *liveGroup, m *member, j joining, why string) {
	// A second join of one member: the client gave up on the first, but somebody may still be listening.
	m.answerJoin(joinError(m.id, kerr.RebalanceInProgress))
	m.protocols = newProtocols(j.req.Protocols)
	m.rebalanceTimeout = j.rebalanceTimeout()
	m.sessionTimeout = millis(j.req.SessionTimeoutMillis)
	m.join = j.reply
	l.rebalance(g, j.now, j.reason(why+" "+m.id))
}
