package handler

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// forget makes a request forget partitions of topic t.
func forget(req *kmsg.ShareFetchRequest, partitions ...int32) *kmsg.ShareFetchRequest {
	req.ForgottenTopicsData = append(req.ForgottenTopicsData, kmsg.ShareFetchRequestForgottenTopicsData{TopicID: idT, Partitions: partitions})
	return req
}

func TestShareSessionEpochs(t *testing.T) {
	w := newWorld(t)
	fetch := func(epoch int32, want string) {
		t.Helper()
		w.shares(sharesFrom("m", epoch), want)
	}
	acknowledge := func(epoch int32, want string) {
		t.Helper()
		if got := errorName(ask[*kmsg.ShareAcknowledgeResponse](w, acknowledges("m", epoch)).ErrorCode); got != want {
			t.Errorf("acknowledging in epoch %d: %s, want %s", epoch, got, want)
		}
	}
	const none, wrong = "SHARE_SESSION_NOT_FOUND", "INVALID_SHARE_SESSION_EPOCH"
	fetch(1, none)
	fetch(-1, none)
	acknowledge(1, none)
	acknowledge(-1, none)
	acknowledge(0, wrong) // opens no session

	w.shares(sharesFrom("m", 0, t0), "t0")
	fetch(2, wrong)
	fetch(-2, wrong)
	fetch(1, "")
	fetch(1, wrong) // as if it were sent twice
	acknowledge(2, "NONE")
	acknowledge(2, wrong)
	acknowledge(0, wrong)
	fetch(3, "")

	w.shares(sharesFrom("m", 0, t1), "t1") // replaces it
	fetch(4, wrong)
	fetch(1, "")
	w.shares(sharesFrom("other", 1), none) // the session of another member
	other := sharesFrom("m", 1)
	other.GroupID = kmsg.StringPtr("h")
	w.shares(other, none) // of another group

	fetch(-1, "")
	fetch(2, none)
	w.shares(sharesFrom("m", 0, t0), "t0")
	acknowledge(-1, "NONE")
	acknowledge(-1, none)
	if n := len(w.broker.shares.sessions) + w.broker.shares.partitions + len(w.session.shares); n != 0 {
		t.Errorf("%d things are left of sessions", n)
	}
}

// TestShareSessionPartitions come and go with requests.
func TestShareSessionPartitions(t *testing.T) {
	w := newWorld(t)
	w.shares(sharesFrom("m", 0, t0, t0, t0), "t0") // named more than once is once
	w.shares(sharesFrom("m", 1, t0, t1), "t1")     // what is new is named in the answer
	w.shares(forget(sharesFrom("m", 2), 0, 0, 9), "")
	w.replica(idT, 0).commit(records(1))
	w.replica(idT, 1).commit(records(1))
	w.shares(sharesFrom("m", 3), "t1 0-0")
	w.shares(forget(sharesFrom("m", 4, t0), 1), "t0 0-0")
	w.shares(forget(sharesFrom("m", 5, t1), 1), "") // Kafka forgets last, too
	if n := w.broker.shares.partitions; n != 2 {    // and t1, which the member may still acknowledge
		t.Errorf("%d partitions", n)
	}
	w.shares(sharesFrom("m", 6, t1), "t1")
	if n := w.broker.shares.partitions; n != 2 {
		t.Errorf("%d partitions", n)
	}
	// A topic that is deleted and made anew has another id.
	w.replica(idT, 0).commit(records(1))
	delete(w.image.Topics, idT)
	delete(w.image.TopicsByName, "t")
	w.shares(sharesFrom("m", 7), "t0 UNKNOWN_TOPIC_ID, t1 UNKNOWN_TOPIC_ID")
	w.shares(sharesFrom("m", -1), "")
}

func TestShareSessionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.broker.ShareSessions = 2
		w.dispatcher = NewDispatcher(w.broker)
		w.session = w.dispatcher.NewSession("/127.0.0.1")
		w.shares(sharesFrom("a", 0, t0), "t0")
		w.shares(sharesFrom("b", 0, t0), "t0")
		third := sharesFrom("c", 0, t0)
		third.MaxWaitMillis = 5000
		start := time.Now()
		w.shares(third, "SHARE_SESSION_LIMIT_REACHED")
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("answered after %v: it will ask again at once", d)
		}
		w.shares(sharesFrom("b", 0, t0), "t0") // who has one may replace it
		w.shares(sharesFrom("a", -1), "")
		w.shares(third, "t0")
	})
}

func TestShareSessionPartitionLimit(t *testing.T) {
	s := newShareSessions(shareSessionLimits{sessions: 10, partitions: 3})
	owner := &Session{}
	open := func(req *kmsg.ShareFetchRequest, want error) {
		t.Helper()
		if _, _, err := s.open(owner, shareKey{"g", *req.MemberID}, req, false); !errors.Is(err, want) {
			t.Errorf("%s in epoch %d: %v, want %v", *req.MemberID, req.ShareSessionEpoch, err, want)
		}
	}
	open(sharesFrom("a", 0, t0, t1), nil)
	open(sharesFrom("b", 0, t0, t1), kerr.ShareSessionLimitReached)
	open(sharesFrom("b", 0, t0), nil)
	open(sharesFrom("b", 1, t1), kerr.ShareSessionLimitReached)
	open(forget(sharesFrom("a", 1), 0), nil)
	open(sharesFrom("b", 1, t1), nil) // that it was refused changed nothing
	if s.partitions != 3 {
		t.Errorf("%d partitions", s.partitions)
	}
}

// TestShareSessionEndsWithItsConnection, and gives back what its member had.
func TestShareSessionEndsWithItsConnection(t *testing.T) {
	w := newWorld(t)
	for p := range int32(2) {
		w.replica(idT, p).commit(records(2))
	}
	calls := func(want ...string) {
		t.Helper()
		got := append(w.replica(idT, 0).shareCalls(), w.replica(idT, 1).shareCalls()...)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	second := w.dispatcher.NewSession("/127.0.0.2")
	w.shares(sharesFrom("a", 0, t0, t1), "t0 0-1, t1 0-1")
	w.shares(forget(sharesFrom("a", 1), 1), "") // it may still acknowledge its records
	w.on(second, func() {
		w.shares(sharesFrom("b", 0, t0), "t0")
		w.shares(sharesFrom("detached-c", 0, t0), "t0")
	})
	w.replica(idT, 0).shareCalls()
	w.replica(idT, 1).shareCalls()

	w.session.Close()
	calls("release g/a", "release g/a")
	w.on(second, func() {
		w.shares(sharesFrom("a", 1), "SHARE_SESSION_NOT_FOUND")
		w.shares(sharesFrom("detached-c", 1), "t0 0-1") // who has no member's time but its own
	})
	calls("acquire")
	second.Close()
	calls("release g/b")
	if n := len(w.broker.shares.sessions) + w.broker.shares.partitions; n != 0 {
		t.Errorf("%d things are left of sessions", n)
	}
}

// TestShareSessionEnds when its member says so; what it acknowledges with that counts.
func TestShareSessionEnds(t *testing.T) {
	for _, with := range []string{"ShareFetch", "ShareAcknowledge"} {
		t.Run(with, func(t *testing.T) {
			w := newWorld(t)
			r := w.replica(idT, 0)
			r.commit(records(2))
			w.shares(sharesFrom("m", 0, t0, far0), "t0 0-1, far0 NOT_LEADER_FOR_PARTITION leader 2/5")
			r.shareCalls()
			if with == "ShareFetch" {
				w.shares(piggyback(sharesFrom("m", -1), t0, 0, 0, 1), "t0")
			} else if resp := ask[*kmsg.ShareAcknowledgeResponse](w, acknowledges("m", -1, ack(t0, 0, 0, 1))); resp.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Errorf("%+v", resp)
			}
			if calls := r.shareCalls(); len(calls) != 2 || calls[1] != "release g/m" || !r.shares.decided[0] || !r.shares.free(1) {
				t.Errorf("%q", calls)
			}
		})
	}
}

