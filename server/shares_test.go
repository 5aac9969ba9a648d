package server

import (
	"errors"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log/batch"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/share"
)

func TestShareCodec(t *testing.T) {
	req := shareRequest{op: shareAlter, group: "g", epoch: share.Epoch{Shard: 7, Term: 2, Number: 300}, starts: []coordinator.ShareStart{
		{TopicPartition: cluster.TopicPartition{Topic: cluster.TopicID{1}, Partition: 2}, Offset: -1},
		{TopicPartition: cluster.TopicPartition{Topic: cluster.TopicID{3}}, Offset: 1 << 40},
	}}
	got, err := decodeShareRequest(encodeShareRequest(req))
	if err != nil || !reflect.DeepEqual(got, req) {
		t.Errorf("request: %+v, %v", got, err)
	}
	states := []coordinator.ShareState{
		{
			Start: 5, LeaderEpoch: 2, Lag: 9, InFlight: 3, Delayed: 1, DeadLettering: 2,
			Decided: []share.Range{{First: 7, Last: 7}, {First: 9, Last: 300}},
		},
		{Err: kerr.NotLeaderForPartition},
	}
	decoded, err := decodeShareStates(encodeShareStates(states), 2)
	if err != nil || !reflect.DeepEqual(decoded, states) {
		t.Errorf("answer: %+v, %v", decoded, err)
	}
	if _, err := decodeShareStates(encodeShareStates(states), 3); !errors.Is(err, errShareStates) {
		t.Errorf("an answer that says too little: %v", err)
	}
}

func TestFloorsCodec(t *testing.T) {
	question := floorsQuestion{version: 300, topics: []cluster.TopicID{{1}, {2}}}
	if got, err := decodeFloorsQuestion(question.encode()); err != nil || !reflect.DeepEqual(got, question) {
		t.Errorf("question: %v, %v", got, err)
	}
	shards, floors := []int32{0, 7}, []coordinator.CommittedFloor{{Topic: cluster.TopicID{2}, Partition: 1, Offset: 42}}
	gotShards, gotFloors, err := decodeFloors(encodeFloors(shards, floors))
	if err != nil || !reflect.DeepEqual(gotShards, shards) || !reflect.DeepEqual(gotFloors, floors) {
		t.Errorf("answer: %v %v, %v", gotShards, gotFloors, err)
	}
}

func FuzzShareMessages(f *testing.F) {
	f.Add(encodeShareRequest(shareRequest{op: shareDescribe, group: "g", starts: make([]coordinator.ShareStart, 2)}))
	f.Add(encodeShareStates(make([]coordinator.ShareState, 2)))
	f.Add((&floorsQuestion{version: 300, topics: make([]cluster.TopicID, 2)}).encode())
	f.Add(encodeFloors([]int32{1}, make([]coordinator.CommittedFloor, 2)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if req, err := decodeShareRequest(b); err == nil {
			again, err := decodeShareRequest(encodeShareRequest(req))
			if err != nil || !reflect.DeepEqual(again, req) {
				t.Errorf("request %+v becomes %+v, %v", req, again, err)
			}
		}
		_, _ = decodeShareStates(b, 2)
		_, _ = decodeFloorsQuestion(b)
		_, _, _ = decodeFloors(b)
	})
}

func TestDeadLettersFit(t *testing.T) {
	record := func(n int) batch.Record { return batch.Record{Value: make([]byte, n)} }
	for _, c := range []struct {
		records []batch.Record
		want    int
	}{
		{[]batch.Record{record(1), record(1)}, 2},
		{[]batch.Record{record(deadLetterBytes), record(1)}, 1},
		{[]batch.Record{record(2 * deadLetterBytes), record(1)}, 1},
		{[]batch.Record{record(deadLetterBytes - 1), record(1), record(1)}, 2},
	} {
		if got := fitting(c.records); got != c.want {
			t.Errorf("%d of %d records fit, not %d", got, len(c.records), c.want)
		}
	}
	big := batch.Record{Value: make([]byte, 10), Headers: []batch.RecordHeader{
		{Key: []byte("__dlq.errors.offset"), Value: []byte("7")},
		{Key: []byte("trace"), Value: make([]byte, maxKeptHeader+1)},
	}}
	small := truncated(big)
	if small.Value != nil || len(small.Headers) != 2 || string(small.Headers[1].Value) != "7" {
		t.Errorf("truncated to %+v", small)
	}
}
