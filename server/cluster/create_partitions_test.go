package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestCreatePartitions(t *testing.T) {
	for _, c := range []struct {
		name string
		req  *kmsg.CreatePartitionsRequest
		code int16
		says string
		want int
	}{
		{"more", morePartitions("t", 5), 0, "", 5},
		{"by hand", morePartitions("t", 3, []int32{3, 1}), 0, "", 3},
		{"unknown", morePartitions("x", 5), kerr.UnknownTopicOrPartition.Code, "", 2},
		{"as many", morePartitions("t", 2), kerr.InvalidPartitions.Code, "already has 2", 2},
		{"fewer", morePartitions("t", 1), kerr.InvalidPartitions.Code, "not be an increase", 2},
		{"negative", morePartitions("t", -1), kerr.InvalidPartitions.Code, "not be an increase", 2},
		{"too many", morePartitions("t", 10_003), kerr.PolicyViolation.Code, "10000", 2},
		{"as many as may be", morePartitions("t", 10_002), 0, "", 10_002},
		{"too few by hand", morePartitions("t", 4, []int32{3, 1}), kerr.InvalidReplicaAssignment.Code, "only 1 assignment", 2},
		{"other factor", morePartitions("t", 3, []int32{3}), kerr.InvalidReplicaAssignment.Code, "not consistent", 2},
		{"stranger", morePartitions("t", 3, []int32{3, 9}), kerr.InvalidReplicaAssignment.Code, "broker 9", 2},
		{"same broker", morePartitions("t", 3, []int32{3, 3}), kerr.InvalidReplicaAssignment.Code, "more than once", 2},
		{"nobody", morePartitions("t", 3, []int32{}), kerr.InvalidReplicaAssignment.Code, "empty", 2},
	} {
		for version := int16(0); version <= 3; version++ {
			w := newWorld(t, 3)
			before := w.create("t", 2, 2)
			c.req.Version = version
			resp := w.do(c.req).(*kmsg.CreatePartitionsResponse)
			got := resp.Topics[0]
			if got.ErrorCode != c.code || !strings.Contains(text(got.ErrorMessage), c.says) {
				t.Errorf("%s: code %d, %q; want %d, %q", c.name, got.ErrorCode, text(got.ErrorMessage), c.code, c.says)
			}
			after := w.image.TopicsByName["t"]
			if len(after.Partitions) != c.want || fmt.Sprint(after.Partitions[:2]) != fmt.Sprint(before.Partitions) {
				t.Errorf("%s: partitions %v", c.name, after.Partitions)
			}
		}
	}
}

func TestCreatePartitionsTwiceAndForValidation(t *testing.T) {
	w := newWorld(t, 3)
	w.create("t", 2, 2)
	req := morePartitions("t", 4)
	req.Topics = append(req.Topics, req.Topics[0])
	resp := w.do(req).(*kmsg.CreatePartitionsResponse)
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("twice: %+v", resp.Topics)
	}
	req = morePartitions("t", 4)
	req.ValidateOnly = true
	if resp := w.do(req).(*kmsg.CreatePartitionsResponse); resp.Topics[0].ErrorCode != 0 {
		t.Errorf("validate_only: %+v", resp.Topics)
	}
	if n := len(w.image.TopicsByName["t"].Partitions); n != 2 {
		t.Errorf("%d partitions, want 2", n)
	}
}
