package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicConsumer is a client of the classic protocol that assigns eagerly: it has nothing while it joins. The group leader
// gives everything to itself.
type classicConsumer struct {
	h          *harness
	name       string
	id         string
	instance   *string
	generation int32
	owned      map[string][]int32
	cooperates bool // it keeps what it has while it joins, and says so
}

func (h *harness) classic(name string) *classicConsumer {
	return &classicConsumer{h: h, name: name, generation: -1}
}

func (c *classicConsumer) joinRequest() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = 9
	req.Group, req.MemberID, req.InstanceID = "g", c.id, c.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 10_000, 30_000, "consumer"
	s := kmsg.NewConsumerMemberMetadata()
	s.Version, s.Topics = 1, []string{"t"}
	if c.cooperates {
		for topic, partitions := range sorted(c.owned) {
			s.OwnedPartitions = append(s.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: topic, Partitions: partitions})
		}
	}
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", s.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	return req
}

// join joins, with a second request when the first is answered with the member id, and syncs. The answer of the first join
// may take a rebalance.
func (c *classicConsumer) join() string {
	for range 2 {
		answer := c.h.send(c.name, c.joinRequest())
		if *answer == nil {
			c.h.advance(time.Second)
		}
		if *answer == nil {
			return "parked"
		}
		resp := (*answer).(*kmsg.JoinGroupResponse)
		switch e := errorName(resp.ErrorCode); e {
		case "MEMBER_ID_REQUIRED":
			c.id = resp.MemberID
			continue
		case "ok":
		default:
			return e
		}
		c.id, c.generation = resp.MemberID, resp.Generation
		return c.sync(resp)
	}
	return "no member id"
}

