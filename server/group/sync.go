package group

import (
	"bytes"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// syncProtocolMandatory is the first version in which SyncGroup must name the protocol type and protocol.
const syncProtocolMandatory = 5

func (l *Leader) sync(now time.Time, req *kmsg.SyncGroupRequest, reply Reply) {
	if g := l.consumers[req.Group]; g != nil && !(req.Version >= syncProtocolMandatory && (req.ProtocolType == nil || req.Protocol == nil)) {
		l.syncConsumerGroup(g, now, req, reply)
		return
	}
	g, m, err := l.validateSync(req)
	if err != nil {
		reply(syncError(err))
		return
	}
	switch g.state {
	case statePreparingRebalance:
		reply(syncError(kerr.RebalanceInProgress))
	case stateStable:
		l.synced(g, m)
		reply(g.assigned(m))
	case stateCompletingRebalance:
		m.answerSync(syncError(kerr.RebalanceInProgress)) // a sync that the client gave up on
		m.sync = reply
		l.synced(g, m)
		if g.leader == m.id && !g.assigning {
			l.assign(g, now, req)
		}
	default:
		reply(syncError(kerr.UnknownMemberID))
	}
}

func (l *Leader) validateSync(req *kmsg.SyncGroupRequest) (*liveGroup, *member, *kerr.Error) {
	if req.Version >= syncProtocolMandatory && (req.ProtocolType == nil || req.Protocol == nil) {
		return nil, nil, kerr.InconsistentGroupProtocol
	}
	if req.Group == "" {
		return nil, nil, kerr.InvalidGroupID
	}
	g := l.find(req.Group)
	if g == nil {
		return nil, nil, kerr.UnknownMemberID
	}
	m, err := g.validate(req.MemberID, req.InstanceID)
	if err != nil {
		return nil, nil, err
	}
	differs := func(asked *string, is string) bool { return asked != nil && is != "" && *asked != is }
	switch {
	case req.Generation != g.generation:
		return nil, nil, kerr.IllegalGeneration
	case differs(req.ProtocolType, g.protocolType) || differs(req.Protocol, g.protocol):
		return nil, nil, kerr.InconsistentGroupProtocol
	}
	return g, m, nil
}

// synced notes that a member has asked for its assignment.
func (l *Leader) synced(g *liveGroup, m *member) {
	delete(g.pendingSync, m.id)
	if len(g.pendingSync) == 0 {
		l.timers.Cancel(&g.syncTimer)
	}
}

// assigned is the answer to a member of a stable group.
func (g *liveGroup) assigned(m *member) *kmsg.SyncGroupResponse {
	r := kmsg.NewPtrSyncGroupResponse()
	r.ProtocolType = nullable(g.protocolType)
	r.Protocol = nullable(g.protocol)
	r.MemberAssignment = m.assignment
	return r
}

// assign makes the group leader's assignment durable, then hands it out. Members that it leaves out get an empty one.
func (l *Leader) assign(g *liveGroup, now time.Time, req *kmsg.SyncGroupRequest) {
	assignments := make(map[string][]byte, len(req.GroupAssignment))
	for _, a := range req.GroupAssignment {
		if m := g.byID[a.MemberID]; m != nil {
			assignments[m.id] = bytes.Clone(a.MemberAssignment)
		}
	}
	stored := groupStored{g.id, g.membership(assignments)}
	if len(encodeRecord(stored)) > l.env.Config.MaxRecordBytes {
		l.env.Logger.Warn("group assignment is too large", "group", g.id, "members", len(g.members),
			"limit", l.env.Config.MaxRecordBytes)
		for _, m := range g.members {
			l.releaseSync(g, m, now, kerr.UnknownServerError)
		}
		l.prepareRebalance(g, now, "the assignment is too large")
		return
	}
	generation := g.generation
	g.assigning = true
	l.write(g.id, []record{stored}, false, func(now time.Time, err *kerr.Error) {
		if g.state != stateCompletingRebalance || g.generation != generation {
			return // the next rebalance has begun
		}
		if err != nil {
			for _, m := range g.members {
				l.releaseSync(g, m, now, err)
			}
			return
		}
		g.setState(stateStable, now)
		for _, m := range g.members {
			m.assignment = assignments[m.id]
			l.releaseSync(g, m, now, nil)
		}
	})
}

// releaseSync answers a parked sync, with the assignment when err is nil. The session starts over: while it waited no
// heartbeat was expected.
func (l *Leader) releaseSync(g *liveGroup, m *member, now time.Time, err *kerr.Error) {
	r := g.assigned(m)
	if err != nil {
		r = syncError(err)
	}
	if m.answerSync(r) {
		l.touch(m, now)
	}
}
