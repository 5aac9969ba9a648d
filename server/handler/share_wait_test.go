package handler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/share"
)

// TestShareFetchWaits: until records come to partition 1 in whatever way, and no longer than it may.
func TestShareFetchWaits(t *testing.T) {
	size := len(records(1))
	for _, test := range []struct {
		name   string
		min    int32
		happen func(w *world, leave func()) // what happens, and when
		want   string
		after  time.Duration
		asked  int // how often partition 0 may be asked
	}{
		{"nothing comes", 1, func(*world, func()) {}, "t0, t1", 10 * time.Second, 2},
		{"a record comes", 1, func(w *world, _ func()) {
			time.AfterFunc(time.Second, func() { w.replica(idT, 1).commit(records(1)) })
		}, "t0, t1 0-0", time.Second, 2},
		{"not enough comes", int32(3 * size), func(w *world, _ func()) {
			time.AfterFunc(time.Second, func() { w.replica(idT, 1).commit(records(1)) })
			time.AfterFunc(2*time.Second, func() { w.replica(idT, 1).commit(records(1)) })
		}, "t0, t1 0-0 1-1", 10 * time.Second, 2},
		{"enough comes in pieces", int32(2 * size), func(w *world, _ func()) {
			time.AfterFunc(time.Second, func() { w.replica(idT, 1).commit(records(1)) })
			time.AfterFunc(3*time.Second, func() { w.replica(idT, 1).commit(records(1)) })
		}, "t0, t1 0-0 1-1", 3 * time.Second, 2},
		{"others take it first", 1, func(w *world, _ func()) {
			r := w.replica(idT, 1)
			time.AfterFunc(time.Second, func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				for waiter := range r.shares.waiters {
					waiter.wake() // for records that are gone when they are asked for
				}
			})
			time.AfterFunc(2*time.Second, func() { r.commit(records(1)) })
		}, "t0, t1 0-0", 2 * time.Second, 3},
		{"a record is handed over", 1, func(w *world, _ func()) {
			time.AfterFunc(time.Second, func() { w.replica(idT, 1).handOver(t, 1) })
		}, "t0, t1 0-0", time.Second, 1},
		{"the client goes as a record is handed over", 1, func(w *world, leave func()) {
			time.AfterFunc(time.Second, func() {
				leave()
				w.replica(idT, 1).handOver(t, 1)
			})
		}, "t0, t1", time.Second, 1},
		{"a record is released", 1, func(w *world, _ func()) {
			r := w.replica(idT, 1)
			r.commit(records(1))
			w.on(w.dispatcher.NewSession("/127.0.0.2"), func() { w.shares(sharesFrom("other", 0, t1), "t1 0-0") })
			time.AfterFunc(time.Second, func() { r.ShareRelease("g", "other") })
		}, "t0, t1 0-0", time.Second, 2},
		{"the leadership is lost", 1, func(w *world, _ func()) {
			time.AfterFunc(time.Second, func() { w.replica(idT, 1).failShares(raft.ErrNotLeader) })
		}, "t0, t1 NOT_LEADER_FOR_PARTITION", time.Second, 2},
		{"the client goes", 1, func(w *world, leave func()) { time.AfterFunc(time.Second, leave) }, "t0, t1", time.Second, 1},
		{"the client goes as a record comes", 1, func(w *world, leave func()) {
			time.AfterFunc(time.Second, func() {
				leave()
				w.replica(idT, 1).commit(records(1))
			})
		}, "t0, t1", time.Second, 1},
		{"the client has gone", 1, func(w *world, leave func()) {
			w.replica(idT, 1).commit(records(1))
			leave()
		}, "", 0, 0},
		{"it comes back on another connection", 1, func(w *world, _ func()) {
			time.AfterFunc(time.Second, func() { w.broker.shares.endAll(w.session) })
		}, "t0, t1", time.Second, 1},
		{"no minimum", 0, func(*world, func()) {}, "t0, t1", 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				waiting, leave := context.WithCancel(context.Background())
				defer leave()
				test.happen(w, leave)
				req := sharesFrom("m", 0, t0, t1)
				req.MinBytes, req.MaxWaitMillis = test.min, 10_000
				start := time.Now()
				resp, _ := w.answer(w.start(waiting, req), req).(*kmsg.ShareFetchResponse)
				if got, d := sharesText(resp), time.Since(start); got != test.want || d != test.after {
					t.Errorf("%q after %v, want %q after %v", got, d, test.want, test.after)
				}
				if got := len(w.replica(idT, 0).shares.acquires); got > test.asked {
					t.Errorf("asked %d times, want at most %d: is it polling?", got, test.asked)
				}
				if given := w.replica(idT, 1).shares.given; test.want == "t0, t1" && len(given) > 0 {
					t.Errorf("nobody took %v, and nobody gave it back", given)
				}
				if n := w.replica(idT, 0).shareWatching() + w.replica(idT, 1).shareWatching(); n != 0 {
					t.Errorf("%d waiters left behind", n)
				}
			})
		})
	}
}

