package handler

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// Topic t is led by broker 1 in rack r1; its other replica is on broker 2.
func TestPreferredReadReplica(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version int16
		rack    string
		off     bool
		change  func(w *world)
		want    int32
	}{
		{"a replica in the consumer's rack", 18, "r2", false, nil, 2},
		{"since version 11", 11, "r2", false, nil, 2},
		{"before version 11", 10, "r2", false, nil, -1},
		{"switched off, as by default", 18, "r2", true, nil, -1},
		{"no rack", 18, "", false, nil, -1},
		{"a rack without a replica", 18, "r3", false, nil, -1},
		{"the leader's own rack", 18, "r1", false, nil, -1},
		{"out of service", 18, "r2", false, func(w *world) { w.aside = map[raft.NodeID]bool{2: true} }, -1},
		{"behind, but it has the offset", 18, "r2", false, func(w *world) { w.replica(idT, 0).behind = 2 }, 2},
		{"behind the offset", 18, "r2", false, func(w *world) { w.replica(idT, 0).behind = 3 }, -1},
		{"yet to be filled", 18, "r2", false, func(w *world) { w.image.Topics[idT].Partitions[0].Adding = []raft.NodeID{2} }, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.broker.RackAware = !tt.off
				far := w.image.Brokers[2]
				far.Rack = "r2"
				w.image.Brokers[2] = far
				if tt.change != nil {
					tt.change(w)
				}
				w.replica(idT, 0).commit(records(2))
				req := fetchFrom(tt.version, t0)
				req.Rack, req.MinBytes, req.MaxWaitMillis = tt.rack, 1, 60_000
				start := time.Now()
				got := partitionsOf(ask[*kmsg.FetchResponse](w, req))[0]
				if got.PreferredReadReplica != tt.want || got.ErrorCode != 0 || got.HighWatermark != 2 {
					t.Errorf("%+v", got)
				}
				if (len(got.RecordBatches) > 0) == (tt.want >= 0) {
					t.Errorf("%d bytes of records", len(got.RecordBatches))
				}
				if time.Since(start) > 0 {
					t.Error("waited")
				}
				if follows := w.replica(idT, 0).fetches[0].Follower; follows != (!tt.off && tt.version >= 11) {
					t.Errorf("followers serve: %v", follows)
				}
			})
		})
	}
}

// An error is for the leader to tell: the consumer is not sent away with an offset that is out of range.
func TestPreferredReadReplicaNotWithAnError(t *testing.T) {
	w := newWorld(t)
	w.broker.RackAware = true
	far := w.image.Brokers[2]
	far.Rack = "r2"
	w.image.Brokers[2] = far
	at := t0
	at.offset = 99
	req := fetchFrom(18, at)
	req.Rack = "r2"
	got := partitionsOf(ask[*kmsg.FetchResponse](w, req))[0]
	if got.ErrorCode != kerr.OffsetOutOfRange.Code || got.PreferredReadReplica != -1 {
		t.Errorf("%+v", got)
	}
}
