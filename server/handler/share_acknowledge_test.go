package handler

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/raft"
	"balsa/server/cluster"
)

// ack is one batch of acknowledgements.
func ack(of from, first, last int64, types ...int8) kmsg.ShareAcknowledgeRequestTopic {
	b := kmsg.NewShareAcknowledgeRequestTopicPartitionAcknowledgementBatch()
	b.FirstOffset, b.LastOffset, b.AcknowledgeTypes = first, last, types
	p := kmsg.NewShareAcknowledgeRequestTopicPartition()
	p.Partition, p.AcknowledgementBatches = of.partition, append(p.AcknowledgementBatches, b)
	t := kmsg.NewShareAcknowledgeRequestTopic()
	t.TopicID, t.Partitions = of.id, []kmsg.ShareAcknowledgeRequestTopicPartition{p}
	return t
}

func acknowledges(member string, epoch int32, acks ...kmsg.ShareAcknowledgeRequestTopic) *kmsg.ShareAcknowledgeRequest {
	req := kmsg.NewPtrShareAcknowledgeRequest()
	req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch, req.Topics = 2, kmsg.StringPtr("g"), &member, epoch, acks
	return req
}

// acksText writes an answer down, like sharesText.
func acksText(resp *kmsg.ShareAcknowledgeResponse) string {
	if resp.ErrorCode != 0 {
		return errorName(resp.ErrorCode)
	}
	names := map[cluster.TopicID]string{idT: "t", idFar: "far"}
	var parts []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			s := fmt.Sprintf("%s%d %s", names[t.TopicID], p.Partition, errorName(p.ErrorCode))
			if p.CurrentLeader.LeaderID != -1 {
				s += fmt.Sprintf(" leader %d/%d", p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch)
			}
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// TestShareAcknowledge: of a member that has records 0 to 9.
func TestShareAcknowledge(t *testing.T) {
	for _, test := range []struct {
		name  string
		acks  []kmsg.ShareAcknowledgeRequestTopic
		renew bool
		want  string
	}{
		{"nothing", nil, false, ""},
		{"no batches", []kmsg.ShareAcknowledgeRequestTopic{{TopicID: idT, Partitions: []kmsg.ShareAcknowledgeRequestTopicPartition{{Partition: 1}}}}, false, "t1 NONE"},
		{"one type", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 9, 1)}, false, "t0 NONE"},
		{"a type for each", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 3, 0, 1, 2, 3)}, false, "t0 NONE"},
		{"several batches", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 0, 1), ack(t0, 1, 2, 1), ack(t0, 5, 5, 1)}, false, "t0 NONE"},
		{"renew", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 1, 4, 1)}, true, "t0 NONE"},
		{"renew without saying so", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 1, 4, 1)}, false, "t0 INVALID_REQUEST"},
		{"unknown type", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 0, 5)}, true, "t0 INVALID_REQUEST"},
		{"negative type", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 0, -1)}, true, "t0 INVALID_REQUEST"},
		{"no type", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 0)}, false, "t0 INVALID_REQUEST"},
		{"too few types", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 2, 1, 1)}, false, "t0 INVALID_REQUEST"},
		{"too many types", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 0, 1, 1)}, false, "t0 INVALID_REQUEST"},
		{"backwards", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 2, 1, 1)}, false, "t0 INVALID_REQUEST"},
		{"negative offset", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, -1, 1, 1)}, false, "t0 INVALID_REQUEST"},
		{"overlap", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 2, 1), ack(t0, 2, 3, 1)}, false, "t0 INVALID_REQUEST"},
		{"unordered", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 5, 5, 1), ack(t0, 2, 3, 1)}, false, "t0 INVALID_REQUEST"},
		{"one bad batch", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 0, 0, 9), ack(t0, 2, 3, 1)}, false, "t0 INVALID_REQUEST"},
		{"another's", []kmsg.ShareAcknowledgeRequestTopic{ack(t0, 9, 10, 1)}, false, "t0 INVALID_RECORD_STATE"},
		{
			"each partition by itself",
			[]kmsg.ShareAcknowledgeRequestTopic{ack(t1, 0, 0, 1), ack(far0, 0, 0, 1), ack(t0, 0, 0, 1)},
			false,
			"t1 INVALID_RECORD_STATE, t0 NONE, far0 NOT_LEADER_FOR_PARTITION leader 2/5",
		},
		{"unknown topic", []kmsg.ShareAcknowledgeRequestTopic{ack(from{id: cluster.TopicID{9}}, 0, 0, 9)}, false, "0 UNKNOWN_TOPIC_ID"},
		{"unknown partition", []kmsg.ShareAcknowledgeRequestTopic{ack(from{id: idT, partition: 2}, 0, 0, 1)}, false, "t2 UNKNOWN_TOPIC_OR_PARTITION"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.replica(idT, 0).commit(records(10))
			w.replica(idT, 0).commit(records(1))
			open := sharesFrom("m", 0, t0)
			open.MaxRecords = 10
			w.shares(open, "t0 0-9")
			req := acknowledges("m", 1, test.acks...)
			req.IsRenewAck = test.renew
			resp := ask[*kmsg.ShareAcknowledgeResponse](w, req)
			if got := acksText(resp); got != test.want || resp.AcquisitionLockTimeoutMillis != 30_000 {
				t.Errorf("%q, locked for %d ms, want %q", got, resp.AcquisitionLockTimeoutMillis, test.want)
			}
			if bad := strings.Contains(test.want, "t0 INVALID"); bad && len(w.replica(idT, 0).shares.decided) > 0 {
				t.Errorf("decided %v: it is all or nothing", w.replica(idT, 0).shares.decided)
			}
			if told := len(resp.NodeEndpoints) == 1 && resp.NodeEndpoints[0].Host == "b2"; told != strings.Contains(test.want, "leader 2") {
				t.Errorf("endpoints %+v", resp.NodeEndpoints)
			}
		})
	}
}

