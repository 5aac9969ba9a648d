package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sharePartitions is what the partitions' leaders have of share groups: the start offsets of share partitions.
type sharePartitions struct {
	starts map[string]map[SharePartition]int64 // by group
	tasks  []*ShareTask                        // not done yet
	tried  int                                 // tasks that are done or not
	hold   bool                                // they are not done by themselves
	err    *kerr.Error                         // what they come to; nil: they are done
}

func newSharePartitions() *sharePartitions {
	return &sharePartitions{starts: map[string]map[SharePartition]int64{}}
}

// perform does a task, as far as there are such partitions.
func (h *harness) perform(t *ShareTask) {
	if h.shares.starts[t.Group] == nil {
		h.shares.starts[t.Group] = map[SharePartition]int64{}
	}
	starts := h.shares.starts[t.Group]
	for i, p := range t.Partitions {
		_, partitions, exists := h.topics.ByID(p.Topic)
		switch _, there := starts[p]; {
		case !exists || p.Partition >= partitions:
		case t.Kind == DeleteShare:
			delete(starts, p)
		case t.Kind == AlterShare:
			starts[p] = t.Starts[i]
		case !there:
			starts[p] = 0
		}
	}
}

// doTask does the first task and tells the Leader.
func (h *harness) doTask() {
	t := h.shares.tasks[0]
	h.shares.tasks = h.shares.tasks[1:]
	h.shares.tried++
	errs := make([]*kerr.Error, len(t.Partitions))
	for i, p := range t.Partitions {
		if errs[i] = h.shares.err; errs[i] == nil {
			if _, _, exists := h.topics.ByID(p.Topic); !exists {
				errs[i] = kerr.UnknownTopicOrPartition
			}
		}
	}
	if h.shares.err == nil {
		h.perform(t)
	}
	h.leader.ShareTaskDone(h.now, t, errs)
}

// sharesOf shows where a group has share partitions: t0=5 u2=0.
func (h *harness) sharesOf(group string) string {
	var shown []string
	for p, start := range h.shares.starts[group] {
		name, _, _ := h.topics.ByID(p.Topic)
		shown = append(shown, fmt.Sprintf("%s%d=%d", name, p.Partition, start))
	}
	slices.Sort(shown)
	return strings.Join(shown, " ")
}

// sharer is a client of a share group.
type sharer struct {
	h        *harness
	group    string
	id       string
	rack     *string
	topics   []string // sent when it joins, and when changed
	changed  bool
	epoch    int32
	owned    assignment
	interval time.Duration // when it is to be heard next
	told     bool          // the last answer had an assignment
}

func (h *harness) sharer(id string, topics ...string) *sharer {
	return &sharer{h: h, group: "g", id: id, topics: topics, owned: assignment{}}
}

func (c *sharer) request() *kmsg.ShareGroupHeartbeatRequest {
	req := kmsg.NewPtrShareGroupHeartbeatRequest()
	req.Version = 1
	req.GroupID, req.MemberID, req.MemberEpoch, req.RackID = c.group, c.id, c.epoch, c.rack
	if c.epoch == 0 || c.changed {
		req.SubscribedTopicNames = append([]string{}, c.topics...)
	}
	return req
}

// beat sends a heartbeat and takes in the answer, whose error it returns.
func (c *sharer) beat() string {
	answer := c.h.send(c.id, c.request())
	if *answer == nil {
		return "parked"
	}
	return c.take((*answer).(*kmsg.ShareGroupHeartbeatResponse))
}

func (c *sharer) take(resp *kmsg.ShareGroupHeartbeatResponse) string {
	switch e := errorName(resp.ErrorCode); e {
	case "ok":
	case "FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID", "GROUP_ID_NOT_FOUND":
		c.epoch, c.owned = 0, assignment{}
		return e
	default:
		c.changed = true
		return e
	}
	c.epoch, c.changed = resp.MemberEpoch, false
	c.interval = time.Duration(resp.HeartbeatIntervalMillis) * time.Millisecond
	if c.told = resp.Assignment != nil; c.told {
		c.owned = assignment{}
		for _, t := range resp.Assignment.TopicPartitions {
			c.owned[t.TopicID] = t.Partitions
		}
	}
	return "ok"
}

func (c *sharer) leave() string {
	c.epoch = leftEpoch
	answer := c.h.send(c.id, c.request())
	c.epoch, c.owned = 0, assignment{}
	if *answer == nil {
		return "parked"
	}
	return errorName((*answer).(*kmsg.ShareGroupHeartbeatResponse).ErrorCode)
}

