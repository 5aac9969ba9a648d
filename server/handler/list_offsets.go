package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/server/cluster"
	"balsa/server/partition"
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
	if rp.Timestamp == partition.LatestTieredTimestamp || rp.Timestamp == partition.EarliestPendingUploadTimestamp {
		return // nothing is tiered: no offset
	}
	found, err := replica.ListOffset(rp.Timestamp, log.Epoch(rp.CurrentLeaderEpoch), req.IsolationLevel == readCommitted)
	if err != nil {
		sp.ErrorCode = errorCode(err)
		return
	}
	sp.Timestamp, sp.Offset, sp.LeaderEpoch = found.Timestamp, int64(found.Offset), int32(found.Epoch)
}

// timestampAllowed says whether a version of ListOffsets knows a timestamp: each with a meaning of its own came with a version.
func timestampAllowed(ts int64, version int16) bool {
	switch ts {
	case partition.MaxTimestamp:
		return version >= 7
	case partition.EarliestLocalTimestamp:
		return version >= 8
	case partition.LatestTieredTimestamp:
		return version >= 9
	case partition.EarliestPendingUploadTimestamp:
		return version >= 11
	default:
		return ts >= partition.EarliestTimestamp
	}
}
