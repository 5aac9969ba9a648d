package handler

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// produceTo returns a request with one batch per given partition.
func produceTo(version int16, topic string, id cluster.TopicID, partitions ...int32) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, -1, 5000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	for _, p := range partitions {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p, records(3)
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func TestProduce(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t)
			req := produceTo(version, "t", idT, 0, 1, 0)
			resp := ask[*kmsg.ProduceResponse](w, req)
			var got []int64
			for _, p := range resp.Topics[0].Partitions {
				if p.ErrorCode != 0 || p.LogAppendTime != -1 {
					t.Errorf("%+v", p)
				}
				got = append(got, p.BaseOffset)
			}
			if want := []int64{0, 0, 3}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("base offsets %v, want %v", got, want)
			}
			if stored := w.replica(idT, 0).batches[0]; !bytes.Equal(stored[21:], records(3)[21:]) {
				t.Error("what was stored is not what was sent")
			}
		})
	}
}

// Versions 0 to 2 are announced for librdkafka's sake, and refused in a form that they can read.
func TestProduceOldVersions(t *testing.T) {
	for version := range int16(3) {
		w := newWorld(t)
		resp := ask[*kmsg.ProduceResponse](w, produceTo(version, "t", idT, 0))
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != kerr.UnsupportedVersion.Code || p.BaseOffset != -1 {
			t.Errorf("v%d: %+v", version, p)
		}
		if len(w.replica(idT, 0).batches) != 0 {
			t.Errorf("v%d: appended all the same", version)
		}
	}
}

func TestProduceRefused(t *testing.T) {
	change := func(f func(b []byte) []byte) func(*kmsg.ProduceRequest) {
		return func(r *kmsg.ProduceRequest) {
			p := &r.Topics[0].Partitions[0]
			p.Records = f(p.Records)
		}
	}
	tests := []struct {
		name   string
		change func(*kmsg.ProduceRequest)
		want   *kerr.Error
	}{
		{"acks 2", func(r *kmsg.ProduceRequest) { r.Acks = 2 }, kerr.InvalidRequiredAcks},
		{"acks -2", func(r *kmsg.ProduceRequest) { r.Acks = -2 }, kerr.InvalidRequiredAcks},
		{"unknown topic", func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "none" }, kerr.UnknownTopicOrPartition},
		{"unknown partition", func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = 2 }, kerr.UnknownTopicOrPartition},
		{"negative partition", func(r *kmsg.ProduceRequest) { r.Topics[0].Partitions[0].Partition = -1 }, kerr.UnknownTopicOrPartition},
		{"led elsewhere", func(r *kmsg.ProduceRequest) { r.Topics[0].Topic = "far" }, kerr.NotLeaderForPartition},
		{"null records", change(func([]byte) []byte { return nil }), kerr.InvalidRecord},
		{"no batch", change(func([]byte) []byte { return []byte{} }), kerr.InvalidRecord},
		{"two batches", change(func(b []byte) []byte { return append(b, b...) }), kerr.InvalidRecord},
		{"trailing byte", change(func(b []byte) []byte { return append(b, 0) }), kerr.InvalidRecord},
		{"cut", change(func(b []byte) []byte { return b[:len(b)-1] }), kerr.CorruptMessage},
		{"cut in the header", change(func(b []byte) []byte { return b[:60] }), kerr.CorruptMessage},
		{"magic 1", change(func(b []byte) []byte { b[16] = 1; return b }), kerr.InvalidRecord},
		{"negative length", change(func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], 1<<31); return b }), kerr.CorruptMessage},
		{"zstd before v7", func(r *kmsg.ProduceRequest) { r.Version = 6; r.Topics[0].Partitions[0].Records[22] |= 4 }, kerr.UnsupportedCompressionType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			req := produceTo(9, "t", idT, 0)
			test.change(req)
			resp := ask[*kmsg.ProduceResponse](w, req)
			p := resp.Topics[0].Partitions[0]
			if p.ErrorCode != test.want.Code || p.BaseOffset != -1 || p.LogStartOffset != -1 && req.Version >= 5 {
				t.Errorf("%+v, want %v", p, test.want)
			}
			if len(w.replica(idT, 0).batches) != 0 {
				t.Error("appended all the same")
			}
			if strings.Contains(test.name, "batch") && (p.ErrorMessage == nil || !strings.Contains(*p.ErrorMessage, "one record batch")) {
				t.Errorf("message %v says nothing", p.ErrorMessage)
			}
		})
	}
}

func TestProduceByID(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		id   cluster.TopicID
		want int16
	}{{idT, 0}, {cluster.TopicID{9}, kerr.UnknownTopicID.Code}, {cluster.CoordinatorTopic, kerr.UnknownTopicID.Code}} {
		resp := ask[*kmsg.ProduceResponse](w, produceTo(13, "", test.id, 0))
		if got := resp.Topics[0]; got.TopicID != test.id || got.Partitions[0].ErrorCode != test.want {
			t.Errorf("%v: %+v", test.id, got)
		}
	}
}

