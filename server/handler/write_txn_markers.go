package handler

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/partition"
)

// markersTimeout is how long WriteTxnMarkers waits for its markers to be durable: request.timeout.ms of Kafka's brokers.
const markersTimeout = 30 * time.Second

// writeTxnMarkers answers WriteTxnMarkers, with which administrators abort a transaction that its coordinator does not know
// (kafka-transactions.sh abort). Our own coordinators do not use it.
func (b *Broker) writeTxnMarkers(ctx context.Context, _ Client, req *kmsg.WriteTxnMarkersRequest) kmsg.Response {
	resp := newResponse[*kmsg.WriteTxnMarkersResponse](req)
	img := b.Metadata.Image()
	var markers []TransactionMarker
	var codes []*int16 // where the outcome of each goes
	resp.Markers = make([]kmsg.WriteTxnMarkersResponseMarker, len(req.Markers))
	for i := range req.Markers {
		rm, sm := &req.Markers[i], &resp.Markers[i]
		sm.Default()
		sm.ProducerID = rm.ProducerID
		sm.Topics = make([]kmsg.WriteTxnMarkersResponseMarkerTopic, len(rm.Topics))
		m := partition.Marker{
			ProducerID: rm.ProducerID, ProducerEpoch: rm.ProducerEpoch, CoordinatorEpoch: rm.CoordinatorEpoch,
			Commit: rm.Committed, TransactionVersion: rm.TransactionVersion,
		}
		for j := range rm.Topics {
			rt, st := &rm.Topics[j], &sm.Topics[j]
			st.Default()
			st.Topic = rt.Topic
			st.Partitions = make([]kmsg.WriteTxnMarkersResponseMarkerTopicPartition, len(rt.Partitions))
			id, err := markedTopic(img, rt.Topic)
			for k, p := range rt.Partitions {
				sp := &st.Partitions[k]
				sp.Default()
				sp.Partition, sp.ErrorCode = p, errorCode(err)
				if err == nil {
					markers = append(markers, TransactionMarker{cluster.TopicPartition{Topic: id, Partition: p}, m})
					codes = append(codes, &sp.ErrorCode)
				}
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, markersTimeout)
	defer cancel()
	for i, err := range b.Markers.WriteMarkers(ctx, markers) {
		*codes[i] = errorCode(err)
	}
	return resp
}

// markedTopic finds a topic by the name that transactions have it by.
func markedTopic(img *cluster.Image, name string) (cluster.TopicID, error) {
	t, err := topicNamed(img, name)
	if err != nil {
		return cluster.TopicID{}, err
	}
	return t.ID, nil
}
