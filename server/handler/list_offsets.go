package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/server/cluster"
)

// Timestamps of ListOffsets that stand for something else, with the version that brought them.
const (
	latestTimestamp        = -1
	earliestTimestamp      = -2
	maxTimestamp           = -3 // v7, KIP-734
	earliestLocalTimestamp = -4 // v8, KIP-405
	latestTieredTimestamp  = -5 // v9, KIP-1005
	earliestPendingUpload  = -6 // v11, KIP-1023
)

// listOffsets answers ListOffsets: the first offset at or after a time, or one of the log's marks.
func (b *Broker) listOffsets(_ context.Context, _ Client, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := newResponse[*kmsg.ListOffsetsResponse](req)
	img := b.Metadata.Image()
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		rt, st := &req.Topics[i], &resp.Topics[i]
		st.Default()
		st.Topic = rt.Topic
		st.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(rt.Partitions))
		for j := range rt.Partitions {
			b.listOffset(img, rt.Topic, req, &rt.Partitions[j], &st.Partitions[j])
		}
	}
	return resp
}

func (b *Broker) listOffset(
	img *cluster.Image, topic string, req *kmsg.ListOffsetsRequest,
	rp *kmsg.ListOffsetsRequestTopicPartition, sp *kmsg.ListOffsetsResponseTopicPartition,
) {
	sp.Default()
	sp.Partition, sp.Timestamp, sp.Offset, sp.LeaderEpoch = rp.Partition, -1, -1, -1
	if !timestampAllowed(rp.Timestamp, req.Version) {
		sp.ErrorCode = kerr.UnsupportedVersion.Code
		return
	}
	replica, err := b.namedReplica(img, topic, rp.Partition)
	if err != nil {
		sp.ErrorCode = errorCode(err)
		return
	}
	if rp.Timestamp == latestTieredTimestamp || rp.Timestamp == earliestPendingUpload {
		return // nothing is tiered: no offset
	}
	found, err := replica.ListOffset(rp.Timestamp, log.Epoch(rp.CurrentLeaderEpoch), req.IsolationLevel == readCommitted)
	if err != nil {
		sp.ErrorCode = errorCode(err)
		return
	}
	sp.Timestamp, sp.Offset, sp.LeaderEpoch = found.Timestamp, int64(found.Offset), int32(found.Epoch)
}

func timestampAllowed(ts int64, version int16) bool {
	switch ts {
	case maxTimestamp:
		return version >= 7
	case earliestLocalTimestamp:
		return version >= 8
	case latestTieredTimestamp:
		return version >= 9
	case earliestPendingUpload:
		return version >= 11
	default:
		return ts >= earliestTimestamp
	}
}
