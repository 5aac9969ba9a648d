package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumer is a client of the consumer protocol.
type consumer struct {
	h         *harness
	group     string
	name      string
	id        string
	instance  *string
	rack      *string
	topics    []string
	regex     *string
	assignor  *string
	rebalance int32

	epoch int32
	full  bool       // the next heartbeat says everything, because an answer was lost
	owned assignment // what it works on
	// told is what it was told to have last; nil before the first answer. It gives up at once what is not in it, unless
	// slow, and says so with the next heartbeat.
	told assignment
}

func (h *harness) consumer(name string, topics ...string) *consumer {
	return &consumer{h: h, group: "g", name: name, id: name, topics: topics, rebalance: 60_000, owned: assignment{}}
}

// request is a heartbeat. What it says that the member has is a promise: it must not go on to take up what it was told before.
// So it says nothing before it has done as it was told, like Kafka's client, or, if it has to say everything, waits to be told
// again.
func (c *consumer) request() *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version = 1
	req.Group, req.MemberID, req.MemberEpoch, req.InstanceID = c.group, c.id, c.epoch, c.instance
	if c.epoch == 0 || c.full {
		c.told = nil
		req.RackID, req.RebalanceTimeoutMillis, req.ServerAssignor = c.rack, c.rebalance, c.assignor
		req.SubscribedTopicNames, req.SubscribedTopicRegex = c.topics, c.regex
		if c.regex == nil && c.topics == nil {
			req.SubscribedTopicNames = []string{}
		}
	}
	if c.told != nil && !c.told.equal(c.owned) {
		return req
	}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, id := range sortedTopics(c.owned) {
		t := kmsg.NewConsumerGroupHeartbeatRequestTopic()
		t.TopicID, t.Partitions = id, c.owned[id]
		req.Topics = append(req.Topics, t)
	}
	return req
}

// beat sends a heartbeat and takes in the answer, whose error it returns.
func (c *consumer) beat() string {
	answer := c.h.send(c.name, c.request())
	if *answer == nil {
		return "parked"
	}
	return c.take((*answer).(*kmsg.ConsumerGroupHeartbeatResponse))
}

func (c *consumer) take(resp *kmsg.ConsumerGroupHeartbeatResponse) string {
	switch e := errorName(resp.ErrorCode); e {
	case "ok":
	case "FENCED_MEMBER_EPOCH", "UNKNOWN_MEMBER_ID", "GROUP_ID_NOT_FOUND":
		c.epoch, c.owned, c.told = 0, assignment{}, nil
		return e
	default:
		c.full = true
		return e
	}
	c.epoch, c.full = resp.MemberEpoch, false
	if resp.Assignment != nil {
		c.told = assignment{}
		for _, t := range resp.Assignment.Topics {
			c.told[t.TopicID] = t.Partitions
		}
	}
	return "ok"
}

// obey makes the member have what it was told to.
func (c *consumer) obey() {
	if c.told != nil {
		c.owned = c.told
	}
}

