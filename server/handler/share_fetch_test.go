package handler

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/protocol"
	"balsa/raft"
	"balsa/server/cluster"
)

var far0 = from{topic: "far", id: idFar}

// sharesFrom is what a member of group "g" asks in an epoch of its session.
func sharesFrom(member string, epoch int32, partitions ...from) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.Version, req.GroupID, req.MemberID, req.ShareSessionEpoch = 2, kmsg.StringPtr("g"), &member, epoch
	req.MinBytes, req.MaxBytes, req.MaxRecords, req.BatchSize = 1, 1<<20, 500, 500
	for _, f := range partitions {
		p := kmsg.NewShareFetchRequestTopicPartition()
		p.Partition = f.partition
		t := kmsg.NewShareFetchRequestTopic()
		t.TopicID, t.Partitions = f.id, []kmsg.ShareFetchRequestTopicPartition{p}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// piggyback adds acknowledgements to a fetch.
func piggyback(req *kmsg.ShareFetchRequest, of from, first, last int64, types ...int8) *kmsg.ShareFetchRequest {
	a := kmsg.NewShareFetchRequestTopicPartitionAcknowledgementBatch()
	a.FirstOffset, a.LastOffset, a.AcknowledgeTypes = first, last, types
	p := kmsg.NewShareFetchRequestTopicPartition()
	p.Partition, p.AcknowledgementBatches = of.partition, append(p.AcknowledgementBatches, a)
	t := kmsg.NewShareFetchRequestTopic()
	t.TopicID, t.Partitions = of.id, []kmsg.ShareFetchRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	return kerr.TypedErrorForCode(code).Message
}

// sharesText writes an answer down: for each partition its error, the outcome of its acknowledgements, the leader that is named, and
// the offsets that were acquired.
func sharesText(resp *kmsg.ShareFetchResponse) string {
	if resp.ErrorCode != 0 {
		return errorName(resp.ErrorCode)
	}
	names := map[cluster.TopicID]string{idT: "t", idFar: "far"}
	var parts []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			s := fmt.Sprintf("%s%d", names[t.TopicID], p.Partition)
			if p.ErrorCode != 0 {
				s += " " + errorName(p.ErrorCode)
			}
			if p.AcknowledgeErrorCode != 0 {
				s += " ack " + errorName(p.AcknowledgeErrorCode)
			}
			if p.CurrentLeader.LeaderID != -1 {
				s += fmt.Sprintf(" leader %d/%d", p.CurrentLeader.LeaderID, p.CurrentLeader.LeaderEpoch)
			}
			for _, a := range p.AcquiredRecords {
				s += fmt.Sprintf(" %d-%d", a.FirstOffset, a.LastOffset)
			}
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ", ")
}

// shares asks, and checks what is answered.
func (w *world) shares(req *kmsg.ShareFetchRequest, want string) *kmsg.ShareFetchResponse {
	w.t.Helper()
	resp := ask[*kmsg.ShareFetchResponse](w, req)
	if got := sharesText(resp); got != want {
		w.t.Errorf("epoch %d of %s: %q, want %q", req.ShareSessionEpoch, *req.MemberID, got, want)
	}
	return resp
}

// on runs f on another connection.
func (w *world) on(connection *Session, f func()) {
	before := w.session
	w.session = connection
	f()
	w.session = before
}

func TestShareFetch(t *testing.T) {
	for version := int16(1); version <= 2; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t)
			w.replica(idT, 0).commit(records(2))
			w.replica(idT, 0).commit(records(3))
			req := sharesFrom("m", 0, t0, t1)
			req.Version = version
			resp := w.shares(req, "t0 0-1 2-4, t1")
			p := resp.Topics[0].Partitions[0]
			want := string(w.replica(idT, 0).batches[0]) + string(w.replica(idT, 0).batches[1])
			if string(p.Records) != want || p.AcquiredRecords[1].DeliveryCount != 1 {
				t.Errorf("%d bytes, %+v", len(p.Records), p.AcquiredRecords)
			}
			if resp.AcquisitionLockTimeoutMillis != 30_000 {
				t.Errorf("locked for %d ms", resp.AcquisitionLockTimeoutMillis)
			}
			if resp.Topics[0].Partitions[1].Records == nil {
				t.Error("null instead of no records")
			}
			// From here on the answers name only what is new.
			next := sharesFrom("m", 1)
			next.Version = version
			w.shares(next, "")
			w.replica(idT, 1).commit(records(1))
			next.ShareSessionEpoch = 2
			w.shares(next, "t1 0-0")
		})
	}
}

