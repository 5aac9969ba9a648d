package handler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/server/cluster"
)

type from struct {
	topic     string
	id        cluster.TopicID
	partition int32
	offset    int64
}

func fetchFrom(version int16, froms ...from) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxBytes, req.MinBytes = version, -1, 1<<20, 1
	req.SessionEpoch = finalEpoch
	for _, f := range froms {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = f.partition, f.offset, 1<<20
		rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = -1, -1
		rt := kmsg.NewFetchRequestTopic()
		rt.Topic, rt.TopicID, rt.Partitions = f.topic, f.id, []kmsg.FetchRequestTopicPartition{rp}
		req.Topics = append(req.Topics, rt)
	}
	return req
}

var (
	t0 = from{topic: "t", id: idT}
	t1 = from{topic: "t", id: idT, partition: 1}
)

// partitionsOf lists an answer's partitions in order.
func partitionsOf(resp *kmsg.FetchResponse) []kmsg.FetchResponseTopicPartition {
	var out []kmsg.FetchResponseTopicPartition
	for _, t := range resp.Topics {
		out = append(out, t.Partitions...)
	}
	return out
}

func TestFetch(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t)
			w.replica(idT, 0).commit(records(2))
			w.replica(idT, 0).commit(records(3))
			at := t0
			at.offset = 2
			resp := ask[*kmsg.FetchResponse](w, fetchFrom(version, at, t1))
			ps := partitionsOf(resp)
			if len(ps) != 2 || ps[0].HighWatermark != 5 || ps[0].LastStableOffset != 5 || ps[1].HighWatermark != 0 {
				t.Fatalf("%+v", ps)
			}
			if want := w.replica(idT, 0).batches[1]; string(ps[0].RecordBatches) != string(want) {
				t.Error("records differ")
			}
			if ps[1].RecordBatches == nil {
				t.Error("null instead of no records")
			}
			if ps[0].AbortedTransactions != nil || ps[0].PreferredReadReplica != -1 {
				t.Errorf("%+v", ps[0])
			}
		})
	}
}

func TestFetchReadCommitted(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).commit(records(1))
	req := fetchFrom(11, t0)
	req.IsolationLevel = readCommitted
	p := partitionsOf(ask[*kmsg.FetchResponse](w, req))[0]
	if p.AbortedTransactions == nil || len(p.AbortedTransactions) != 0 {
		t.Errorf("aborted list %v, want one that is empty", p.AbortedTransactions)
	}
	if !w.replica(idT, 0).fetches[0].ReadCommitted {
		t.Error("the partition was not asked for committed records")
	}
}

// CVE-2018-1288: on a client's listener nobody is a replica.
func TestFetchForgedReplica(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).commit(records(1))
	for _, version := range []int16{4, 7, 14} {
		req := fetchFrom(version, t0)
		req.ReplicaID = 1
		resp := ask[*kmsg.FetchResponse](w, req)
		code := resp.ErrorCode
		if version < 7 {
			code = partitionsOf(resp)[0].ErrorCode
		}
		if code != kerr.InvalidRequest.Code {
			t.Errorf("v%d: %+v", version, resp)
		}
	}
	req := fetchFrom(15, t0)
	req.ReplicaState.ID = 1
	if resp := ask[*kmsg.FetchResponse](w, req); resp.ErrorCode != kerr.InvalidRequest.Code || len(resp.Topics) > 0 {
		t.Errorf("v15: %+v", resp)
	}
	if len(w.replica(idT, 0).fetches) != 0 {
		t.Error("records were read for a forged replica")
	}
}

func TestFetchErrors(t *testing.T) {
	past := t0
	past.offset = 99
	tests := []struct {
		name    string
		version int16
		from    from
		want    *kerr.Error
		waits   bool // when there is another partition to wait for, as in Kafka
	}{
		{"unknown name", 12, from{topic: "none"}, kerr.UnknownTopicOrPartition, true},
		{"unknown id", 13, from{id: cluster.TopicID{9}}, kerr.UnknownTopicID, true},
		{"the coordinator's id", 13, from{id: cluster.CoordinatorTopic}, kerr.UnknownTopicID, true},
		{"unknown partition", 13, from{id: idT, partition: 2}, kerr.UnknownTopicOrPartition, true},
		{"out of range", 13, past, kerr.OffsetOutOfRange, false},
		{"led elsewhere", 12, from{topic: "far", id: idFar}, kerr.NotLeaderForPartition, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				req := fetchFrom(test.version, test.from, t1)
				req.MaxWaitMillis, req.MinBytes = 10_000, 1000
				start := time.Now()
				ps := partitionsOf(ask[*kmsg.FetchResponse](w, req))
				if ps[0].ErrorCode != test.want.Code || ps[1].ErrorCode != 0 || ps[0].RecordBatches == nil {
					t.Errorf("%+v", ps)
				}
				if d := time.Since(start); (d != 0) != test.waits {
					t.Errorf("answered after %v", d)
				}
				alone := fetchFrom(test.version, test.from)
				alone.MaxWaitMillis, alone.MinBytes = 10_000, 1000
				start = time.Now()
				ask[*kmsg.FetchResponse](w, alone)
				if d := time.Since(start); d != 0 {
					t.Errorf("alone, it waited for %v", d)
				}
			})
		})
	}
}

