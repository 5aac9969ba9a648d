package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// describeProducers answers DescribeProducers (KIP-664): who writes to a partition, and which transaction keeps its last
// stable offset back. Every replica answers, as Kafka's do.
func (b *Broker) describeProducers(_ context.Context, _ Client, req *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeProducersResponse](req)
	img := b.Metadata.Image()
	resp.Topics = make([]kmsg.DescribeProducersResponseTopic, len(req.Topics))
	for i := range req.Topics {
		rt, st := &req.Topics[i], &resp.Topics[i]
		st.Default()
		st.Topic = rt.Topic
		st.Partitions = make([]kmsg.DescribeProducersResponseTopicPartition, len(rt.Partitions))
		for j, p := range rt.Partitions {
			b.describeProducersOf(img, rt.Topic, p, &st.Partitions[j])
		}
	}
	return resp
}

func (b *Broker) describeProducersOf(img *cluster.Image, topic string, p int32, sp *kmsg.DescribeProducersResponseTopicPartition) {
	sp.Default()
	sp.Partition = p
	sp.ActiveProducers = []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}
	replica, err := b.namedReplica(img, topic, p)
	if err != nil {
		sp.ErrorCode, sp.ErrorMessage = errorCode(err), errorMessage(err)
		return
	}
	for _, s := range replica.Producers() {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch = s.ProducerID, int32(s.ProducerEpoch)
		a.LastSequence, a.LastTimestamp = s.LastSequence, s.LastTimestamp
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = s.CoordinatorEpoch, int64(s.TransactionStart)
		sp.ActiveProducers = append(sp.ActiveProducers, a)
	}
}
