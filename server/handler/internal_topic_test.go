package handler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// shardWorld is a world in which this broker leads shard 3 and another one shard 4, in epoch 5.
func shardWorld(t *testing.T) *world {
	w := newWorld(t)
	w.leaders[replicaKey{cluster.CoordinatorTopic, 3}] = raft.Leadership{Leader: 1, Epoch: 5, Ready: true}
	w.leaders[replicaKey{cluster.CoordinatorTopic, 4}] = raft.Leadership{Leader: 2, Epoch: 5}
	return w
}

// TestInternalTopicReadsAsEmpty: as a topic that never had a record, and only from who leads.
func TestInternalTopicReadsAsEmpty(t *testing.T) {
	w := shardWorld(t)
	for _, c := range []struct {
		partition, epoch int32
		timestamp        int64
		code             int16
		offset           int64
	}{
		{3, -1, -1, 0, 0},
		{3, -1, -2, 0, 0},
		{3, 5, -2, 0, 0},
		{3, -1, 1_700_000_000_000, 0, -1},
		{3, 4, -1, kerr.FencedLeaderEpoch.Code, -1},
		{3, 6, -1, kerr.UnknownLeaderEpoch.Code, -1},
		{4, -1, -1, kerr.NotLeaderForPartition.Code, -1},
		{16, -1, -1, kerr.UnknownTopicOrPartition.Code, -1},
	} {
		req := kmsg.NewPtrListOffsetsRequest()
		req.Version = 7
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic = cluster.OffsetsTopic
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp = c.partition, c.epoch, c.timestamp
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		got := ask[*kmsg.ListOffsetsResponse](w, req).Topics[0].Partitions[0]
		if got.ErrorCode != c.code || got.Offset != c.offset {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

func TestInternalTopicHoldsFetchesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := shardWorld(t)
		req := fetchFrom(13, from{id: cluster.OffsetsTopicID, partition: 3})
		req.MaxWaitMillis = 500
		start := time.Now()
		got := ask[*kmsg.FetchResponse](w, req).Topics[0].Partitions[0]
		if got.ErrorCode != 0 || got.HighWatermark != 0 || len(got.RecordBatches) != 0 {
			t.Errorf("%+v", got)
		}
		if waited := time.Since(start); waited != 500*time.Millisecond {
			t.Errorf("a fetch of nothing was answered after %v", waited)
		}
		got = ask[*kmsg.FetchResponse](w, fetchFrom(13, from{id: cluster.OffsetsTopicID, partition: 3, offset: 1})).Topics[0].Partitions[0]
		if got.ErrorCode != kerr.OffsetOutOfRange.Code {
			t.Errorf("beyond the end: %+v", got)
		}
		got = ask[*kmsg.FetchResponse](w, fetchFrom(13, from{id: cluster.OffsetsTopicID, partition: 4})).Topics[0].Partitions[0]
		if got.ErrorCode != kerr.NotLeaderForPartition.Code || got.CurrentLeader.LeaderID != 2 {
			t.Errorf("elsewhere: %+v", got)
		}
	})
}

// TestInternalTopicIsNotWrittenTo: as in Kafka, whoever leads.
func TestInternalTopicIsNotWrittenTo(t *testing.T) {
	w := shardWorld(t)
	for _, p := range ask[*kmsg.ProduceResponse](w, produceTo(13, "", cluster.OffsetsTopicID, 3, 4)).Topics[0].Partitions {
		if p.ErrorCode != kerr.InvalidTopicException.Code {
			t.Errorf("produce: %+v", p)
		}
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 1000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = cluster.OffsetsTopic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Partition = 3
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	if p := ask[*kmsg.DeleteRecordsResponse](w, req).Topics[0].Partitions[0]; p.ErrorCode != kerr.InvalidTopicException.Code {
		t.Errorf("delete records: %+v", p)
	}
}