func (c *consumer) leave(epoch int32) string {
	c.epoch = epoch
	req := c.request()
	req.Topics = nil
	answer := c.h.send(c.name, req)
	c.epoch, c.owned, c.told = 0, assignment{}, nil
	if *answer == nil {
		return "parked"
	}
	return errorName((*answer).(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode)
}

// settleGroup lets all members beat until nothing changes.
func settleGroup(members ...*consumer) {
	for range 4 {
		for _, c := range members {
			c.beat()
			c.obey()
		}
	}
}

// has shows what a member works on: t:0,1 u:2.
func (c *consumer) has() string {
	var s []string
	for id, partitions := range c.owned {
		name, _, _ := c.h.topics.ByID(id)
		for _, p := range partitions {
			s = append(s, fmt.Sprint(name, p))
		}
	}
	slices.Sort(s)
	return strings.Join(s, " ")
}

func (h *harness) groupState(id string) string {
	if g := h.leader.consumers[id]; g != nil {
		return fmt.Sprintf("%s epoch=%d target=%d members=%d", g.stateName(), g.epoch, g.targetEpoch, len(g.members))
	}
	return "none"
}

func TestConsumerJoin(t *testing.T) {
	h := newHarness(t)
	a, b := h.consumer("a", "t"), h.consumer("b", "t")
	h.expect("join", a.beat(), "ok")
	a.obey()
	h.expect("all to the first", a.has(), "t0 t1 t2")
	h.expect("state", h.groupState("g"), "Stable epoch=2 target=2 members=1")

	h.expect("join", b.beat(), "ok")
	b.obey()
	h.expect("nothing is free yet", b.has(), "")
	h.expect("epochs", fmt.Sprint(a.epoch, b.epoch), "2 3")
	h.expect("heartbeat", a.beat(), "ok")
	h.expect("it is told to revoke in its epoch", fmt.Sprint(a.epoch, a.told.count()), "2 2")
	h.expect("heartbeat", b.beat(), "ok")
	b.obey()
	h.expect("not before it has", b.has(), "")
	a.obey()
	h.expect("heartbeat", a.beat(), "ok")
	h.expect("epoch", fmt.Sprint(a.epoch), "3")
	h.expect("heartbeat", b.beat(), "ok")
	b.obey()
	h.expect("now", b.has(), "t2")
	h.expect("state", h.groupState("g"), "Stable epoch=3 target=3 members=2")

	h.failover()
	h.expect("state after a failover", h.groupState("g"), "Stable epoch=3 target=3 members=2")
	h.expect("heartbeat", a.beat(), "ok")

	h.expect("leave", b.leave(leftEpoch), "ok")
	settleGroup(a)
	h.expect("all to who is left", a.has(), "t0 t1 t2")
	h.expect("leave", a.leave(leftEpoch), "ok")
	h.expect("state", h.groupState("g"), "Empty epoch=5 target=4 members=0")
}

// TestConsumerSessionStartsOver: a new coordinator does not know when members were heard, so it gives each a full session, as
// Kafka 4.3.1 does. A member that is dead keeps its partitions for as long as coordinators change more often than that, and
// not a moment longer.
func TestConsumerSessionStartsOver(t *testing.T) {
	h := newHarness(t)
	a, b := h.consumer("a", "t"), h.consumer("b", "t")
	settleGroup(a, b)
	session := h.config.ConsumerSessionTimeout
	pass := func(d time.Duration) { // a is dead, b is not
		for ; d > 0; d -= time.Second {
			h.advance(min(d, time.Second))
			h.expect("heartbeat", b.beat(), "ok")
			b.obey()
		}
	}
	for range 5 {
		pass(session - time.Second)
		h.failover()
	}
	h.expect("coordinators come and go", h.groupState("g"), "Stable epoch=3 target=3 members=2")
	pass(session - time.Second)
	h.expect("one stays", b.has(), "t2")
	pass(time.Second)
	h.expect("a session has passed", b.has(), "t0 t1 t2")
	h.expect("without the dead", h.groupState("g"), "Stable epoch=4 target=4 members=1")
}

func TestConsumerValidation(t *testing.T) {
	h := newHarness(t)
	send := func(change func(*kmsg.ConsumerGroupHeartbeatRequest)) string {
		req := h.consumer("a", "t").request()
		change(req)
		resp := (*h.send("a", req)).(*kmsg.ConsumerGroupHeartbeatResponse)
		if resp.ErrorCode != 0 && (resp.ErrorMessage == nil || *resp.ErrorMessage == "") {
			t.Errorf("%s without a message", errorName(resp.ErrorCode))
		}
		return errorName(resp.ErrorCode)
	}
	type request = kmsg.ConsumerGroupHeartbeatRequest
	for _, test := range []struct {
		name   string
		change func(*request)
		want   string
	}{
		{"no group", func(r *request) { r.Group = "" }, "INVALID_REQUEST"},
		{"blank instance", func(r *request) { r.InstanceID = text(" ") }, "INVALID_REQUEST"},
		{"blank rack", func(r *request) { r.RackID = text("") }, "INVALID_REQUEST"},
		{"no member id", func(r *request) { r.MemberID = "" }, "INVALID_REQUEST"},
		{"epoch", func(r *request) { r.MemberEpoch = -3 }, "INVALID_REQUEST"},
		{"static leave without instance", func(r *request) { r.MemberEpoch = -2 }, "INVALID_REQUEST"},
		{"no rebalance timeout", func(r *request) { r.RebalanceTimeoutMillis = -1 }, "INVALID_REQUEST"},
		{"no owned partitions", func(r *request) { r.Topics = nil }, "INVALID_REQUEST"},
		{"owned partitions", func(r *request) { r.Topics = make([]kmsg.ConsumerGroupHeartbeatRequestTopic, 1) }, "INVALID_REQUEST"},
		{"no subscription", func(r *request) { r.SubscribedTopicNames = nil }, "INVALID_REQUEST"},
		{"assignor", func(r *request) { r.ServerAssignor = text("mine") }, "UNSUPPORTED_ASSIGNOR"},
		{"regex", func(r *request) { r.SubscribedTopicRegex = text("(") }, "INVALID_REGULAR_EXPRESSION"},
		{"regex that closes ours", func(r *request) { r.SubscribedTopicRegex = text("a)|(b") }, "INVALID_REGULAR_EXPRESSION"},
		{"unknown group", func(r *request) { r.MemberEpoch = 1 }, "GROUP_ID_NOT_FOUND"},
		{"leaving an unknown group", func(r *request) { r.MemberEpoch = -1 }, "GROUP_ID_NOT_FOUND"},
	} {
		if got := send(test.change); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if len(h.leader.consumers) != 0 {
		t.Error("a request in error made a group")
	}
	h.expect("v0 makes the member id", send(func(r *request) { r.Version, r.MemberID = 0, "" }), "ok")
	h.expect("unknown member", send(func(r *request) { r.MemberEpoch = 1 }), "UNKNOWN_MEMBER_ID")
	h.expect("unknown instance", send(func(r *request) { r.MemberEpoch, r.InstanceID = 1, text("i") }), "UNKNOWN_MEMBER_ID")
	h.config.ConsumerMaxSize = 1
	h.leader.env.Config = h.config
	h.expect("full", send(func(r *request) {}), "GROUP_MAX_SIZE_REACHED")
}

// What Kafka 4.3.1 says in these cases.
func TestConsumerMessages(t *testing.T) {
	h := newHarness(t)
	message := func(change func(*kmsg.ConsumerGroupHeartbeatRequest)) string {
		req := h.consumer("a", "t").request()
		change(req)
		resp := (*h.send("a", req)).(*kmsg.ConsumerGroupHeartbeatResponse)
		if resp.ErrorMessage == nil {
			return errorName(resp.ErrorCode)
		}
		return *resp.ErrorMessage
	}
	type request = kmsg.ConsumerGroupHeartbeatRequest
	h.expect("beat", message(func(r *request) { r.MemberEpoch = 3 }), "Consumer group g not found.")
	h.expect("leave", message(func(r *request) { r.MemberEpoch = -1 }), "Group g not found.")
	h.expect("regex", message(func(r *request) { r.SubscribedTopicRegex = text("(a") }),
		"SubscribedTopicRegex `(a` is not a valid regular expression: missing closing ).")
	h.send("c", newCommit("simple", 0, 1))
	h.expect("simple group", message(func(r *request) { r.Group, r.MemberEpoch = "simple", 3 }), "Group simple is not a consumer group.")
	a := h.consumer("a")
	h.expect("join for nothing", a.beat(), "ok")
	h.expect("no assignment is called for", h.groupState("g"), "Stable epoch=1 target=1 members=1")
}

func TestConsumerRemovedByAdministrator(t *testing.T) {
	h := newHarness(t)
	a, b := h.consumer("a", "t"), h.consumer("b", "t")
	b.instance = text("ib")
	settleGroup(a, b)
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 5, "g"
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: "a"}, {InstanceID: text("ib")}, {MemberID: "x"}, {MemberID: "a"}}
	var got []string
	for _, m := range (*h.send("admin", req)).(*kmsg.LeaveGroupResponse).Members {
		got = append(got, errorName(m.ErrorCode))
	}
	h.expect("leave", fmt.Sprint(got), "[ok ok UNKNOWN_MEMBER_ID UNKNOWN_MEMBER_ID]")
	h.expect("members", h.groupState("g"), "Empty epoch=4 target=3 members=0")
}