func TestShareAcknowledgeLimit(t *testing.T) {
	for _, test := range []struct {
		batches, types int // of each batch
		ok             bool
	}{
		{1, maxShareAcks, true},
		{1, maxShareAcks + 1, false},
		{maxShareAcks, 1, true},
		{maxShareAcks + 1, 1, false},
	} {
		var a acknowledging
		p := a.partition(cluster.TopicPartition{})
		types := make([]int8, test.types)
		for i := range test.batches {
			a.add(p, int64(i*test.types), int64((i+1)*test.types-1), types)
		}
		if (p.err == nil) != test.ok {
			t.Errorf("%d batches of %d: %v", test.batches, test.types, p.err)
		}
	}
}

func TestShareAcknowledgeErrors(t *testing.T) {
	for _, test := range []struct {
		at, later error // when it is asked, and when it is to be durable
		want      string
	}{
		{raft.ErrNotLeader, nil, "t0 NOT_LEADER_FOR_PARTITION"},
		{kerr.GroupIDNotFound, nil, "t0 UNKNOWN_TOPIC_OR_PARTITION"}, // as Kafka, when the group has no share partition there
		{kerr.InvalidRequest, nil, "t0 INVALID_REQUEST"},
		{nil, raft.ErrLeadershipLost, "t0 NOT_LEADER_FOR_PARTITION"},
		{nil, kerr.KafkaStorageError, "t0 KAFKA_STORAGE_ERROR"},
	} {
		w := newWorld(t)
		r := w.replica(idT, 0)
		r.commit(records(1))
		w.shares(sharesFrom("m", 0, t0), "t0 0-0")
		r.shares.err, r.shares.ackErr = test.at, test.later
		if got := acksText(ask[*kmsg.ShareAcknowledgeResponse](w, acknowledges("m", 1, ack(t0, 0, 0, 1)))); got != test.want {
			t.Errorf("%v, %v: %q, want %q", test.at, test.later, got, test.want)
		}
	}
}

func TestShareAcknowledgeRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world, r *kmsg.ShareAcknowledgeRequest)
		want   *kerr.Error
	}{
		{"feature is off", func(w *world, _ *kmsg.ShareAcknowledgeRequest) { w.image.Features[cluster.FeatureShare] = 0 }, kerr.UnsupportedVersion},
		{"no group", func(_ *world, r *kmsg.ShareAcknowledgeRequest) { r.GroupID = nil }, kerr.InvalidRequest},
		{"no member", func(_ *world, r *kmsg.ShareAcknowledgeRequest) { r.MemberID = nil }, kerr.InvalidRequest},
		{"long lock", func(_ *world, r *kmsg.ShareAcknowledgeRequest) {
			protocol.SetMillisTag(&r.UnknownTags, protocol.TagRenewLock, longestShareLock+time.Millisecond)
		}, kerr.InvalidRequest},
		{"bad delay", func(_ *world, r *kmsg.ShareAcknowledgeRequest) {
			r.UnknownTags.Set(protocol.TagReleaseDelay, []byte{0xff, 0xff, 0xff, 0xff})
		}, kerr.InvalidRequest},
	} {
		for version := int16(1); version <= 2; version++ {
			w := newWorld(t)
			w.shares(sharesFrom("m", 0, t0), "t0")
			req := acknowledges("m", 1, ack(t0, 0, 0, 1))
			req.Version = version
			test.change(w, req)
			resp := ask[*kmsg.ShareAcknowledgeResponse](w, req)
			if resp.ErrorCode != test.want.Code || len(resp.Topics) > 0 || resp.AcquisitionLockTimeoutMillis != 0 {
				t.Errorf("%s, v%d: %+v", test.name, version, resp)
			}
		}
	}
}

// TestShareAcknowledgeTimes: other locks and delays than the group's.
func TestShareAcknowledgeTimes(t *testing.T) {
	w := newWorld(t)
	r := w.replica(idT, 0)
	r.commit(records(2))
	w.shares(sharesFrom("m", 0, t0), "t0 0-1")
	r.shareCalls()
	req := acknowledges("m", 1, ack(t0, 0, 1, 4, 2))
	req.IsRenewAck = true
	protocol.SetMillisTag(&req.UnknownTags, protocol.TagRenewLock, time.Hour)
	protocol.SetMillisTag(&req.UnknownTags, protocol.TagReleaseDelay, time.Minute)
	resp := ask[*kmsg.ShareAcknowledgeResponse](w, req)
	if calls := r.shareCalls(); len(calls) != 1 || !strings.HasSuffix(calls[0], "lock 1h0m0s delay 1m0s") || acksText(resp) != "t0 NONE" {
		t.Errorf("%q, %q", calls, acksText(resp))
	}
	if int64(resp.AcquisitionLockTimeoutMillis) != time.Hour.Milliseconds() {
		t.Errorf("locked for %d ms", resp.AcquisitionLockTimeoutMillis)
	}
}

// TestShareAcknowledgeIsDurableFirst, for all partitions at once.
func TestShareAcknowledgeIsDurableFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for p := range int32(2) {
			w.replica(idT, p).commit(records(2))
		}
		w.shares(sharesFrom("m", 0, t0, t1), "t0 0-1, t1 0-1")
		for p, after := range map[int32]time.Duration{0: 2 * time.Second, 1: 3 * time.Second} {
			hold := make(chan struct{})
			w.replica(idT, p).shares.hold = hold
			time.AfterFunc(after, func() { close(hold) })
		}
		start := time.Now()
		resp := ask[*kmsg.ShareAcknowledgeResponse](w, acknowledges("m", 1, ack(t0, 0, 0, 1), ack(t1, 0, 0, 1)))
		if got, d := acksText(resp), time.Since(start); got != "t0 NONE, t1 NONE" || d != 3*time.Second {
			t.Errorf("%q after %v", got, d)
		}
		w.replica(idT, 1).shares.hold = make(chan struct{})
		start = time.Now()
		resp = ask[*kmsg.ShareAcknowledgeResponse](w, acknowledges("m", 2, ack(t0, 1, 1, 1), ack(t1, 1, 1, 1)))
		if got, d := acksText(resp), time.Since(start); got != "t0 NONE, t1 REQUEST_TIMED_OUT" || d != shareCommitWait {
			t.Errorf("%q after %v", got, d)
		}
	})
}