// KIP-951, from the version that has each of the tags.
func TestFetchTellsTheLeader(t *testing.T) {
	for version := int16(11); version <= 18; version++ {
		w := newWorld(t)
		resp := ask[*kmsg.FetchResponse](w, fetchFrom(version, from{topic: "far", id: idFar}))
		p := partitionsOf(resp)[0]
		if told := p.CurrentLeader.LeaderID == 2 && p.CurrentLeader.LeaderEpoch == 5; told != (version >= 12) {
			t.Errorf("v%d: leader %+v", version, p.CurrentLeader)
		}
		if told := len(resp.Brokers) == 1 && resp.Brokers[0].Host == "b2"; told != (version >= 16) {
			t.Errorf("v%d: endpoints %+v", version, resp.Brokers)
		}
	}
}

func TestFetchDiverging(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).diverging = 3
	p := partitionsOf(ask[*kmsg.FetchResponse](w, fetchFrom(13, t0)))[0]
	if p.DivergingEpoch.Epoch != 3 || p.DivergingEpoch.EndOffset != 2 || p.ErrorCode != 0 {
		t.Errorf("%+v", p)
	}
}

// KIP-74: limits hold, but the first batch of the first partition that has any always goes out.
func TestFetchLimits(t *testing.T) {
	size := int32(len(records(2)))
	tests := []struct {
		name              string
		max, partitionMax int32
		want              [2]int // batches of each partition
	}{
		{"all", 1 << 20, 1 << 20, [2]int{3, 3}},
		{"no room at all", 0, 0, [2]int{1, 0}},
		{"the partitions' limits", 1 << 20, 2 * size, [2]int{2, 2}},
		{"partition limit too small", 1 << 20, 1, [2]int{1, 0}},
		{"the request's limit", 4 * size, 1 << 20, [2]int{3, 1}},
		{"one byte less", 4*size - 1, 1 << 20, [2]int{3, 0}},
		{"negative", -1, -1, [2]int{1, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			for range 3 {
				w.replica(idT, 0).commit(records(2))
				w.replica(idT, 1).commit(records(2))
			}
			req := fetchFrom(12, t0, t1)
			req.MaxBytes = test.max
			for i := range req.Topics {
				req.Topics[i].Partitions[0].PartitionMaxBytes = test.partitionMax
			}
			ps := partitionsOf(ask[*kmsg.FetchResponse](w, req))
			got := [2]int{len(ps[0].RecordBatches) / int(size), len(ps[1].RecordBatches) / int(size)}
			if got != test.want || ps[1].HighWatermark != 6 {
				t.Errorf("batches %v, want %v", got, test.want)
			}
		})
	}
}