// has shows what a member works on: t0 t1 u2.
func (c *sharer) has() string {
	var shown []string
	for id, partitions := range c.owned {
		name, _, _ := c.h.topics.ByID(id)
		for _, p := range partitions {
			shown = append(shown, fmt.Sprint(name, p))
		}
	}
	slices.Sort(shown)
	return strings.Join(shown, " ")
}

// settleShares lets all members beat until nothing changes.
func settleShares(members ...*sharer) {
	for range 4 {
		for _, c := range members {
			c.beat()
		}
	}
}

func (h *harness) shareState(id string) string {
	if g := h.leader.shares[id]; g != nil {
		return fmt.Sprintf("%s epoch=%d target=%d members=%d initializing=%d initialized=%d deleting=%d", g.stateName(), g.epoch,
			g.targetEpoch, len(g.members), g.partitions[shareInitializing].count(), g.partitions[shareInitialized].count(),
			g.partitions[shareDeleting].count())
	}
	return "none"
}

// Share partitions are made before they are assigned, and the members come soon to get them.
func TestShareJoin(t *testing.T) {
	h := newHarness(t)
	h.shares.hold = true
	a := h.sharer("a", "t")
	h.expect("join", a.beat(), "ok")
	h.expect("assigned", fmt.Sprint(a.has(), a.epoch, a.told, a.interval), "2 true 50ms")
	h.expect("group", h.shareState("g"), "Stable epoch=2 target=2 members=1 initializing=3 initialized=0 deleting=0")
	h.now = h.now.Add(50 * time.Millisecond)
	h.expect("heartbeat", a.beat(), "ok")
	h.expect("nothing new", fmt.Sprint(a.has(), a.epoch, a.told, a.interval), "2 false 50ms")
	h.now = h.now.Add(150 * time.Millisecond)
	a.beat()
	h.expect("it takes long", fmt.Sprint(a.interval), "200ms")
	h.now = h.now.Add(time.Minute)
	a.beat()
	h.expect("it takes very long", fmt.Sprint(a.interval), "5s")

	h.shares.hold = false
	h.settle()
	h.expect("share partitions", h.sharesOf("g"), "t0=0 t1=0 t2=0")
	h.expect("group", h.shareState("g"), "Stable epoch=3 target=2 members=1 initializing=0 initialized=3 deleting=0")
	h.expect("heartbeat", a.beat(), "ok")
	h.expect("assigned", fmt.Sprint(a.has(), " ", a.epoch, a.told, a.interval), "t0 t1 t2 3 true 5s")
	h.expect("heartbeat", a.beat(), "ok")
	h.expect("nothing new", fmt.Sprint(a.epoch, a.told), "3 false")

	b := h.sharer("b", "t")
	h.expect("join", b.beat(), "ok")
	h.expect("there is some for it at once", b.has(), "t2")
	a.beat()
	h.expect("the first has less", a.has(), "t0 t1")
	c, d := h.sharer("c", "t"), h.sharer("d", "t")
	settleShares(a, b, c, d)
	h.expect("more members than partitions", fmt.Sprint(a.has(), ", ", b.has(), ", ", c.has(), ", ", d.has()), "t0 t1, t2, t1 t2, t0")

	h.expect("leave", d.leave(), "ok")
	h.expect("leave again", d.leave(), "UNKNOWN_MEMBER_ID")
	settleShares(a, b, c)
	h.expect("as many members as partitions", fmt.Sprint(a.has(), ", ", b.has(), ", ", c.has()), "t0, t2, t1")
	h.failover()
	settleShares(a, b, c)
	h.expect("a new coordinator", fmt.Sprint(a.has(), ", ", b.has(), ", ", c.has()), "t0, t2, t1")
	h.advance(30 * time.Second)
	a.beat()
	h.advance(16 * time.Second)
	h.expect("the others are gone", h.shareState("g"), "Stable epoch=9 target=7 members=1 initializing=0 initialized=3 deleting=0")
	a.beat()
	h.expect("one is left", a.has(), "t0 t1 t2")
	h.expect("b comes back", b.beat(), "UNKNOWN_MEMBER_ID")
	h.expect("and joins", b.beat(), "ok")
}