func TestShareFetchAsksPartitions(t *testing.T) {
	w := newWorld(t)
	batch := records(2)
	for range 3 {
		w.replica(idT, 0).commit(records(2))
		w.replica(idT, 1).commit(records(2))
	}
	req := sharesFrom("m", 0, t0, t1)
	req.MaxBytes, req.MaxRecords, req.BatchSize, req.ShareAcquireMode = int32(4*len(batch)), 7, 3, acquireRecords
	protocol.SetMillisTag(&req.UnknownTags, protocol.TagVisibility, 90*time.Second)
	resp := w.shares(req, "t0 0-1 2-3 4-5, t1 0-0")
	first, second := w.replica(idT, 0).shares.acquires[0], w.replica(idT, 1).shares.acquires[0]
	if first.Group != "g" || first.Member != "m" || first.MaxRecords != 7 || first.BatchSize != 3 || !first.RecordLimit ||
		first.MaxBytes != 4*len(batch) || !first.MinOne || first.Lock != 90*time.Second {
		t.Errorf("first partition: %+v", first)
	}
	if second.MaxRecords != 1 || second.MaxBytes != len(batch) || second.MinOne {
		t.Errorf("second partition: %+v", second)
	}
	if resp.AcquisitionLockTimeoutMillis != 90_000 {
		t.Errorf("locked for %d ms", resp.AcquisitionLockTimeoutMillis)
	}
	w.image.GroupConfigs["g"] = map[string]string{"share.record.lock.duration.ms": "5000"}
	if resp := w.shares(sharesFrom("m", 1), "t1 1-1 2-3 4-5"); resp.AcquisitionLockTimeoutMillis != 5000 {
		t.Errorf("group's lock: %d ms", resp.AcquisitionLockTimeoutMillis)
	}
}

// KIP-74: the first batch goes out whatever its size; the broker's limit holds whatever the client asks for.
func TestShareFetchLimits(t *testing.T) {
	size := len(records(2))
	for _, test := range []struct {
		name               string
		maxBytes, broker   int
		maxRecords         int32
		mode               int8
		want               string
		acquired0, asking1 int // calls of each partition
	}{
		{"all", 1 << 20, 1 << 20, 500, 0, "t0 0-1 2-3, t1 0-1 2-3", 1, 1},
		{"one byte", 1, 1 << 20, 500, 0, "t0 0-1, t1", 1, 0},
		{"three batches", 3 * size, 1 << 20, 500, 0, "t0 0-1 2-3, t1 0-1", 1, 1},
		{"the broker's", 1 << 20, 2 * size, 500, 0, "t0 0-1 2-3, t1", 1, 0},
		{"a batch whole", 1 << 20, 1 << 20, 1, 0, "t0 0-1, t1", 1, 0},
		{"records", 1 << 20, 1 << 20, 3, 1, "t0 0-1 2-2, t1", 1, 0},
		{"no records", 1 << 20, 1 << 20, 0, 0, "t0, t1", 0, 0},
		{"no bytes", 0, 1 << 20, 500, 0, "t0, t1", 0, 0},
		{"negative", -1, 1 << 20, -1, 0, "t0, t1", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.broker.FetchMaxBytes = test.broker
				for range 2 {
					w.replica(idT, 0).commit(records(2))
					w.replica(idT, 1).commit(records(2))
				}
				req := sharesFrom("m", 0, t0, t1)
				req.MaxBytes, req.MaxRecords, req.ShareAcquireMode, req.MaxWaitMillis = int32(test.maxBytes), test.maxRecords, test.mode, 10_000
				start := time.Now()
				w.shares(req, test.want)
				if d := time.Since(start); d != 0 {
					t.Errorf("waited %v", d)
				}
				if a, b := len(w.replica(idT, 0).shares.acquires), len(w.replica(idT, 1).shares.acquires); a != test.acquired0 || b != test.asking1 {
					t.Errorf("asked %d and %d times", a, b)
				}
			})
		})
	}
}

