package handler

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

func TestConsumerGroupNeedsItsFeature(t *testing.T) {
	w := newWorld(t)
	w.image.Features = map[string]int16{cluster.FeatureGroup: 0}
	describe := kmsg.NewPtrConsumerGroupDescribeRequest()
	describe.Groups = []string{"g"}
	for _, version := range []int16{0, 1} {
		beat := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		beat.Version, describe.Version = version, version
		if r := ask[*kmsg.ConsumerGroupHeartbeatResponse](w, beat); r.ErrorCode != kerr.UnsupportedVersion.Code || r.Version != version {
			t.Errorf("v%d: %+v", version, r)
		}
		if r := ask[*kmsg.ConsumerGroupDescribeResponse](w, describe); len(r.Groups) != 1 || r.Groups[0].ErrorCode != kerr.UnsupportedVersion.Code {
			t.Errorf("v%d: %+v", version, r)
		}
	}
	w.image.Features[cluster.FeatureGroup] = 1
	if r := ask[*kmsg.ConsumerGroupHeartbeatResponse](w, kmsg.NewPtrConsumerGroupHeartbeatRequest()); r.ErrorCode != 0 {
		t.Errorf("%+v", r)
	}
}

// askedTransactions notes what it is asked.
type askedTransactions struct {
	partitions []cluster.TopicPartition
	verifyOnly bool
}

func (a *askedTransactions) AddPartitions(
	_ context.Context, _ string, _ int64, _ int16, partitions []cluster.TopicPartition, verifyOnly bool,
) []error {
	a.partitions, a.verifyOnly = partitions, verifyOnly
	return []error{kerr.ConcurrentTransactions}
}

// The group's shard is a partition of the transaction: clients of version 5 have it added, older ones have done so before.
func TestTxnOffsetCommitVerifies(t *testing.T) {
	for version := int16(0); version <= 5; version++ {
		w := newWorld(t)
		asked := &askedTransactions{}
		w.broker.Transactions = asked
		req := kmsg.NewPtrTxnOffsetCommitRequest()
		req.Version, req.Group = version, "g"
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic = "t"
		req.Topics = append(req.Topics, topic)
		r := ask[*kmsg.TxnOffsetCommitResponse](w, req)
		if r.Topics[0].Partitions[0].ErrorCode != kerr.ConcurrentTransactions.Code {
			t.Errorf("v%d: %+v", version, r)
		}
		want := cluster.TopicPartition{Topic: cluster.CoordinatorTopic, Partition: 7}
		if len(asked.partitions) != 1 || asked.partitions[0] != want || asked.verifyOnly != (version < 5) {
			t.Errorf("v%d: asked %+v", version, asked)
		}
	}
}