func TestConsumerGroupConfigs(t *testing.T) {
	h := newHarness(t)
	h.configs = map[string]string{"g/consumer.session.timeout.ms": "9000", "g/consumer.heartbeat.interval.ms": "1000"}
	a := h.consumer("a", "t")
	resp := (*h.send("a", a.request())).(*kmsg.ConsumerGroupHeartbeatResponse)
	h.expect("interval", fmt.Sprint(resp.HeartbeatIntervalMillis), "1000")
	h.advance(8900 * time.Millisecond)
	h.expect("in time", a.beat(), "ok")
	h.advance(9100 * time.Millisecond)
	h.expect("too late", h.groupState("g"), "Empty epoch=3 target=2 members=0")
	h.configs["g/consumer.heartbeat.interval.ms"] = "300000"
	resp = (*h.send("a", h.consumer("a", "t").request())).(*kmsg.ConsumerGroupHeartbeatResponse)
	h.expect("not longer than sessions", fmt.Sprint(resp.HeartbeatIntervalMillis), "3000")
}

func TestConsumerEpochs(t *testing.T) {
	h := newHarness(t)
	a := h.consumer("a", "t")
	a.beat()
	a.obey()
	// The answer with the new epoch is lost; the member repeats itself with the one before.
	h.topics.create("t2", 1)
	a.topics = []string{"t", "t2"}
	lost := a.request()
	lost.RebalanceTimeoutMillis, lost.SubscribedTopicNames = a.rebalance, a.topics
	h.send("a", lost)
	h.expect("repeated", a.beat(), "ok")
	h.expect("epoch", fmt.Sprint(a.epoch), "3")
	a.epoch = 2
	stranger := *lost
	stranger.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: topicID{99}, Partitions: []int32{7}}}
	resp := (*h.send("a", &stranger)).(*kmsg.ConsumerGroupHeartbeatResponse)
	h.expect("the epoch before with partitions it does not have", errorName(resp.ErrorCode), "FENCED_MEMBER_EPOCH")
	a.epoch = 9
	h.expect("ahead", a.beat(), "FENCED_MEMBER_EPOCH")
	h.expect("begins again", a.beat(), "ok")
	a.obey()
	h.expect("has all", a.has(), "t0 t1 t2 t20")
}