func TestShareFetchRefuses(t *testing.T) {
	member := func(n int, prefix string) *string { return kmsg.StringPtr(prefix + strings.Repeat("m", n)) }
	renew := func(r *kmsg.ShareFetchRequest) {
		r.IsRenewAck = true
		r.MinBytes, r.MaxBytes, r.MaxRecords, r.MaxWaitMillis = 0, 0, 0, 0
	}
	for _, test := range []struct {
		name   string
		change func(w *world, r *kmsg.ShareFetchRequest)
		want   *kerr.Error
	}{
		{"nothing", func(*world, *kmsg.ShareFetchRequest) {}, nil},
		{"feature is off", func(w *world, _ *kmsg.ShareFetchRequest) { w.image.Features[cluster.FeatureShare] = 0 }, kerr.UnsupportedVersion},
		{"no group", func(_ *world, r *kmsg.ShareFetchRequest) { r.GroupID = nil }, kerr.InvalidRequest},
		{"longest group", func(_ *world, r *kmsg.ShareFetchRequest) { r.GroupID = member(maxShareGroup, "") }, nil},
		{"longer group", func(_ *world, r *kmsg.ShareFetchRequest) { r.GroupID = member(maxShareGroup+1, "") }, kerr.InvalidRequest},
		{"no member", func(_ *world, r *kmsg.ShareFetchRequest) { r.MemberID = nil }, kerr.InvalidRequest},
		{"empty member", func(_ *world, r *kmsg.ShareFetchRequest) { r.MemberID = member(0, "") }, kerr.InvalidRequest},
		{"longest member", func(_ *world, r *kmsg.ShareFetchRequest) { r.MemberID = member(36, "") }, nil},
		{"longer member", func(_ *world, r *kmsg.ShareFetchRequest) { r.MemberID = member(37, "") }, kerr.InvalidRequest},
		{"longest detached", func(_ *world, r *kmsg.ShareFetchRequest) { r.MemberID = member(36, "detached-") }, nil},
		{"longer detached", func(_ *world, r *kmsg.ShareFetchRequest) { r.MemberID = member(37, "detached-") }, kerr.InvalidRequest},
		{"unknown mode", func(_ *world, r *kmsg.ShareFetchRequest) { r.ShareAcquireMode = 2 }, kerr.InvalidRequest},
		{"renew", func(_ *world, r *kmsg.ShareFetchRequest) { renew(r) }, nil},
		{"renew and bytes", func(_ *world, r *kmsg.ShareFetchRequest) { renew(r); r.MaxBytes = 1 }, kerr.InvalidRequest},
		{"renew and min bytes", func(_ *world, r *kmsg.ShareFetchRequest) { renew(r); r.MinBytes = 1 }, kerr.InvalidRequest},
		{"renew and records", func(_ *world, r *kmsg.ShareFetchRequest) { renew(r); r.MaxRecords = 1 }, kerr.InvalidRequest},
		{"renew and wait", func(_ *world, r *kmsg.ShareFetchRequest) { renew(r); r.MaxWaitMillis = 1 }, kerr.InvalidRequest},
		{"longest lock", func(_ *world, r *kmsg.ShareFetchRequest) {
			protocol.SetMillisTag(&r.UnknownTags, protocol.TagVisibility, longestShareLock)
		}, nil},
		{"longer lock", func(_ *world, r *kmsg.ShareFetchRequest) {
			protocol.SetMillisTag(&r.UnknownTags, protocol.TagVisibility, longestShareLock+time.Millisecond)
		}, kerr.InvalidRequest},
		{"no lock at all", func(_ *world, r *kmsg.ShareFetchRequest) {
			r.UnknownTags.Set(protocol.TagVisibility, []byte{1})
		}, kerr.InvalidRequest},
		{"opening with acknowledgements", func(_ *world, r *kmsg.ShareFetchRequest) { piggyback(r, t0, 0, 0, 1) }, kerr.InvalidRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			req := sharesFrom("m", 0, t0)
			test.change(w, req)
			resp := ask[*kmsg.ShareFetchResponse](w, req)
			if got := kerr.TypedErrorForCode(resp.ErrorCode); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
			if test.want != nil && (resp.AcquisitionLockTimeoutMillis != 0 || len(resp.Topics) > 0 || len(w.broker.shares.sessions) > 0) {
				t.Errorf("%+v, %d sessions", resp, len(w.broker.shares.sessions))
			}
		})
	}
}