func TestFetchWaits(t *testing.T) {
	size := len(records(1))
	tests := []struct {
		name     string
		min      int32
		commits  []time.Duration // when a batch comes to partition 1
		leave    time.Duration   // when the client goes
		want     time.Duration
		batches  int
		evaluate int // how often partition 0 may be read
	}{
		{"nothing comes", 1, nil, 0, 10 * time.Second, 0, 2},
		{"enough comes", 1, []time.Duration{time.Second}, 0, time.Second, 1, 2},
		{"not enough comes", int32(3 * size), []time.Duration{time.Second, 2 * time.Second}, 0, 10 * time.Second, 2, 2},
		{"enough comes in pieces", int32(2 * size), []time.Duration{time.Second, 3 * time.Second}, 0, 3 * time.Second, 2, 2},
		{"the client goes", 1, nil, 4 * time.Second, 4 * time.Second, 0, 2},
		{"no minimum", 0, nil, 0, 0, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				waiting, leave := context.WithCancel(context.Background())
				defer leave()
				for _, at := range test.commits {
					time.AfterFunc(at, func() { w.replica(idT, 1).commit(records(1)) })
				}
				if test.leave > 0 {
					time.AfterFunc(test.leave, leave)
				}
				req := fetchFrom(12, t0, t1)
				req.MinBytes, req.MaxWaitMillis = test.min, 10_000
				start := time.Now()
				resp, _ := w.answer(w.start(waiting, req), req).(*kmsg.FetchResponse)
				if got := time.Since(start); got != test.want {
					t.Errorf("answered after %v, want %v", got, test.want)
				}
				if got := len(partitionsOf(resp)[1].RecordBatches) / size; got != test.batches {
					t.Errorf("%d batches, want %d", got, test.batches)
				}
				if got := len(w.replica(idT, 0).fetches); got > test.evaluate {
					t.Errorf("read %d times, want at most %d: is it polling?", got, test.evaluate)
				}
				if n := w.replica(idT, 0).watching() + w.replica(idT, 1).watching(); n != 0 {
					t.Errorf("%d waiters left behind", n)
				}
			})
		})
	}
}

// A commit between reading and parking must not be missed.
func TestFetchNoLostWakeup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(idT, 0)
		f := &fetching{
			broker: w.broker, req: fetchFrom(12, t0), work: new(stopwatch), max: 1 << 20, min: 1,
			context: &fetchContext{partitions: []fetchPartition{{name: "t", maxBytes: 1 << 20}}},
		}
		f.evaluate()
		r.commit(records(1))
		if !f.wait(context.Background(), time.After(time.Hour)) {
			t.Error("waited until the timeout")
		}
	})
}

// min.bytes beyond max.bytes can never be reached; it counts as max.bytes.
func TestFetchMinBeyondMax(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.replica(idT, 0).commit(records(100))
		req := fetchFrom(12, t0)
		req.MaxBytes, req.MinBytes, req.MaxWaitMillis = 10, 1<<30, 10_000
		start := time.Now()
		ask[*kmsg.FetchResponse](w, req)
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

func TestErrorMapping(t *testing.T) {
	for _, test := range []struct {
		err  error
		want *kerr.Error
	}{
		{log.ErrOffsetOutOfRange, kerr.OffsetOutOfRange},
		{fmt.Errorf("read: %w", log.ErrClosed), kerr.NotLeaderForPartition},
		{errors.New("no idea"), kerr.UnknownServerError},
	} {
		if got := errorCode(test.err); got != test.want.Code {
			t.Errorf("%v: %d, want %v", test.err, got, test.want)
		}
	}
	if m := errorMessage(kerr.InvalidRecord); m != nil {
		t.Errorf("the bare code has message %q", *m)
	}
	if m := errorMessage(fmt.Errorf("why: %w", kerr.InvalidRecord)); m == nil {
		t.Error("the reason was lost")
	}
}

// The broker's limits hold whatever the client asks for.
func TestFetchBrokerLimits(t *testing.T) {
	w := newWorld(t)
	size := len(records(1))
	w.broker.FetchMaxBytes, w.broker.FetchSessions = 2*size, 0
	w.dispatcher = NewDispatcher(w.broker)
	w.session = w.dispatcher.NewSession("/127.0.0.1")
	for range 5 {
		w.replica(idT, 0).commit(records(1))
	}
	req := fetchFrom(13, t0)
	req.SessionEpoch = initialEpoch
	resp := ask[*kmsg.FetchResponse](w, req)
	if n := len(partitionsOf(resp)[0].RecordBatches); n != 2*size || resp.SessionID != noSession {
		t.Errorf("%d bytes, session %d", n, resp.SessionID)
	}
}

// A partition that is named twice is answered once, from where it was named last.
func TestFetchRepeatedPartition(t *testing.T) {
	for _, epoch := range []int32{initialEpoch, finalEpoch} {
		w := newWorld(t)
		w.replica(idT, 0).commit(records(2))
		w.replica(idT, 0).commit(records(3))
		later := t0
		later.offset = 2
		req := fetchFrom(13, t0, t1, later)
		req.SessionEpoch = epoch
		ps := partitionsOf(ask[*kmsg.FetchResponse](w, req))
		if len(ps) != 2 || ps[0].Partition != 0 || string(ps[0].RecordBatches) != string(w.replica(idT, 0).batches[1]) {
			t.Errorf("session epoch %d: %d partitions, %+v", epoch, len(ps), ps)
		}
	}
}