// The errors of one partition do not touch the others, whether they show at the proposal or at the commit.
func TestProduceErrorsPerPartition(t *testing.T) {
	tests := []struct {
		err  error
		want *kerr.Error
	}{
		{fmt.Errorf("propose: %w", raft.ErrNotLeader), kerr.NotLeaderForPartition},
		{raft.ErrLeadershipLost, kerr.NotLeaderForPartition},
		{raft.ErrClosed, kerr.NotLeaderForPartition},
		{log.ErrFailed, kerr.KafkaStorageError},
		{log.ErrCorrupt, kerr.KafkaStorageError},
		{kerr.OutOfOrderSequenceNumber, kerr.OutOfOrderSequenceNumber},
	}
	for _, test := range tests {
		w := newWorld(t)
		w.replica(idT, 1).produceErr = test.err
		resp := ask[*kmsg.ProduceResponse](w, produceTo(11, "t", idT, 0, 1))
		ps := resp.Topics[0].Partitions
		if ps[0].ErrorCode != 0 || ps[1].ErrorCode != test.want.Code {
			t.Errorf("%v: %d, %d", test.err, ps[0].ErrorCode, ps[1].ErrorCode)
		}
	}
}

// KIP-951: whoever asks the wrong broker is told the right one.
func TestProduceTellsTheLeader(t *testing.T) {
	for version := int16(9); version <= 13; version++ {
		w := newWorld(t)
		resp := ask[*kmsg.ProduceResponse](w, produceTo(version, "far", idFar, 0))
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != kerr.NotLeaderForPartition.Code {
			t.Fatalf("v%d: %+v", version, p)
		}
		told := p.CurrentLeader.LeaderID == 2 && p.CurrentLeader.LeaderEpoch == 5 &&
			len(resp.Brokers) == 1 && resp.Brokers[0].Host == "b2" && resp.Brokers[0].Port == 9092
		if told != (version >= 10) {
			t.Errorf("v%d: %+v, brokers %+v", version, p.CurrentLeader, resp.Brokers)
		}
	}
}

func TestProduceTimeout(t *testing.T) {
	for _, test := range []struct {
		acks int16
		want time.Duration
	}{{-1, 5 * time.Second}, {1, minCommitWait}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.replica(idT, 0).hold = true
			req := produceTo(9, "t", idT, 0)
			req.Acks = test.acks
			start := time.Now()
			resp := ask[*kmsg.ProduceResponse](w, req)
			if got := time.Since(start); got != test.want {
				t.Errorf("acks %d: answered after %v, want %v", test.acks, got, test.want)
			}
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != kerr.RequestTimedOut.Code {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestProduceWithoutAcks(t *testing.T) {
	w := newWorld(t)
	req := produceTo(9, "t", idT, 0)
	req.Acks = 0
	if resp := w.answer(w.start(context.Background(), req), req); resp != nil {
		t.Errorf("answered with %+v", resp)
	}
	if len(w.replica(idT, 0).batches) != 1 {
		t.Error("not appended")
	}
	req.Topics[0].Topic = "far"
	p := w.start(context.Background(), req)
	if reply := p.Finish(context.Background()); reply.Close == nil || reply.Message != nil {
		t.Errorf("a failure is not told by closing: %+v", reply)
	}
}

// The buffer of a request goes back into circulation only when nothing can read from it any more.
func TestProduceBufferRelease(t *testing.T) {
	for _, hold := range []bool{false, true} {
		w := newWorld(t)
		w.replica(idT, 0).hold = hold
		req := produceTo(9, "t", idT, 0)
		req.TimeoutMillis = 0
		p := w.start(context.Background(), req)
		reply := p.Finish(context.Background())
		reply.Release()
		p.Release()
		if released := p.frame.Bytes() == nil; released == hold {
			t.Errorf("unsettled %v: released %v", hold, released)
		}
	}
}

// Proposals happen in start, in the order of arrival, before anything is waited for.
func TestProduceStartsInOrder(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).hold = true
	for range 3 {
		w.start(context.Background(), produceTo(9, "t", idT, 0))
	}
	if got := w.replica(idT, 0).end; got != 9 {
		t.Errorf("%d records proposed before the first finish, want 9", got)
	}
}

// min.insync.replicas counts the replicas in service, only for acks=all, and never more than there are.
func TestProduceMinInsyncReplicas(t *testing.T) {
	for _, tt := range []struct {
		least int
		acks  int16
		aside bool
		want  int16
	}{
		{1, -1, true, 0},
		{2, -1, false, 0},
		{2, -1, true, kerr.NotEnoughReplicas.Code},
		{2, 1, true, 0},
		{3, -1, false, 0}, // topic t has two replicas
		{3, -1, true, kerr.NotEnoughReplicas.Code},
	} {
		w := newWorld(t)
		w.replica(idT, 0).minInsync = tt.least
		w.aside = map[raft.NodeID]bool{2: tt.aside}
		req := produceTo(9, "t", idT, 0)
		req.Acks = tt.acks
		got := ask[*kmsg.ProduceResponse](w, req).Topics[0].Partitions[0].ErrorCode
		if got != tt.want {
			t.Errorf("%+v: %v", tt, kerr.ErrorForCode(got))
		}
		if stored := len(w.replica(idT, 0).batches) > 0; stored != (tt.want == 0) {
			t.Errorf("%+v: stored %v", tt, stored)
		}
	}
}