func TestShareHeartbeatRefused(t *testing.T) {
	type request = kmsg.ShareGroupHeartbeatRequest
	for _, test := range []struct {
		name   string
		change func(r *request)
		want   string
	}{
		{"a blank member id", func(r *request) { r.MemberID = " " }, "INVALID_REQUEST: MemberId can't be empty."},
		{"no group", func(r *request) { r.GroupID = " " }, "INVALID_REQUEST: GroupId can't be empty."},
		{"a blank rack", func(r *request) { r.RackID = text("") }, "INVALID_REQUEST: RackId can't be empty."},
		{"no topics", func(r *request) { r.SubscribedTopicNames = nil }, "INVALID_REQUEST: SubscribedTopicNames must be set in first request."},
		{"empty topics", func(r *request) { r.SubscribedTopicNames = []string{} }, "INVALID_REQUEST: SubscribedTopicNames must be set in first request."},
		{"epoch", func(r *request) { r.MemberEpoch = -2 }, "INVALID_REQUEST: MemberEpoch is invalid."},
		{"no such group", func(r *request) { r.MemberEpoch = 1 }, "GROUP_ID_NOT_FOUND: Share group g not found."},
		{"leaves no such group", func(r *request) { r.MemberEpoch = -1 }, "GROUP_ID_NOT_FOUND: Group g not found."},
		{"not a member", func(r *request) { r.GroupID, r.MemberEpoch = "h", 1 }, "UNKNOWN_MEMBER_ID: Member m is not a member of group h."},
		{"leaves, not a member", func(r *request) { r.GroupID, r.MemberEpoch = "h", -1 }, "UNKNOWN_MEMBER_ID: Member m is not a member of group h."},
		{
			"large subscription", func(r *request) { r.SubscribedTopicNames = []string{strings.Repeat("x", 1024)} },
			"INVALID_REQUEST: The subscription is too large.",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t)
			h.config.MaxRecordBytes = 1 << 10
			h.lead()
			other := h.sharer("a", "t")
			other.group = "h"
			other.beat()
			req := h.sharer("m", "t").request()
			test.change(req)
			resp := (*h.send("m", req)).(*kmsg.ShareGroupHeartbeatResponse)
			got := errorName(resp.ErrorCode)
			if resp.ErrorMessage != nil {
				got += ": " + *resp.ErrorMessage
			}
			h.expect("answer", got, test.want)
		})
	}
}

func TestShareEpochs(t *testing.T) {
	h := newHarness(t)
	a := h.sharer("a", "t")
	settleShares(a)
	h.expect("epoch", fmt.Sprint(a.epoch), "3")
	a.epoch = 2
	h.expect("the answer with the last epoch was lost", a.beat(), "ok")
	h.expect("epoch", fmt.Sprint(a.epoch, a.told), "3 false")
	a.epoch = 1
	h.expect("an old epoch", a.beat(), "FENCED_MEMBER_EPOCH")
	h.expect("it joins again", a.beat(), "ok")
	h.expect("what it had", fmt.Sprint(a.has(), " ", a.epoch), "t0 t1 t2 3")
	a.epoch = 4
	h.expect("an epoch of the future", a.beat(), "FENCED_MEMBER_EPOCH")

	a.beat()
	a.topics, a.changed = []string{"u"}, true
	settleShares(a)
	h.expect("another topic", a.has(), "u0 u1 u2")
	a.topics, a.changed = nil, true
	settleShares(a)
	h.expect("no topic", a.has(), "")
	h.expect("share partitions stay", h.sharesOf("g"), "t0=0 t1=0 t2=0 u0=0 u1=0 u2=0")
}

func TestShareDurableBeforeAnswered(t *testing.T) {
	h := newHarness(t)
	h.hold = true
	a := h.sharer("a", "t")
	answer := h.send("a", a.request())
	if *answer != nil || len(h.shares.tasks) > 0 {
		t.Fatalf("answered %v with %d tasks before anything was written", *answer, len(h.shares.tasks))
	}
	h.shares.hold = true
	h.commitOne()
	h.settle()
	if *answer == nil || len(h.shares.tasks) != 1 {
		t.Fatalf("answered %v with %d tasks", *answer, len(h.shares.tasks))
	}
	h.failover()
	if len(h.shares.tasks) != 1 {
		t.Fatalf("%d tasks after a failover", len(h.shares.tasks))
	}
}

