package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// leaveBatched is the first version in which LeaveGroup names several members, each with its own error.
const leaveBatched = 3

func (l *Leader) leave(now time.Time, req *kmsg.LeaveGroupRequest, reply Reply) {
	resp := kmsg.NewPtrLeaveGroupResponse()
	if req.Group == "" {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		reply(resp)
		return
	}
	if g := l.consumers[req.Group]; g != nil {
		l.leaveConsumerGroup(g, now, req, reply)
		return
	}
	g := l.find(req.Group)
	left := 0
	for _, m := range leavingMembers(req) {
		err := kerr.UnknownMemberID
		if g != nil {
			err = l.leaveMember(g, m)
		}
		if err == nil {
			left++
		}
		addLeft(resp, req, m, err)
	}
	mark := len(l.writes)
	if left > 0 {
		switch g.state {
		case stateStable, stateCompletingRebalance:
			l.prepareRebalance(g, now, "members left")
		default:
			l.maybeCompleteJoin(g, now)
		}
	}
	l.afterWrites(mark, func(err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrLeaveGroupResponse()
			resp.ErrorCode = err.Code
		}
		reply(resp)
	})
}

// leavingMembers returns who leaves.
func leavingMembers(req *kmsg.LeaveGroupRequest) []kmsg.LeaveGroupRequestMember {
	if req.Version >= leaveBatched {
		return req.Members
	}
	one := kmsg.NewLeaveGroupRequestMember()
	one.MemberID = req.MemberID
	return []kmsg.LeaveGroupRequestMember{one}
}

// addLeft says in resp what became of one who leaves.
func addLeft(resp *kmsg.LeaveGroupResponse, req *kmsg.LeaveGroupRequest, m kmsg.LeaveGroupRequestMember, err *kerr.Error) {
	if req.Version < leaveBatched {
		resp.ErrorCode = code(err)
		return
	}
	rm := kmsg.NewLeaveGroupResponseMember()
	rm.MemberID, rm.InstanceID, rm.ErrorCode = m.MemberID, m.InstanceID, code(err)
	resp.Members = append(resp.Members, rm)
}

func (l *Leader) leaveMember(g *liveGroup, asked kmsg.LeaveGroupRequestMember) *kerr.Error {
	id := asked.MemberID
	if id == "" {
		// An administrator removes a static member by its instance id alone.
		if asked.InstanceID == nil || g.static[*asked.InstanceID] == "" {
			return kerr.UnknownMemberID
		}
		l.leaves(g, g.byID[g.static[*asked.InstanceID]], asked.Reason)
		return nil
	}
	if l.dropPending(g, id) {
		return nil
	}
	m, err := g.validate(id, asked.InstanceID)
	if err != nil {
		return err
	}
	l.leaves(g, m, asked.Reason)
	return nil
}

func (l *Leader) leaves(g *liveGroup, m *member, reason *string) {
	why := ""
	if reason != nil {
		why = *reason
	}
	l.env.Logger.Info("group member left", "group", g.id, "member", m.id, "reason", why)
	l.drop(g, m, kerr.UnknownMemberID)
}