// TestShareFetchErrors: of each error that a partition can have, what a client is told, once and again, and when it is gone.
func TestShareFetchErrors(t *testing.T) {
	none := from{id: cluster.TopicID{9}}
	beyond := from{id: idT, partition: 2}
	for _, test := range []struct {
		name string
		of   from
		err  error
		want string
	}{
		{"unknown topic", none, nil, "0 UNKNOWN_TOPIC_ID"},
		{"unknown partition", beyond, nil, "t2 UNKNOWN_TOPIC_OR_PARTITION"},
		{"led elsewhere", far0, nil, "far0 NOT_LEADER_FOR_PARTITION leader 2/5"},
		{"the coordinator's id", from{id: cluster.CoordinatorTopic}, nil, "0 UNKNOWN_TOPIC_ID"},
		{"lost", t0, raft.ErrLeadershipLost, "t0 NOT_LEADER_FOR_PARTITION"},
		{"no share partition", t0, kerr.GroupIDNotFound, "t0 UNKNOWN_TOPIC_OR_PARTITION"},
		{"disk", t0, log.ErrFailed, "t0 KAFKA_STORAGE_ERROR"},
		{"no majority", t0, context.DeadlineExceeded, "t0 OFFSET_NOT_AVAILABLE"},
		{"anything else", t0, kerr.PolicyViolation, "t0 UNKNOWN_SERVER_ERROR"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.replica(idT, 0).failShares(test.err)
				took := func(req *kmsg.ShareFetchRequest, want string, wait time.Duration) {
					t.Helper()
					req.MaxWaitMillis = 10_000
					start := time.Now()
					w.shares(req, want)
					if d := time.Since(start); d != wait {
						t.Errorf("epoch %d: answered after %v, want %v", req.ShareSessionEpoch, d, wait)
					}
				}
				took(sharesFrom("m", 0, test.of), test.want, 0)
				took(sharesFrom("m", 1), test.want, 10*time.Second) // there is nothing new to say
				if test.err == nil {
					return
				}
				w.replica(idT, 0).failShares(nil)
				took(sharesFrom("m", 2), "t0", 10*time.Second)
				w.replica(idT, 0).failShares(test.err)
				took(sharesFrom("m", 3), test.want, 0)
			})
		})
	}
}

// KIP-951: who leads now, and where it listens.
func TestShareFetchTellsTheLeader(t *testing.T) {
	w := newWorld(t)
	resp := w.shares(sharesFrom("m", 0, far0, t0), "far0 NOT_LEADER_FOR_PARTITION leader 2/5, t0")
	if len(resp.NodeEndpoints) != 1 || resp.NodeEndpoints[0].NodeID != 2 || resp.NodeEndpoints[0].Host != "b2" || *resp.NodeEndpoints[0].Rack != "r1" {
		t.Errorf("endpoints %+v", resp.NodeEndpoints)
	}
	// The leadership of t0 has moved; this broker heard only that it has not got it any more, then to whom it went.
	w.replica(idT, 0).failShares(raft.ErrLeadershipLost)
	w.shares(sharesFrom("m", 1), "far0 NOT_LEADER_FOR_PARTITION leader 2/5, t0 NOT_LEADER_FOR_PARTITION")
	w.leaders[replicaKey{idT, 0}] = raft.Leadership{Leader: 3, Epoch: 6}
	moved := w.shares(sharesFrom("m", 2), "far0 NOT_LEADER_FOR_PARTITION leader 2/5, t0 NOT_LEADER_FOR_PARTITION leader 3/6")
	if len(moved.NodeEndpoints) != 2 || moved.NodeEndpoints[1].Host != "b3" {
		t.Errorf("endpoints %+v", moved.NodeEndpoints)
	}
	w.shares(forget(sharesFrom("m", 3), 0), "far0 NOT_LEADER_FOR_PARTITION leader 2/5")
	w.leaders[replicaKey{idFar, 0}] = raft.Leadership{Leader: raft.NoNode}
	if resp := w.shares(sharesFrom("m", 4), "far0 NOT_LEADER_FOR_PARTITION"); len(resp.NodeEndpoints) > 0 {
		t.Errorf("endpoints %+v", resp.NodeEndpoints)
	}
}