func TestConsumerSession(t *testing.T) {
	h := newHarness(t)
	a, b := h.consumer("a", "t"), h.consumer("b", "t")
	settleGroup(a, b)
	for range 4 {
		h.advance(15 * time.Second)
		a.beat()
		a.obey()
	}
	h.expect("who is silent is out", b.beat(), "UNKNOWN_MEMBER_ID")
	settleGroup(a)
	h.expect("the other has all", a.has(), "t0 t1 t2")

	// A member that does not give up partitions in time is out too.
	b.rebalance = 10_000
	a.rebalance = 10_000
	settleGroup(b)
	full := a.request()
	full.RebalanceTimeoutMillis = a.rebalance
	h.send("a", full)
	for range 5 {
		h.advance(4 * time.Second)
		if a.epoch > 0 {
			a.beat() // and keeps what it has
		}
		b.beat()
		b.obey()
	}
	h.expect("state", fmt.Sprint(h.leader.consumers["g"].members["a"] == nil), "true")
	h.expect("partitions", b.has(), "t0 t1 t2")
}

func TestConsumerStatic(t *testing.T) {
	h := newHarness(t)
	a, b := h.consumer("a", "t"), h.consumer("b", "t")
	a.instance, b.instance = text("ia"), text("ib")
	settleGroup(a, b)
	state := h.groupState("g")
	had := a.has()

	again := h.consumer("a2", "t")
	again.instance = text("ia")
	h.expect("in use", again.beat(), "UNRELEASED_INSTANCE_ID")
	h.expect("leave for a while", a.leave(staticLeftEpoch), "ok")
	h.expect("its partitions wait", b.has(), "t2")
	settleGroup(b)
	h.expect("its partitions wait", b.has(), "t2")
	h.expect("comes back", again.beat(), "ok")
	again.obey()
	h.expect("with the same", again.has(), had)
	h.expect("and no rebalance", h.groupState("g"), state)
	h.failover()
	h.expect("after a failover", again.beat(), "ok")
	a.epoch = 3
	h.expect("its former self", a.beat(), "FENCED_INSTANCE_ID")

	h.expect("leave for a while", again.leave(staticLeftEpoch), "ok")
	for range 4 {
		h.advance(15 * time.Second)
		settleGroup(b)
	}
	h.expect("not for ever", b.has(), "t0 t1 t2")
}

