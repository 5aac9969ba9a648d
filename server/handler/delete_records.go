package handler

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
)

// deleteRecordsAtOnce bounds how many partitions of one request are worked on at the same time.
const deleteRecordsAtOnce = 64

// deleteRecords answers DeleteRecords: it moves log start offsets forward, on all replicas, before it answers.
func (b *Broker) deleteRecords(ctx context.Context, _ Client, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(req.TimeoutMillis, 0))*time.Millisecond)
	defer cancel()
	resp := newResponse[*kmsg.DeleteRecordsResponse](req)
	img := b.Metadata.Image()
	resp.Topics = make([]kmsg.DeleteRecordsResponseTopic, len(req.Topics))
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, deleteRecordsAtOnce)
	for i := range req.Topics {
		rt, st := &req.Topics[i], &resp.Topics[i]
		st.Default()
		st.Topic = rt.Topic
		st.Partitions = make([]kmsg.DeleteRecordsResponseTopicPartition, len(rt.Partitions))
		for j := range rt.Partitions {
			rp, sp := &rt.Partitions[j], &st.Partitions[j]
			sp.Default()
			sp.Partition, sp.LowWatermark = rp.Partition, -1
			replica, err := b.namedReplica(img, rt.Topic, rp.Partition)
			if err != nil {
				sp.ErrorCode = errorCode(err)
				continue
			}
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				low, err := replica.DeleteRecords(ctx, log.Offset(rp.Offset))
				if sp.ErrorCode = errorCode(err); err == nil {
					sp.LowWatermark = int64(low)
				}
			})
		}
	}
	return resp
}
