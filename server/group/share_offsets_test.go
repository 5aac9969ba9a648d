package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func alterRequest(group, topic string, starts ...int64) *kmsg.AlterShareGroupOffsetsRequest {
	req := kmsg.NewPtrAlterShareGroupOffsetsRequest()
	req.GroupID = group
	t := kmsg.NewAlterShareGroupOffsetsRequestTopic()
	t.Topic = topic
	for i, start := range starts {
		p := kmsg.NewAlterShareGroupOffsetsRequestTopicPartition()
		p.Partition, p.StartOffset = int32(i), start
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// altered shows the answer: the error of all, or those of the partitions.
func altered(answer *kmsg.Response) string {
	if *answer == nil {
		return "parked"
	}
	resp := (*answer).(*kmsg.AlterShareGroupOffsetsResponse)
	if resp.ErrorCode != 0 {
		return errorName(resp.ErrorCode) + ": " + *resp.ErrorMessage
	}
	s := ""
	for _, t := range resp.Topics {
		s += t.Topic
		for _, p := range t.Partitions {
			s += fmt.Sprint(" ", p.Partition, ":", errorName(p.ErrorCode))
		}
	}
	return s
}

func (h *harness) alter(group, topic string, starts ...int64) string {
	return altered(h.send("admin", alterRequest(group, topic, starts...)))
}

func deleteOffsetsRequest(group string, topics ...string) *kmsg.DeleteShareGroupOffsetsRequest {
	req := kmsg.NewPtrDeleteShareGroupOffsetsRequest()
	req.GroupID = group
	for _, name := range topics {
		t := kmsg.NewDeleteShareGroupOffsetsRequestTopic()
		t.Topic = name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func offsetsDeleted(answer *kmsg.Response) string {
	if *answer == nil {
		return "parked"
	}
	resp := (*answer).(*kmsg.DeleteShareGroupOffsetsResponse)
	if resp.ErrorCode != 0 {
		return errorName(resp.ErrorCode) + ": " + *resp.ErrorMessage
	}
	s := ""
	for _, t := range resp.Topics {
		s += fmt.Sprint(t.Topic, ":", errorName(t.ErrorCode), " ")
	}
	return s
}

func (h *harness) deleteShareOffsets(group string, topics ...string) string {
	return offsetsDeleted(h.send("admin", deleteOffsetsRequest(group, topics...)))
}

func deleteGroupRequest(group string) *kmsg.DeleteGroupsRequest {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version, req.Groups = 2, []string{group}
	return req
}

func groupDeletedCode(answer *kmsg.Response) string {
	if *answer == nil {
		return "parked"
	}
	return errorName((*answer).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode)
}

func (h *harness) deleteGroup(group string) string {
	return groupDeletedCode(h.send("admin", deleteGroupRequest(group)))
}

func TestAlterShareOffsets(t *testing.T) {
	h := newHarness(t)
	h.expect("no group id", h.alter("", "t", 1), "INVALID_GROUP_ID: "+kerr.InvalidGroupID.Description)
	h.expect("no such topic", h.alter("g", "none", 1), "none 0:UNKNOWN_TOPIC_OR_PARTITION")
	h.expect("no such partition", h.alter("g", "u", 5, -3, 7, 8), "u 0:ok 1:INVALID_REQUEST 2:ok 3:UNKNOWN_TOPIC_OR_PARTITION")
	h.expect("a group is made", h.shareState("g"), "Empty epoch=1 target=1 members=0 initializing=0 initialized=2 deleting=0")
	twice := alterRequest("g", "u", 5)
	twice.Topics[0].Partitions = append(twice.Topics[0].Partitions, twice.Topics[0].Partitions[0])
	twice.Topics[0].Partitions[1].StartOffset = 6
	h.expect("twice", altered(h.send("admin", twice)), "u 0:ok 0:ok")
	h.expect("the last counts", h.sharesOf("g"), "u0=6 u2=7")

	a := h.sharer("a", "t", "u")
	settleShares(a)
	h.expect("all partitions", a.has(), "t0 t1 t2 u0 u1 u2")
	h.expect("those that were set stay", h.sharesOf("g"), "t0=0 t1=0 t2=0 u0=6 u1=0 u2=7")
	h.expect("with members", h.alter("g", "t", 1), "NON_EMPTY_GROUP: "+kerr.NonEmptyGroup.Description)
	a.leave()
	h.expect("without", h.alter("g", "t", 3, -1, -2), "t 0:ok 1:ok 2:ok")
	h.expect("set", h.sharesOf("g"), "t0=3 t1=-1 t2=-2 u0=6 u1=0 u2=7")

	h.shares.err = kerr.NotLeaderForPartition
	h.expect("it fails", h.alter("new", "t", 3), "t 0:NOT_LEADER_FOR_PARTITION")
	h.expect("it may be there", h.shareState("new"), "Empty epoch=1 target=1 members=0 initializing=1 initialized=0 deleting=0")
	h.shares.err = nil
	h.advance(time.Minute)
	h.expect("it is not made for nobody", h.sharesOf("new"), "")

	c := h.consumer("c", "t")
	c.group = "consumers"
	c.beat()
	h.expect("another type", h.alter("consumers", "t", 3), "GROUP_ID_NOT_FOUND: Group consumers is not a share group.")
}

// A member that joins while offsets are set gets the partitions when they are.
func TestAlterShareOffsetsOfJoiningGroup(t *testing.T) {
	h := newHarness(t)
	h.shares.hold = true
	altering := h.send("admin", alterRequest("g", "t", 4))
	a := h.sharer("a", "t")
	a.beat()
	if n := len(h.shares.tasks); n != 2 || len(h.shares.tasks[1].Partitions) != 2 {
		t.Fatalf("%d tasks: a partition that is being set is not made", n)
	}
	h.expect("not yet", altered(altering), "parked")
	h.shares.hold = false
	h.settle()
	h.expect("set", altered(altering), "t 0:ok")
	settleShares(a)
	h.expect("assigned", a.has(), "t0 t1 t2")
	h.expect("set", h.sharesOf("g"), "t0=4 t1=0 t2=0")
}

func TestDeleteShareOffsets(t *testing.T) {
	h := newHarness(t)
	h.expect("no group id", h.deleteShareOffsets("", "t"), "INVALID_GROUP_ID: "+kerr.InvalidGroupID.Description)
	h.expect("no such group", h.deleteShareOffsets("g", "t"), "GROUP_ID_NOT_FOUND: Group g not found.")
	a := h.sharer("a", "t", "u")
	settleShares(a)
	h.expect("with members", h.deleteShareOffsets("g", "t"), "NON_EMPTY_GROUP: "+kerr.NonEmptyGroup.Description)
	a.leave()
	h.expect("deleted", h.deleteShareOffsets("g", "t", "none"), "t:ok none:UNKNOWN_TOPIC_OR_PARTITION ")
	h.expect("gone", h.sharesOf("g"), "u0=0 u1=0 u2=0")
	h.expect("again", h.deleteShareOffsets("g", "t"), "t:UNKNOWN_TOPIC_OR_PARTITION ")

	h.shares.err = kerr.RequestTimedOut
	h.expect("it fails", h.deleteShareOffsets("g", "u"), "u:REQUEST_TIMED_OUT ")
	h.expect("but has to go", h.shareState("g"), "Empty epoch=4 target=3 members=0 initializing=0 initialized=0 deleting=3")
	h.expect("no offsets meanwhile", h.alter("g", "u", 1), "COORDINATOR_LOAD_IN_PROGRESS: Offsets of group g are being deleted.")
	a.beat()
	h.shares.err = kerr.UnknownTopicOrPartition // all of it is gone
	h.advance(shareRetryDelay)
	h.expect("it is gone", h.shareState("g"), "Stable epoch=5 target=5 members=1 initializing=3 initialized=0 deleting=0")
	h.shares.err = nil
	h.advance(shareRetryDelay)
	settleShares(a)
	h.expect("and made anew for the member", a.has(), "t0 t1 t2 u0 u1 u2")
}

func TestDeleteShareGroup(t *testing.T) {
	h := newHarness(t)
	h.expect("none", h.deleteGroup("g"), "GROUP_ID_NOT_FOUND")
	a := h.sharer("a", "t")
	settleShares(a)
	h.expect("with members", h.deleteGroup("g"), "NON_EMPTY_GROUP")
	a.leave()

	h.shares.err = kerr.LeaderNotAvailable
	h.expect("it fails", h.deleteGroup("g"), "LEADER_NOT_AVAILABLE")
	h.expect("the group is there", h.shareState("g"), "Empty epoch=4 target=3 members=0 initializing=0 initialized=0 deleting=3")
	h.shares.err, h.shares.hold = nil, true
	first, second := h.send("admin", deleteGroupRequest("g")), h.send("admin", deleteGroupRequest("g"))
	h.expect("waits", groupDeletedCode(first)+" "+groupDeletedCode(second), "parked parked")
	if len(h.shares.tasks) != 1 {
		t.Fatalf("%d tasks, want one for both", len(h.shares.tasks))
	}
	h.shares.hold = false
	h.settle()
	h.expect("deleted", groupDeletedCode(first)+" "+groupDeletedCode(second), "ok GROUP_ID_NOT_FOUND")
	h.expect("nothing is left", h.sharesOf("g")+h.shareState("g"), "none")
	h.lead()
	h.expect("nor for another leader", h.shareState("g"), "none")

	settleShares(a)
	a.leave()
	h.shares.hold = true
	first = h.send("admin", deleteGroupRequest("g"))
	h.expect("a member joins meanwhile", a.beat(), "ok")
	h.shares.hold = false
	h.settle()
	h.expect("the group stays", groupDeletedCode(first), "NON_EMPTY_GROUP")
	settleShares(a)
	h.expect("and has its partitions", a.has(), "t0 t1 t2")
	a.leave()

	h.shares.hold = true
	first = h.send("admin", deleteGroupRequest("g"))
	altering := h.send("admin", alterRequest("h", "t", 1))
	h.failover()
	h.expect("the leader is gone", groupDeletedCode(first)+" "+altered(altering), "NOT_COORDINATOR NOT_COORDINATOR: "+kerr.NotCoordinator.Description)
	h.shares.hold = false
	h.settle()
	h.expect("the next goes on", h.shareState("g"), "Empty epoch=7 target=6 members=0 initializing=0 initialized=0 deleting=0")
	h.expect("another group", h.deleteGroup("h"), "ok")

	first = h.send("admin", deleteGroupRequest("g"))
	h.expect("deleted", groupDeletedCode(first), "ok")
	h.commit("g", 0, 1)
	h.expect("the id can be another group's", h.sharer("a", "t").beat(), "GROUP_ID_NOT_FOUND")
}

// The topic goes while its share partitions are being deleted.
func TestDeleteShareGroupOfDeletedTopic(t *testing.T) {
	h := newHarness(t)
	a := h.sharer("a", "t")
	settleShares(a)
	a.leave()
	h.shares.hold = true
	first := h.send("admin", deleteGroupRequest("g"))
	h.topics.remove("t")
	h.leader.DeleteOrphans(h.now)
	h.settle()
	h.expect("deleted", groupDeletedCode(first), "ok")
	h.shares.hold = false
	h.settle() // what was asked for is answered in vain
	h.expect("group", h.shareState("g"), "none")
}

func TestDescribeShareOffsets(t *testing.T) {
	h := newHarness(t)
	a := h.sharer("a", "t")
	settleShares(a)
	describe := func(group string, topics []kmsg.DescribeShareGroupOffsetsRequestGroupTopic) (s string) {
		req := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		req.Version = 1
		asked := kmsg.NewDescribeShareGroupOffsetsRequestGroup()
		asked.GroupID, asked.Topics = group, topics
		req.Groups = append(req.Groups, asked)
		d := (*h.send("c", req)).(*kmsg.DescribeShareGroupOffsetsResponse).Groups[0]
		for _, t := range d.Topics {
			s += fmt.Sprint(t.Topic, t.TopicID == h.topics.ids[t.Topic])
			for _, p := range t.Partitions {
				s += fmt.Sprint(" ", p.Partition, ":", p.StartOffset)
			}
			s += ". "
		}
		return s + errorName(d.ErrorCode)
	}
	h.expect("all", describe("g", nil), "ttrue 0:-1 1:-1 2:-1. ok")
	named := []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{{Topic: "u", Partitions: []int32{1, 7}}, {Topic: "none", Partitions: []int32{0}}}
	h.expect("some", describe("g", named), "utrue 1:-1 7:-1. nonetrue 0:-1. ok")
	h.expect("no group", describe("none", nil), "ok")
	h.expect("no topic", describe("g", []kmsg.DescribeShareGroupOffsetsRequestGroupTopic{}), "ok")
}