// TestShareFetchIsDurableFirst: what could not be replicated is not delivered.
func TestShareFetchIsDurableFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for p := range int32(2) {
			w.replica(idT, p).commit(records(1))
		}
		w.replica(idT, 0).shares.waitErr = raft.ErrLeadershipLost
		hold := make(chan struct{})
		w.replica(idT, 1).shares.hold = hold
		time.AfterFunc(time.Second, func() { close(hold) })
		start := time.Now()
		resp := w.shares(sharesFrom("m", 0, t0, t1), "t0 NOT_LEADER_FOR_PARTITION, t1 0-0")
		if d := time.Since(start); d != time.Second || len(resp.Topics[0].Partitions[0].Records) > 0 {
			t.Errorf("after %v: %+v", d, resp)
		}
		w.replica(idT, 1).commit(records(1))
		w.replica(idT, 1).shares.hold = make(chan struct{})
		start = time.Now()
		w.shares(sharesFrom("m", 1), "t0, t1 OFFSET_NOT_AVAILABLE")
		if d := time.Since(start); d != shareCommitWait {
			t.Errorf("given up after %v", d)
		}
	})
}

// TestShareFetchRotates: a partition that always has records does not keep those behind it from being served.
func TestShareFetchRotates(t *testing.T) {
	w := newWorld(t)
	w.addTopic("far", idFar, 1, 1)
	for range 5 {
		w.replica(idT, 0).commit(records(1))
		w.replica(idFar, 0).commit(records(1))
	}
	w.replica(idT, 1).commit(records(1))
	for epoch, want := range []string{
		"t0 0-0, t1, far0", "t1 0-0", "far0 0-0", "t0 1-1", "far0 1-1", "t0 2-2",
	} {
		var named []from
		if epoch == 0 {
			named = []from{t0, t1, far0}
		}
		req := sharesFrom("m", int32(epoch), named...)
		req.MaxRecords, req.ShareAcquireMode = 1, acquireRecords
		w.shares(req, want)
	}
}

func TestShareFetchQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		batch := records(10)
		w.limit(cluster.QuotaFetchRate, float64(len(batch))) // a batch per second
		for range 13 {
			w.replica(idT, 0).commit(records(10))
		}
		fetch := func(req *kmsg.ShareFetchRequest, want string) (*kmsg.ShareFetchResponse, time.Duration) {
			t.Helper()
			got, wait := w.answerWith(req)
			resp := got.(*kmsg.ShareFetchResponse)
			if text := sharesText(resp); text != want {
				t.Errorf("epoch %d: %q, want %q", req.ShareSessionEpoch, text, want)
			}
			return resp, wait
		}
		if first, wait := fetch(sharesFrom("m", 0, t0), "t0 0-9 10-19 20-29 30-39 40-49 50-59 60-69 70-79 80-89 90-99"); wait != 0 || first.ThrottleMillis != 0 {
			t.Errorf("throttled for %d ms, %v; want all that may be saved up", first.ThrottleMillis, wait)
		}
		two := sharesFrom("m", 1)
		two.MaxBytes = int32(2 * len(batch))
		if second, wait := fetch(two, "t0 100-109 110-119"); wait.Round(time.Millisecond) != 2*time.Second || second.ThrottleMillis != 2000 {
			t.Errorf("throttled for %d ms, %v; want 2 s", second.ThrottleMillis, wait)
		}
		// Who does not wait gets nothing, but what it acknowledges counts.
		third, wait := fetch(piggyback(sharesFrom("m", 2), t0, 0, 9, 1), "t0")
		if third.ThrottleMillis < 1999 || wait == 0 || !w.replica(idT, 0).shares.decided[9] {
			t.Errorf("throttled for %d ms, %v", third.ThrottleMillis, wait)
		}
		time.Sleep(2 * time.Second)
		fetch(sharesFrom("m", 3), "t0 120-129")
	})
}

// An internal topic never has a record for anyone.
func TestShareFetchInternalTopic(t *testing.T) {
	w := newWorld(t)
	offsets := from{id: w.image.TopicsByName[cluster.OffsetsTopic].ClientID(), partition: 7}
	w.shares(sharesFrom("m", 0, offsets), "7 NOT_LEADER_FOR_PARTITION leader 2/4")
	w.leaders[replicaKey{cluster.CoordinatorTopic, 7}] = raft.Leadership{Leader: 1, Epoch: 5}
	w.shares(sharesFrom("m", 1), "7")
	w.shares(piggyback(sharesFrom("m", 2), offsets, 0, 0, 1), "7 ack INVALID_RECORD_STATE")
}
