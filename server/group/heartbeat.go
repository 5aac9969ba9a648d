package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (l *Leader) heartbeat(now time.Time, req *kmsg.HeartbeatRequest, reply Reply) {
	r := kmsg.NewPtrHeartbeatResponse()
	r.ErrorCode = code(l.beat(now, req))
	reply(r)
}

func (l *Leader) beat(now time.Time, req *kmsg.HeartbeatRequest) *kerr.Error {
	if req.Group == "" {
		return kerr.InvalidGroupID
	}
	if g := l.consumers[req.Group]; g != nil {
		return l.beatConsumerGroup(g, now, req)
	}
	g := l.find(req.Group)
	if g == nil {
		return kerr.UnknownMemberID
	}
	m, err := g.validate(req.MemberID, req.InstanceID)
	if err != nil {
		return err
	}
	if req.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	l.touch(m, now)
	if g.state == statePreparingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// touch starts a member's session over.
func (l *Leader) touch(m *member, now time.Time) {
	l.timers.Schedule(&m.session, now.Add(m.sessionTimeout))
}

// arm says what happens when a member's session ends.
func (l *Leader) arm(g *liveGroup, m *member) {
	m.session.Fire = func(now time.Time) {
		if m.alive() {
			return // it gets a new session with the answer it waits for
		}
		l.env.Logger.Info("group member's session expired", "group", g.id, "member", m.id, "timeout", m.sessionTimeout)
		l.drop(g, m, kerr.UnknownMemberID)
		switch g.state {
		case stateStable, stateCompletingRebalance:
			l.prepareRebalance(g, now, "session of "+m.id+" expired")
		default:
			l.maybeCompleteJoinOf(g, now)
		}
	}
}

// drop takes a member out and answers what it has parked, so that a client that is still there joins again.
func (l *Leader) drop(g *liveGroup, m *member, err *kerr.Error) {
	m.answerJoin(joinError("", err))
	m.answerSync(syncError(err))
	l.timers.Cancel(&m.session)
	g.remove(m)
}

// dropPending forgets a member id that was handed out.
func (l *Leader) dropPending(g *liveGroup, id string) bool {
	t := g.pending[id]
	if t == nil {
		return false
	}
	l.timers.Cancel(t)
	delete(g.pending, id)
	return true
}