func TestShareInitializeFails(t *testing.T) {
	h := newHarness(t)
	h.shares.err = kerr.LeaderNotAvailable
	a := h.sharer("a", "t")
	a.beat()
	for range 5 { // heartbeats do not hasten it
		a.beat()
	}
	h.expect("group", h.shareState("g"), "Stable epoch=2 target=2 members=1 initializing=3 initialized=0 deleting=0")
	h.shares.err = nil
	a.beat()
	h.expect("not yet", h.sharesOf("g"), "")
	b := h.sharer("b", "u")
	b.beat()
	h.expect("others do not wait", h.sharesOf("g"), "u0=0 u1=0 u2=0")
	h.advance(shareRetryDelay)
	h.expect("again", h.sharesOf("g"), "t0=0 t1=0 t2=0 u0=0 u1=0 u2=0")
	settleShares(a, b)
	h.expect("assigned", a.has()+" "+b.has(), "t0 t1 t2 u0 u1 u2")

	// What goes on failing is tried ever more seldom.
	h.shares.err = kerr.LeaderNotAvailable
	c := h.sharer("c", "t")
	c.group = "other"
	c.beat()
	tries := h.shares.tried
	h.advance(time.Minute)
	h.expect("tries in a minute", fmt.Sprint(h.shares.tried-tries), "5")
}

func TestShareTopicsChange(t *testing.T) {
	h := newHarness(t)
	a := h.sharer("a", "t", "new")
	settleShares(a)
	h.expect("topics that exist", a.has(), "t0 t1 t2")
	h.topics.create("new", 2)
	settleShares(a)
	h.expect("one is created", a.has(), "new0 new1 t0 t1 t2")
	h.topics.version++
	h.topics.partitions["t"] = 4
	settleShares(a)
	h.expect("one grows", a.has(), "new0 new1 t0 t1 t2 t3")
	h.topics.remove("t")
	settleShares(a)
	h.expect("one is deleted", a.has(), "new0 new1")
	h.leader.DeleteOrphans(h.now)
	h.settle()
	h.expect("and forgotten", h.shareState("g"), "Stable epoch=8 target=8 members=1 initializing=0 initialized=2 deleting=0")
	h.topics.create("t", 1)
	settleShares(a)
	h.expect("and created again", a.has(), "new0 new1 t0")

	// A leader whose metadata is old does not judge.
	old := h.topics
	h.topics = newFakeTopics()
	h.failover()
	h.leader.DeleteOrphans(h.now)
	h.settle()
	h.topics = old
	settleShares(a)
	h.expect("nothing is lost", a.has(), "new0 new1 t0")
}

func TestShareConfigs(t *testing.T) {
	h := newHarness(t)
	h.config.ShareMaxSize = 2
	h.configs = map[string]string{"g/share.heartbeat.interval.ms": "7000", "g/share.session.timeout.ms": "10000"}
	h.failover()
	a, b, c := h.sharer("a", "t"), h.sharer("b", "t"), h.sharer("c", "t")
	settleShares(a, b)
	h.expect("interval", fmt.Sprint(a.interval), "7s")
	h.expect("the group is full", c.beat(), "GROUP_MAX_SIZE_REACHED")
	a.epoch = 0
	h.expect("not for members", a.beat(), "ok")
	h.configs["g/share.heartbeat.interval.ms"] = "10000"
	a.beat()
	h.expect("sessions would end", fmt.Sprint(a.interval), "3.333s")
	h.advance(10 * time.Second)
	h.expect("sessions end", h.shareState("g"), "Empty epoch=6 target=4 members=0 initializing=0 initialized=3 deleting=0")
	h.advance(8 * 24 * time.Hour)
	h.expect("the group stays", h.shareState("g"), "Empty epoch=6 target=4 members=0 initializing=0 initialized=3 deleting=0")
}

// A group has one type.
func TestShareGroupType(t *testing.T) {
	h := newHarness(t)
	h.sharer("a", "t").beat()
	j := h.classic("j")
	h.expect("classic member", j.join(), "INCONSISTENT_GROUP_PROTOCOL")
	h.expect("consumer", h.consumer("c", "t").beat(), "GROUP_ID_NOT_FOUND")
	j.id, j.generation = "j", 1
	h.expect("classic heartbeat", j.heartbeat(), "UNKNOWN_MEMBER_ID")
	h.expect("classic leave", j.leave(), "UNKNOWN_MEMBER_ID")
	h.expect("transactional commit", txnCode(h.txnCommit(newTxnCommit("g", 1, 0, 0, 1))), "GROUP_ID_NOT_FOUND")
	h.expect("fetch", h.fetched("g", 0, false), "-1")
	for _, generation := range []int32{-1, 1} {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation, req.MemberID = 9, "g", generation, "m"
		rt := kmsg.NewOffsetCommitRequestTopic()
		rt.Topic, rt.Partitions = "t", []kmsg.OffsetCommitRequestTopicPartition{kmsg.NewOffsetCommitRequestTopicPartition()}
		req.Topics = append(req.Topics, rt)
		resp := (*h.send("c", req)).(*kmsg.OffsetCommitResponse)
		h.expect("commit", errorName(resp.Topics[0].Partitions[0].ErrorCode), "GROUP_ID_NOT_FOUND")
	}
	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = "g"
	h.expect("delete offsets", errorName((*h.send("c", del)).(*kmsg.OffsetDeleteResponse).ErrorCode), "GROUP_ID_NOT_FOUND")

	for _, other := range []string{"simple", "consumers"} {
		a := h.sharer("a", "t")
		a.group = other
		if other == "simple" {
			h.hold = true
			h.commitLater(other, 0, 1)
			h.expect("a simple group is being made", a.beat(), "COORDINATOR_LOAD_IN_PROGRESS")
			h.hold = false
			h.settle()
		} else {
			c := h.consumer("c", "t")
			c.group = other
			c.beat()
		}
		h.expect(other, a.beat(), "GROUP_ID_NOT_FOUND")
		h.expect(other, a.leave(), "GROUP_ID_NOT_FOUND")
		a.epoch = 5
		h.expect(other, a.beat(), "GROUP_ID_NOT_FOUND")
	}
}

