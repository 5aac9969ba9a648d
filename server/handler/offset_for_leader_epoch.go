package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
)

// offsetForLeaderEpoch answers OffsetForLeaderEpoch: where the given epoch ends, so that a consumer finds out whether
// what it has read is still there after a change of leader (KIP-320).
func (b *Broker) offsetForLeaderEpoch(_ context.Context, _ Client, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := newResponse[*kmsg.OffsetForLeaderEpochResponse](req)
	img := b.Metadata.Image()
	resp.Topics = make([]kmsg.OffsetForLeaderEpochResponseTopic, len(req.Topics))
	for i := range req.Topics {
		rt, st := &req.Topics[i], &resp.Topics[i]
		st.Default()
		st.Topic = rt.Topic
		st.Partitions = make([]kmsg.OffsetForLeaderEpochResponseTopicPartition, len(rt.Partitions))
		for j := range rt.Partitions {
			rp, sp := &rt.Partitions[j], &st.Partitions[j]
			sp.Default()
			sp.Partition, sp.LeaderEpoch, sp.EndOffset = rp.Partition, -1, -1
			replica, err := b.namedReplica(img, rt.Topic, rp.Partition)
			if err != nil {
				sp.ErrorCode = errorCode(err)
				continue
			}
			epoch, end, err := replica.EpochEnd(log.Epoch(rp.CurrentLeaderEpoch), log.Epoch(rp.LeaderEpoch))
			if err != nil {
				sp.ErrorCode = errorCode(err)
				continue
			}
			sp.LeaderEpoch, sp.EndOffset = int32(epoch), int64(end)
		}
	}
	return resp
}
