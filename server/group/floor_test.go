package group

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// floors shows the floors of a topic: 0=5 1=0.
func (h *harness) floors(topic string) string {
	var shown []string
	for _, f := range h.leader.Floors(h.now, [][16]byte{h.topics.ids[topic]}) {
		shown = append(shown, fmt.Sprintf("%d=%d", f.Partition, f.Offset))
	}
	slices.Sort(shown)
	return strings.Join(shown, " ")
}

func (h *harness) commit(group string, partition int32, offset int64) {
	resp := (*h.commitLater(group, partition, offset)).(*kmsg.OffsetCommitResponse)
	h.expect("commit", errorName(resp.Topics[0].Partitions[0].ErrorCode), "ok")
}

// commitLater commits without waiting for the answer.
func (h *harness) commitLater(group string, partition int32, offset int64) *kmsg.Response {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 9, group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return h.send("c", req)
}

func TestFloors(t *testing.T) {
	h := newHarness(t)
	h.expect("nobody", h.floors("t"), "")
	h.expect("no such topic", h.floors("none"), "")

	h.commit("simple", 1, 7)
	h.expect("who assigns partitions itself", h.floors("t"), "1=7")
	h.txnCommit(newTxnCommit("simple", 1, 0, 2, 9))
	h.expect("a transaction is open", h.floors("t"), "1=7 2=0")
	h.end(1, 0, 0, true)
	h.expect("it has ended", h.floors("t"), "1=7 2=9")

	a := h.consumer("a", "t")
	a.group = "g"
	a.beat()
	h.expect("a member reads everything", h.floors("t"), "0=0 1=0 1=7 2=0 2=9")
	h.expect("but not the other topic", h.floors("u"), "")
	a.leave(leftEpoch)
	h.expect("who left without a commit does not come back", h.floors("t"), "1=7 2=9")
	h.commit("g", 0, 3)
	h.expect("who has committed may", h.floors("t"), "0=3 1=0 1=7 2=0 2=9")

	h.topics.remove("t")
	h.topics.create("t", 1)
	h.expect("a newer topic of the name", h.floors("t"), "")
}

// What the members of a classic group read is known when all have joined.
func TestFloorsOfClassicGroup(t *testing.T) {
	h := newHarness(t)
	c := h.classic("a")
	for range 2 {
		if answer := *h.send(c.name, c.joinRequest()); answer != nil {
			c.id = answer.(*kmsg.JoinGroupResponse).MemberID
		}
	}
	h.expect("it gathers members", h.floors("u"), "0=0 1=0 2=0")
	h.advance(h.config.InitialRebalanceDelay)
	h.expect("a topic that they read", h.floors("t"), "0=0 1=0 2=0")
	h.expect("a topic that they do not read", h.floors("u"), "")
}

// A share group needs everything until it has its share partitions.
func TestFloorsOfShareGroup(t *testing.T) {
	h := newHarness(t)
	h.shares.hold = true
	a := h.sharer("a", "t")
	a.beat()
	h.expect("not there yet", h.floors("t"), "0=0 1=0 2=0")
	h.expect("a topic that it does not read", h.floors("u"), "")
	h.shares.hold = false
	h.settle()
	h.expect("there", h.floors("t"), "")
	h.topics.partitions["t"]++
	h.topics.version++
	h.expect("the topic grows", h.floors("t"), "3=0")
	a.leave()
	h.expect("its members may be back", h.floors("t"), "3=0")
	b := h.sharer("b", "u")
	b.group = "other"
	h.shares.hold = true
	b.beat()
	b.leave()
	h.expect("who left before anything was there does not", h.floors("u"), "")
	h.shares.hold = false
	h.settle()
	h.deleteShareOffsets("g", "t")
	h.expect("offsets are deleted", h.floors("t"), "")
}