// A record that comes between the attempt and the wait must not be missed.
func TestShareFetchNoLostWakeup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(idT, 0)
		r.shares.missed = func() {
			r.shares.missed = nil
			r.commit(records(1))
		}
		req := sharesFrom("m", 0, t0)
		req.MaxWaitMillis = 10_000
		start := time.Now()
		w.shares(req, "t0 0-0")
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

// Nobody waits for a session without partitions: what is acknowledged would be answered late.
func TestShareFetchOfNothingIsAnsweredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		req := sharesFrom("m", 0)
		req.MaxWaitMillis = 10_000
		start := time.Now()
		w.shares(req, "")
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
	})
}

func acknowledgeCall(member string, acks ...share.Ack) string {
	s := fakeShares{}
	s.call("acknowledge g/%s %v lock %v delay %v", member, acks, time.Duration(0), time.Duration(0))
	return s.calls[0]
}

// TestShareFetchAcknowledgesFirst: what is released in a request can be acquired by it.
func TestShareFetchAcknowledgesFirst(t *testing.T) {
	w := newWorld(t)
	r := w.replica(idT, 0)
	r.commit(records(1))
	w.shares(sharesFrom("m", 0, t0), "t0 0-0")
	r.shareCalls()
	w.shares(piggyback(sharesFrom("m", 1), t0, 0, 0, 2), "t0 0-0")
	calls := r.shareCalls()
	if want := acknowledgeCall("m", share.Ack{Types: []share.AckType{share.Release}}) + " kept"; len(calls) != 2 || calls[0] != want || calls[1] != "acquire" {
		t.Errorf("%q", calls)
	}
	// It is answered although there is nothing new to fetch: the client waits for the outcome.
	w.shares(piggyback(sharesFrom("m", 2), t0, 0, 0, 1), "t0")
	w.shares(piggyback(sharesFrom("m", 3), t0, 0, 0, 1), "t0 ack INVALID_RECORD_STATE")
	w.shares(piggyback(sharesFrom("m", 4), far0, 0, 0, 1), "far0 NOT_LEADER_FOR_PARTITION ack NOT_LEADER_FOR_PARTITION leader 2/5")
}

// TestShareFetchAcknowledgesWhatIsForgotten, and what was never in the session.
func TestShareFetchAcknowledgesWhatIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).commit(records(2))
	w.shares(sharesFrom("m", 0, t0, t1), "t0 0-1, t1")
	req := piggyback(sharesFrom("m", 1), t0, 0, 1, 1, 2)
	req.ForgottenTopicsData = []kmsg.ShareFetchRequestForgottenTopicsData{{TopicID: idT, Partitions: []int32{0, 7}}}
	w.shares(req, "t0")
	if !w.replica(idT, 0).shares.decided[0] || w.replica(idT, 0).shares.decided[1] {
		t.Errorf("decided %v", w.replica(idT, 0).shares.decided)
	}
	w.shares(sharesFrom("m", 2), "") // record 1 is there, but not fetched any more
	w.shares(sharesFrom("m", 3, t0), "t0 1-1")
}

// KIP-1222: who renews must not lose time by fetching.
func TestShareFetchRenews(t *testing.T) {
	w := newWorld(t)
	r := w.replica(idT, 0)
	r.commit(records(1))
	w.shares(sharesFrom("m", 0, t0), "t0 0-0")
	r.commit(records(1))
	r.shareCalls()
	renew := piggyback(sharesFrom("m", 1), t0, 0, 0, 4)
	renew.IsRenewAck = true
	renew.MinBytes, renew.MaxBytes, renew.MaxRecords = 0, 0, 0
	w.shares(renew, "t0")
	if calls := r.shareCalls(); len(calls) != 1 || calls[0] != acknowledgeCall("m", share.Ack{Types: []share.AckType{share.Renew}}) {
		t.Errorf("%q", calls)
	}
	w.shares(piggyback(sharesFrom("m", 2), t0, 0, 0, 4), "t0 ack INVALID_REQUEST 1-1") // it did not say that it renews
	old := piggyback(sharesFrom("m", 3), t0, 0, 0, 4)
	old.Version = 1
	w.shares(old, "t0 ack INVALID_REQUEST")
}

// TestShareFetchWaitsForOutcomes: acknowledgements are answered when they are durable, and told as they are.
func TestShareFetchWaitsForOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.replica(idT, 0)
		r.commit(records(2))
		w.shares(sharesFrom("m", 0, t0), "t0 0-1")
		r.shares.hold, r.shares.ackErr = make(chan struct{}), kerr.KafkaStorageError
		hold := r.shares.hold
		time.AfterFunc(time.Second, func() { close(hold) })
		start := time.Now()
		w.shares(piggyback(sharesFrom("m", 1), t0, 0, 0, 1), "t0 ack KAFKA_STORAGE_ERROR")
		if d := time.Since(start); d != time.Second {
			t.Errorf("answered after %v", d)
		}
		r.shares.hold = make(chan struct{})
		start = time.Now()
		w.shares(piggyback(sharesFrom("m", 2), t0, 1, 1, 1), "t0 ack REQUEST_TIMED_OUT")
		if d := time.Since(start); d != shareCommitWait {
			t.Errorf("given up after %v", d)
		}
	})
}