func TestShareDescribe(t *testing.T) {
	h := newHarness(t)
	a := h.sharer("a", "u", "t")
	a.rack = text("r")
	settleShares(a)
	describe := func(id string) string {
		req := kmsg.NewPtrShareGroupDescribeRequest()
		req.Version, req.GroupIDs, req.IncludeAuthorizedOperations = 1, []string{id}, true
		d := (*h.send("c", req)).(*kmsg.ShareGroupDescribeResponse).Groups[0]
		if d.ErrorCode != 0 {
			return errorName(d.ErrorCode) + ": " + *d.ErrorMessage
		}
		s := fmt.Sprint(d.GroupState, " ", d.GroupEpoch, " ", d.AssignmentEpoch, " ", d.Assignor, " ", d.AuthorizedOperations)
		for _, m := range d.Members {
			s += fmt.Sprint(" ", m.MemberID, " ", *m.RackID, " ", m.MemberEpoch, " ", m.ClientID, m.ClientHost, " ", m.SubscribedTopicNames)
			for _, t := range m.Assignment.TopicPartitions {
				s += fmt.Sprint(" ", t.Topic, t.Partitions)
			}
		}
		return s
	}
	h.expect("described", describe("g"), "Stable 3 3 simple 3400 a r 3 a/127.0.0.1 [t u] t[0 1 2] u[0 1 2]")
	h.topics.remove("t")
	h.expect("a topic is gone", describe("g"), "Stable 3 3 simple 3400 a r 3 a/127.0.0.1 [t u] u[0 1 2]")
	h.expect("none", describe("none"), "GROUP_ID_NOT_FOUND: Group none not found.")
	c := h.consumer("c", "u")
	c.group = "consumers"
	c.beat()
	h.expect("another type", describe("consumers"), "GROUP_ID_NOT_FOUND: Group consumers is not a share group.")

	old := kmsg.NewPtrDescribeGroupsRequest()
	old.Version, old.Groups = 6, []string{"g"}
	d := (*h.send("c", old)).(*kmsg.DescribeGroupsResponse).Groups[0]
	h.expect("DescribeGroups", errorName(d.ErrorCode)+" "+d.State+" "+*d.ErrorMessage, "GROUP_ID_NOT_FOUND Dead Group g is not a classic group.")
	modern := kmsg.NewPtrConsumerGroupDescribeRequest()
	modern.Groups = []string{"g"}
	m := (*h.send("c", modern)).(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
	h.expect("ConsumerGroupDescribe", errorName(m.ErrorCode)+" "+*m.ErrorMessage, "GROUP_ID_NOT_FOUND Group g is not a consumer group.")

	list := func(types ...string) (s string) {
		req := kmsg.NewPtrListGroupsRequest()
		req.Version, req.TypesFilter = 5, types
		for _, g := range (*h.send("c", req)).(*kmsg.ListGroupsResponse).Groups {
			s += fmt.Sprint(g.Group, " ", g.ProtocolType, " ", g.GroupState, " ", g.GroupType, ". ")
		}
		return s
	}
	h.expect("listed", list(), "consumers consumer Stable consumer. g share Stable share. ")
	h.expect("listed by type", list("Share"), "g share Stable share. ")
	a.leave()
	h.expect("listed when empty", list("share"), "g share Empty share. ")
	h.failover()
	h.expect("listed by another leader", list("share"), "g share Empty share. ")
}