func TestConsumerRegex(t *testing.T) {
	h := newHarness(t)
	a := h.consumer("a")
	a.regex = text("or.*|t")
	settleGroup(a)
	h.expect("the whole name", a.has(), "t0 t1 t2")
	h.topics.create("orders", 2)
	h.advance(5 * time.Second)
	settleGroup(a)
	h.expect("a new topic", a.has(), "orders0 orders1 t0 t1 t2")
	h.topics.create("terrace", 2)
	h.topics.remove("t")
	h.advance(5 * time.Second)
	settleGroup(a)
	h.expect("a topic is gone", a.has(), "orders0 orders1")
	h.topics.partitions["orders"] = 3
	h.topics.version++
	h.advance(5 * time.Second)
	settleGroup(a)
	h.expect("a topic has grown", a.has(), "orders0 orders1 orders2")
}

func TestConsumerOffsets(t *testing.T) {
	h := newHarness(t)
	a, b := h.consumer("a", "t"), h.consumer("b", "t")
	commit := func(member string, epoch, partition int32, version int16) string {
		req := newCommit("g", partition, 5)
		req.Version, req.MemberID, req.Generation = version, member, epoch
		if version >= commitTopicID {
			req.Topics[0].TopicID = h.topics.ids["t"]
		}
		return errorName((*h.send("c", req)).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	}
	h.expect("nobody", commit("", -1, 0, 9), "ok")
	settleGroup(a)
	h.expect("nobody, with members", commit("", -1, 0, 9), "UNKNOWN_MEMBER_ID")
	h.expect("old version", commit("a", 2, 0, 8), "UNSUPPORTED_VERSION")
	h.expect("member", commit("a", 2, 0, 9), "ok")
	h.expect("ahead", commit("a", 3, 0, 9), "STALE_MEMBER_EPOCH")
	settleGroup(b, a, b)
	h.expect("epochs", fmt.Sprint(a.epoch, b.epoch), "3 3")
	h.expect("an earlier epoch, held since", commit("a", 2, 0, 10), "ok")
	h.expect("an earlier epoch, given up", commit("a", 2, 2, 10), "STALE_MEMBER_EPOCH")
	h.expect("an earlier epoch, not held then", commit("b", 2, 2, 10), "STALE_MEMBER_EPOCH")
	h.expect("txn, stale", txnCode(h.txnCommit(func() *kmsg.TxnOffsetCommitRequest {
		r := newTxnCommit("g", 7, 0, 2, 1)
		r.MemberID, r.Generation = "a", 2
		return r
	}())), "ILLEGAL_GENERATION")
	h.expect("txn, anonymous", txnCode(h.txnCommit(newTxnCommit("g", 7, 0, 2, 1))), "ok")
	h.end(7, 0, 0, true)

	fetch := func(member *string, epoch int32) string {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version = 9
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.MemberID, g.MemberEpoch = "g", member, epoch
		req.Groups = append(req.Groups, g)
		return errorName((*h.send("c", req)).(*kmsg.OffsetFetchResponse).Groups[0].ErrorCode)
	}
	h.expect("fetch by nobody", fetch(nil, -1), "ok")
	h.expect("fetch by a member", fetch(text("a"), 3), "ok")
	h.expect("fetch with a stale epoch", fetch(text("a"), 2), "STALE_MEMBER_EPOCH")
	h.expect("fetch by a stranger", fetch(text("x"), 2), "UNKNOWN_MEMBER_ID")

	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = "g"
	del.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	h.expect("delete what is read", errorName((*h.send("c", del)).(*kmsg.OffsetDeleteResponse).Topics[0].Partitions[0].ErrorCode),
		"GROUP_SUBSCRIBED_TO_TOPIC")
	dg := kmsg.NewPtrDeleteGroupsRequest()
	dg.Groups = []string{"g"}
	drop := func() string { return errorName((*h.send("c", dg)).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode) }
	h.expect("delete with members", drop(), "NON_EMPTY_GROUP")
	a.leave(leftEpoch)
	b.leave(leftEpoch)
	h.expect("delete", drop(), "ok")
	h.expect("gone", h.groupState("g"), "none")
	h.expect("again", drop(), "GROUP_ID_NOT_FOUND")
	settleGroup(a)
	h.failover()
	h.expect("anew", h.groupState("g"), "Stable epoch=2 target=2 members=1")
	a.leave(leftEpoch)
	h.advance(h.config.OffsetsRetention + time.Hour)
	h.expect("expired", h.groupState("g"), "none")
}

func TestConsumerDescribe(t *testing.T) {
	h := newHarness(t)
	a := h.consumer("a", "t")
	a.assignor = text(assignorRange)
	settleGroup(a)
	describe := func(id string) kmsg.ConsumerGroupDescribeResponseGroup {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Version, req.Groups = 1, []string{id}
		return (*h.send("c", req)).(*kmsg.ConsumerGroupDescribeResponse).Groups[0]
	}
	d := describe("g")
	if d.State != "Stable" || d.AssignorName != "range" || d.Epoch != 2 || len(d.Members) != 1 || d.ErrorCode != 0 ||
		len(d.Members[0].Assignment.TopicPartitions[0].Partitions) != 3 || d.Members[0].MemberType != 1 {
		t.Errorf("%+v", d)
	}
	h.expect("unknown", *describe("x").ErrorMessage, "Group x not found.")
	h.send("c", newCommit("simple", 0, 1))
	h.expect("another type", *describe("simple").ErrorMessage, "Group simple is not a consumer group.")
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Version, req.Groups = 6, []string{"g"}
	classic := (*h.send("c", req)).(*kmsg.DescribeGroupsResponse).Groups[0]
	h.expect("by the classic API", *classic.ErrorMessage, "Group g is not a classic group.")

	list := kmsg.NewPtrListGroupsRequest()
	list.Version, list.TypesFilter = 5, []string{"Consumer"}
	groups := (*h.send("c", list)).(*kmsg.ListGroupsResponse).Groups
	if len(groups) != 1 || groups[0].GroupType != "consumer" || groups[0].GroupState != "Stable" {
		t.Errorf("%+v", groups)
	}
}