// TestShareSessionMovesToAnotherConnection: the old one is dead, and its end must not end the new session.
func TestShareSessionMovesToAnotherConnection(t *testing.T) {
	w := newWorld(t)
	r := w.replica(idT, 0)
	r.commit(records(1))
	w.shares(sharesFrom("m", 0, t0), "t0 0-0")
	w.shares(sharesFrom("m", 0, t0), "t0") // on the same connection: it still has its record
	second := w.dispatcher.NewSession("/127.0.0.1")
	w.on(second, func() { w.shares(sharesFrom("m", 0, t0), "t0 0-0") }) // what it had was given back, and to it again
	r.shareCalls()
	w.session.Close()
	if calls := r.shareCalls(); len(calls) > 0 {
		t.Errorf("%q", calls)
	}
	w.on(second, func() { w.shares(piggyback(sharesFrom("m", 1), t0, 0, 0, 1), "t0") })
}

// TestShareSessionAnew: what the member got before, on the same connection, it may acknowledge, and else gives back when it goes.
func TestShareSessionAnew(t *testing.T) {
	w := newWorld(t)
	for p := range int32(2) {
		w.replica(idT, p).commit(records(2))
	}
	w.shares(sharesFrom("m", 0, t0, t1), "t0 0-1, t1 0-1")
	w.shares(sharesFrom("m", 0, t1), "t1")
	w.shares(piggyback(sharesFrom("m", 1), t0, 0, 0, 1), "t0")
	w.shares(forget(sharesFrom("m", 2), 0, 1), "")
	w.shares(sharesFrom("m", 0), "")
	for p := range int32(2) {
		w.replica(idT, p).shareCalls()
	}
	w.session.Close()
	for p := range int32(2) {
		if calls := w.replica(idT, p).shareCalls(); len(calls) != 1 || calls[0] != "release g/m" {
			t.Errorf("partition %d: %q", p, calls)
		}
	}
	if n := len(w.broker.shares.sessions) + w.broker.shares.partitions; n != 0 {
		t.Errorf("%d things are left of sessions", n)
	}
}

// TestShareSessionsOfManyConnections at once: for the race detector.
func TestShareSessionsOfManyConnections(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				owner := w.dispatcher.NewSession("/127.0.0.1")
				key := shareKey{"g", fmt.Sprint(i % 4)} // two connections of a member at a time
				for epoch, req := range []*kmsg.ShareFetchRequest{sharesFrom("", 0, t0, t1), forget(sharesFrom("", 1), 0), sharesFrom("", 2, t0)} {
					c, replaced, err := w.broker.shares.open(owner, key, req, false)
					w.broker.releaseShares(replaced)
					if err != nil {
						continue
					}
					f := &sharing{broker: w.broker, req: req, work: new(stopwatch), group: "g", member: key.member, context: c, maxBytes: 1 << 20}
					f.locate()
					f.attempt(0)
					c.close(f.results)
					if epoch == 2 && i%2 == 0 {
						w.broker.releaseShares(c.end())
					}
				}
				owner.Close()
			}
		})
	}
	wg.Wait()
	if n := len(w.broker.shares.sessions) + w.broker.shares.partitions; n != 0 {
		t.Errorf("%d things are left of sessions", n)
	}
}

// TestShareSessionKeepsFinishedOnes: a request whose session has been replaced is answered with what it got.
func TestShareSessionKeepsFinishedOnes(t *testing.T) {
	s := newShareSessions(defaultShareSessionLimits(10))
	owner, key := &Session{}, shareKey{"g", "m"}
	c, _, err := s.open(owner, key, sharesFrom("m", 0, t0, t1), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.open(owner, key, sharesFrom("m", 0, t1), false); err != nil || !c.over() {
		t.Fatalf("%v, over %v", err, c.over())
	}
	results := make([]shared, 2)
	results[0].answer.ErrorCode = kerr.NotLeaderForPartition.Code
	if include := c.close(results); !include[0] || !include[1] {
		t.Errorf("%v", include)
	}
	if c.end() != nil || len(s.sessions) != 1 {
		t.Error("it ended the session that replaced it")
	}
}
