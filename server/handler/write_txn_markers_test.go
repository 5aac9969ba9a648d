package handler

import (
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/partition"
)

func TestWriteTxnMarkers(t *testing.T) {
	w := newWorld(t)
	marker := func(id int64, commit bool, topics ...string) kmsg.WriteTxnMarkersRequestMarker {
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.CoordinatorEpoch, m.Committed, m.TransactionVersion = id, 3, 9, commit, 2
		for _, name := range topics {
			rt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
			rt.Topic, rt.Partitions = name, []int32{0, 1}
			m.Topics = append(m.Topics, rt)
		}
		return m
	}
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	req.Version = 2
	req.Markers = append(req.Markers, marker(5, true, "t", "nowhere"), marker(6, false, "far"))
	resp := ask[*kmsg.WriteTxnMarkersResponse](w, req)
	var codes []int16
	for _, m := range resp.Markers {
		for _, st := range m.Topics {
			for _, p := range st.Partitions {
				codes = append(codes, p.ErrorCode)
			}
		}
	}
	unknown, elsewhere := kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code
	if want := []int16{0, 0, unknown, unknown, elsewhere, elsewhere}; !reflect.DeepEqual(codes, want) {
		t.Errorf("answered %v, want %v", codes, want)
	}
	m := partition.Marker{ProducerID: 5, ProducerEpoch: 3, CoordinatorEpoch: 9, Commit: true, TransactionVersion: 2}
	want := []TransactionMarker{
		{cluster.TopicPartition{Topic: idT, Partition: 0}, m}, {cluster.TopicPartition{Topic: idT, Partition: 1}, m},
	}
	if !reflect.DeepEqual(w.markers, want) {
		t.Errorf("wrote %+v", w.markers)
	}
	if id, err := markedTopic(w.image, "__consumer_offsets"); err != nil || id != cluster.CoordinatorTopic {
		t.Errorf("the offsets' topic is %v, %v", id, err)
	}
}