func (c *classicConsumer) sync(join *kmsg.JoinGroupResponse) string {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 5
	req.Group, req.MemberID, req.Generation, req.InstanceID = "g", c.id, c.generation, c.instance
	req.ProtocolType, req.Protocol = join.ProtocolType, join.Protocol
	if join.LeaderID == c.id {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID = c.id
		a.MemberAssignment = appendAssignment(1, map[string][]int32{"t": {0, 1, 2}})
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	answer := c.h.send(c.name, req)
	if *answer == nil {
		return "parked"
	}
	resp := (*answer).(*kmsg.SyncGroupResponse)
	if resp.ErrorCode == 0 {
		owned, err := parseAssignment(resp.MemberAssignment)
		if err != nil {
			return err.Error()
		}
		c.owned = owned
	}
	return errorName(resp.ErrorCode)
}

func (c *classicConsumer) heartbeat() string {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.Generation, req.InstanceID = "g", c.id, c.generation, c.instance
	answer := c.h.send(c.name, req)
	if *answer == nil {
		return "parked"
	}
	return errorName((*answer).(*kmsg.HeartbeatResponse).ErrorCode)
}

func (c *classicConsumer) leave() string {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = 5
	req.Group = "g"
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID, m.InstanceID = c.id, c.instance
	req.Members = append(req.Members, m)
	resp := (*c.h.send(c.name, req)).(*kmsg.LeaveGroupResponse)
	return errorName(resp.Members[0].ErrorCode)
}

// live does what a client does with each heartbeat: it joins again when it is told to. Eager members give up everything
// first; cooperating ones what they were not given again.
func (c *classicConsumer) live() {
	if c.heartbeat() != "REBALANCE_IN_PROGRESS" {
		return
	}
	if !c.cooperates {
		c.owned = nil
	}
	c.join()
}

func (c *classicConsumer) has() string {
	var s []string
	for topic, partitions := range c.owned {
		for _, p := range partitions {
			s = append(s, fmt.Sprint(topic, p))
		}
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

// TestMigration takes a group from the classic protocol to the consumer protocol and back, one member at a time.
func TestMigration(t *testing.T) {
	for _, cooperates := range []bool{false, true} {
		t.Run(fmt.Sprint("cooperates=", cooperates), func(t *testing.T) {
			h := newHarness(t)
			h.config.ConsumerMigration = MigrateBoth
			old := h.classic("old")
			old.cooperates = cooperates
			h.expect("classic join", old.join(), "ok")
			h.expect("all", old.has(), "t0 t1 t2")
			h.send("old", newCommit("g0", 0, 1))

			a := h.consumer("a", "t")
			h.expect("consumer joins", a.beat(), "ok")
			a.obey()
			h.expect("nothing is free", a.has(), "")
			h.expect("state", h.groupState("g"), "Reconciling epoch=2 target=2 members=2")
			h.failover()
			h.expect("the classic member has to join again", old.heartbeat(), "REBALANCE_IN_PROGRESS")
			if !cooperates {
				old.owned = nil
			}
			h.expect("joins", old.join(), "ok")
			for range 4 {
				old.live()
				a.beat()
				a.obey()
			}
			h.expect("shared", old.has()+"|"+a.has(), "t0 t1|t2")
			h.expect("nothing to do", old.heartbeat(), "ok")
			h.expect("state", h.groupState("g"), "Stable epoch=2 target=2 members=2")

			// Commits of both kinds of members.
			commit := newCommit("g", 0, 7)
			commit.MemberID, commit.Generation = old.id, old.generation
			h.expect("classic commit", errorName((*h.send("old", commit)).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode), "ok")
			commit.Generation = 9
			h.expect("classic commit in another generation",
				errorName((*h.send("old", commit)).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode), "ILLEGAL_GENERATION")

			// The last consumer leaves: back to the classic protocol, with a rebalance.
			h.expect("leave", a.leave(leftEpoch), "ok")
			h.expect("a classic group again", h.groupState("g"), "none")
			h.failover()
			h.expect("rebalance", old.heartbeat(), "ok") // the new leader knows the members, not the rebalance
			h.expect("offsets are kept", h.fetched("g", 0, false), "7")
			h.expect("joins", old.join(), "ok")
			h.expect("all", old.has(), "t0 t1 t2")
			h.expect("leave", old.leave(), "ok")

			// An empty group takes either protocol at once.
			h.expect("consumer joins", a.beat(), "ok")
			a.obey()
			h.expect("all", a.has(), "t0 t1 t2")
			h.expect("leave", a.leave(leftEpoch), "ok")
			old.id, old.generation, old.owned = "", -1, nil
			h.expect("classic joins", old.join(), "ok")
			h.expect("all", old.has(), "t0 t1 t2")
			h.failover()
			h.expect("heartbeat", old.heartbeat(), "ok")
			h.expect("offsets are kept", h.fetched("g", 0, false), "7")
		})
	}
}

func TestMigrationByTimeout(t *testing.T) {
	h := newHarness(t)
	old, second := h.classic("old"), h.classic("second")
	h.expect("classic join", old.join(), "ok")
	a := h.consumer("a", "t")
	a.beat()
	h.expect("a classic member joins the consumer group", second.join(), "ok")
	for range 4 {
		for _, c := range []*classicConsumer{old, second} {
			c.live()
		}
		a.beat()
		a.obey()
	}
	h.expect("shared", fmt.Sprint(len(old.has()), len(second.has()), len(a.has())), "2 2 2")
	// The consumer dies: the two that are left are a classic group, and hear of it.
	for range 6 {
		h.advance(8 * time.Second)
		old.heartbeat()
		second.heartbeat()
	}
	h.expect("a classic group", h.groupState("g"), "none")
	h.expect("rebalance", old.heartbeat(), "REBALANCE_IN_PROGRESS")
	// A classic member of a consumer group that does not join again in time is out.
	a = h.consumer("a", "t")
	old.id, old.generation = "", -1
	h.advance(time.Minute)
	h.expect("join", old.join(), "ok")
	h.expect("consumer joins", a.beat(), "ok")
	for range 5 {
		h.advance(8 * time.Second)
		want := "REBALANCE_IN_PROGRESS"
		if h.leader.consumers["g"].members[old.id] == nil {
			want = "UNKNOWN_MEMBER_ID"
		}
		h.expect("told to join", old.heartbeat(), want)
		a.beat()
		a.obey()
	}
	h.expect("it did not", old.heartbeat(), "UNKNOWN_MEMBER_ID")
	a.beat()
	a.obey()
	h.expect("all to the consumer", a.has(), "t0 t1 t2")
}

func TestMigrationRefused(t *testing.T) {
	h := newHarness(t)
	h.config.ConsumerMigration = MigrateNever
	h.lead()
	old := h.classic("old")
	h.expect("classic join", old.join(), "ok")
	h.expect("no upgrade", h.consumer("a", "t").beat(), "GROUP_ID_NOT_FOUND")
	h.expect("undisturbed", old.heartbeat(), "ok")

	h.config.ConsumerMigration = MigrateUpgrade
	h.lead()
	a := h.consumer("a", "t")
	h.expect("upgrade", a.beat(), "ok")
	h.expect("leave", a.leave(leftEpoch), "ok")
	h.expect("no downgrade", h.groupState("g"), "Assigning epoch=3 target=2 members=1")
	h.expect("it is told", old.heartbeat(), "REBALANCE_IN_PROGRESS")
	h.expect("joins", old.join(), "ok")
	h.expect("all", old.has(), "t0 t1 t2")

	h.expect("another type of member", func() string {
		req := old.joinRequest()
		req.MemberID, req.ProtocolType = "", "connect"
		return errorName((*h.send("x", req)).(*kmsg.JoinGroupResponse).ErrorCode)
	}(), "INCONSISTENT_GROUP_PROTOCOL")
	h.expect("another assignor", func() string {
		req := old.joinRequest()
		req.MemberID, req.Protocols[0].Name = "", "sticky"
		return errorName((*h.send("x", req)).(*kmsg.JoinGroupResponse).ErrorCode)
	}(), "INCONSISTENT_GROUP_PROTOCOL")
	h.expect("garbage", func() string {
		req := old.joinRequest()
		req.MemberID, req.Protocols[0].Metadata = "", []byte{1}
		return errorName((*h.send("x", req)).(*kmsg.JoinGroupResponse).ErrorCode)
	}(), "INCONSISTENT_GROUP_PROTOCOL")
}

// A static member that comes back with the other protocol takes the place of its former self.
func TestMigrationStatic(t *testing.T) {
	h := newHarness(t)
	old := h.classic("old")
	old.instance = text("i")
	h.expect("classic join", old.join(), "ok")
	a := h.consumer("a", "t")
	a.instance = text("i")
	h.expect("comes back as a consumer", a.beat(), "ok")
	a.obey()
	h.expect("with all", a.has(), "t0 t1 t2")
	h.expect("alone", h.groupState("g"), "Stable epoch=2 target=2 members=1")
	h.expect("its former self", old.heartbeat(), "FENCED_INSTANCE_ID")
	again := h.classic("again")
	again.instance = text("i")
	h.expect("and back again", again.join(), "ok")
	h.expect("a classic group", h.groupState("g"), "none")
	h.failover()
	h.expect("heartbeat", again.heartbeat(), "ok")
}
