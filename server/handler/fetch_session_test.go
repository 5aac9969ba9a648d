package handler

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// sessionFetch fetches in a session; froms are what changed.
func sessionFetch(w *world, version int16, id, epoch int32, froms ...from) *kmsg.FetchResponse {
	w.t.Helper()
	req := fetchFrom(version, froms...)
	req.SessionID, req.SessionEpoch = id, epoch
	return ask[*kmsg.FetchResponse](w, req)
}

// named lists the partitions that an answer names.
func named(resp *kmsg.FetchResponse) string {
	var out []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s%d", t.Topic, p.Partition))
		}
	}
	return fmt.Sprint(out)
}

func TestSessionIncremental(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		w := newWorld(t)
		first := sessionFetch(w, version, 0, initialEpoch, t0, t1)
		id := first.SessionID
		if id == noSession || len(partitionsOf(first)) != 2 {
			t.Fatalf("v%d: no session, or not everything named: %+v", version, first)
		}
		// Nothing new: nothing named.
		if r := sessionFetch(w, version, id, 1); len(r.Topics) != 0 || r.ErrorCode != 0 || r.SessionID != id {
			t.Errorf("v%d: %+v", version, r)
		}
		// News of one partition only; it is told until the client fetches from beyond.
		w.replica(idT, 1).commit(records(1))
		for epoch := int32(2); epoch <= 3; epoch++ {
			ps := partitionsOf(sessionFetch(w, version, id, epoch))
			if len(ps) != 1 || ps[0].Partition != 1 || len(ps[0].RecordBatches) == 0 {
				t.Errorf("v%d: %+v", version, ps)
			}
		}
		next := t1
		next.offset = 1
		if r := sessionFetch(w, version, id, 4, next); len(r.Topics) != 0 {
			t.Errorf("v%d: nothing new, but %s", version, named(r))
		}
	}
}

func TestSessionErrors(t *testing.T) {
	w := newWorld(t)
	id := sessionFetch(w, 12, 0, initialEpoch, t0).SessionID
	other := id%math.MaxInt32 + 1
	tests := []struct {
		name      string
		version   int16
		id, epoch int32
		want      int16
	}{
		{"unknown", 12, other, 1, kerr.FetchSessionIDNotFound.Code},
		{"no id", 12, 0, 1, kerr.FetchSessionIDNotFound.Code},
		{"epoch ahead", 12, id, 2, kerr.InvalidFetchSessionEpoch.Code},
		{"epoch nonsense", 12, id, -2, kerr.InvalidFetchSessionEpoch.Code},
		{"ids in a session of names", 13, id, 1, kerr.FetchSessionTopicIDError.Code},
		{"right", 12, id, 1, 0},
		{"replayed", 12, id, 1, kerr.InvalidFetchSessionEpoch.Code},
	}
	for _, test := range tests {
		r := sessionFetch(w, test.version, test.id, test.epoch)
		if r.ErrorCode != test.want || len(r.Topics) != 0 {
			t.Errorf("%s: error %d, %s; want %d", test.name, r.ErrorCode, named(r), test.want)
		}
	}
}

func TestSessionPartitionsChange(t *testing.T) {
	w := newWorld(t)
	id := sessionFetch(w, 12, 0, initialEpoch, t0).SessionID
	if got := named(sessionFetch(w, 12, id, 1, t1)); got != "[t1]" {
		t.Errorf("added: %s", got)
	}
	req := fetchFrom(12)
	req.SessionID, req.SessionEpoch = id, 2
	gone := kmsg.NewFetchRequestForgottenTopic()
	gone.Topic, gone.Partitions = "t", []int32{0}
	req.ForgottenTopics = append(req.ForgottenTopics, gone)
	w.replica(idT, 0).commit(records(1))
	w.replica(idT, 1).commit(records(1))
	if got := named(ask[*kmsg.FetchResponse](w, req)); got != "[t1]" {
		t.Errorf("forgotten: %s", got)
	}
	// Without partitions there is nothing to remember.
	req.SessionEpoch, gone.Partitions[0] = 3, 1
	if r := ask[*kmsg.FetchResponse](w, req); r.SessionID != noSession || r.ErrorCode != 0 {
		t.Errorf("emptied: %+v", r)
	}
	if n := len(w.broker.sessions.sessions); n != 0 || w.broker.sessions.partitions != 0 {
		t.Errorf("%d sessions with %d partitions left", n, w.broker.sessions.partitions)
	}
}

func TestSessionClosedAndReplaced(t *testing.T) {
	w := newWorld(t)
	id := sessionFetch(w, 12, 0, initialEpoch, t0).SessionID
	again := sessionFetch(w, 12, id, initialEpoch, t1)
	if again.SessionID == noSession || again.SessionID == id || len(w.broker.sessions.sessions) != 1 {
		t.Errorf("replaced %d by %d, %d sessions", id, again.SessionID, len(w.broker.sessions.sessions))
	}
	if r := sessionFetch(w, 12, again.SessionID, finalEpoch, t0); r.SessionID != noSession || named(r) != "[t0]" {
		t.Errorf("closed: %+v", r)
	}
	if r := sessionFetch(w, 12, again.SessionID, 1); r.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Errorf("after close: %d", r.ErrorCode)
	}
}

// An error is told every time, and so is the recovery from it.
func TestSessionErrorThenRecovery(t *testing.T) {
	w := newWorld(t)
	r := w.replica(idT, 0)
	id := sessionFetch(w, 12, 0, initialEpoch, t0).SessionID
	r.fetchErr = kerr.NotLeaderForPartition
	for epoch := int32(1); epoch <= 2; epoch++ {
		if got := named(sessionFetch(w, 12, id, epoch)); got != "[t0]" {
			t.Errorf("error: %s", got)
		}
	}
	r.fetchErr = nil
	if ps := partitionsOf(sessionFetch(w, 12, id, 3)); len(ps) != 1 || ps[0].ErrorCode != 0 {
		t.Errorf("recovered: %+v", ps)
	}
	if got := named(sessionFetch(w, 12, id, 4)); got != "[]" {
		t.Errorf("then: %s", got)
	}
}

// With room for one partition's records per answer, each gets its turn.
func TestSessionRotates(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 0).commit(records(1))
	w.replica(idT, 1).commit(records(1))
	req := fetchFrom(12, t0, t1)
	req.SessionEpoch, req.MaxBytes = initialEpoch, 1
	resp := ask[*kmsg.FetchResponse](w, req)
	var served []int32
	for range 4 {
		for _, p := range partitionsOf(resp) {
			if len(p.RecordBatches) > 0 {
				served = append(served, p.Partition)
			}
		}
		next := fetchFrom(12)
		next.SessionID, next.SessionEpoch, next.MaxBytes = resp.SessionID, int32(len(served)), 1
		resp = ask[*kmsg.FetchResponse](w, next)
	}
	if want := []int32{0, 1, 0, 1}; !slices.Equal(served, want) {
		t.Errorf("served %v, want %v", served, want)
	}
}

// A topic that is deleted and created again has another id: a session of names finds the new one, of ids none.
func TestSessionTopicRecreated(t *testing.T) {
	w := newWorld(t)
	byName := sessionFetch(w, 12, 0, initialEpoch, t0).SessionID
	byID := sessionFetch(w, 13, 0, initialEpoch, t0).SessionID
	delete(w.image.Topics, idT)
	w.addTopic("t", cluster.TopicID{42}, 1, 1)
	w.replica(cluster.TopicID{42}, 0).commit(records(1))
	if ps := partitionsOf(sessionFetch(w, 12, byName, 1)); len(ps) != 1 || ps[0].HighWatermark != 1 {
		t.Errorf("by name: %+v", ps)
	}
	if ps := partitionsOf(sessionFetch(w, 13, byID, 1)); len(ps) != 1 || ps[0].ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("by id: %+v", ps)
	}
}

func TestSessionEpochWraps(t *testing.T) {
	if got := nextSessionEpoch(math.MaxInt32); got != 1 {
		t.Errorf("after the largest epoch comes %d", got)
	}
}

func TestSessionEviction(t *testing.T) {
	now := time.Unix(1000, 0)
	open := func(s *fetchSessions, partitions ...int32) int32 {
		req := fetchFrom(12)
		req.SessionEpoch = initialEpoch
		for _, p := range partitions {
			req.Topics = append(req.Topics, fetchFrom(12, from{topic: "t", partition: p}).Topics...)
		}
		fc, err := s.open(req)
		if err != nil {
			t.Fatal(err)
		}
		return fc.id
	}
	cache := func() *fetchSessions {
		return newFetchSessions(fetchSessionLimits{sessions: 2, partitions: 5, evictAfter: time.Minute, now: func() time.Time { return now }})
	}

	s := cache()
	a, b := open(s, 0), open(s, 0, 1)
	if c := open(s, 0, 1, 2); c != noSession {
		t.Error("a session in use was evicted for a new one")
	}
	now = now.Add(2 * time.Minute)
	s.sessions[b].lastUsed = now // a is stale now, b is not
	if c := open(s, 0); c == noSession || s.sessions[a] != nil || s.sessions[b] == nil {
		t.Error("the stale session was not the one to go")
	}

	s = cache()
	a, b = open(s, 0), open(s, 0, 1)
	now = now.Add(2 * time.Minute)
	s.sessions[a].lastUsed, s.sessions[b].lastUsed = now, now
	if c := open(s, 0); c != noSession {
		t.Error("an old session was evicted for one of the same size")
	}
	if c := open(s, 0, 1); c == noSession || s.sessions[a] != nil {
		t.Error("an old session was not evicted for a larger one")
	}

	s = cache()
	if c := open(s, 0, 1, 2, 3, 4, 5); c != noSession {
		t.Error("a session beyond the limit of partitions")
	}
	if c := open(s, 0, 1, 2, 3, 4); c == noSession {
		t.Error("no session at the limit of partitions")
	}
	if c := open(s); c != noSession {
		t.Error("a session of nothing")
	}
	if s.partitions != 5 {
		t.Errorf("%d partitions counted", s.partitions)
	}
}

// A session that grows beyond the limit is given up; its client opens another.
func TestSessionGrowsTooLarge(t *testing.T) {
	s := newFetchSessions(fetchSessionLimits{sessions: 2, partitions: 2, evictAfter: time.Minute, now: time.Now})
	req := fetchFrom(12, t0, t1)
	req.SessionEpoch = initialEpoch
	fc, err := s.open(req)
	if err != nil || fc.id == noSession {
		t.Fatal(fc, err)
	}
	req = fetchFrom(12, from{topic: "u"})
	req.SessionID, req.SessionEpoch = fc.id, 1
	if _, err := s.open(req); !errors.Is(err, kerr.FetchSessionIDNotFound) {
		t.Errorf("got %v", err)
	}
	if len(s.sessions) != 0 || s.partitions != 0 {
		t.Errorf("%d sessions, %d partitions left", len(s.sessions), s.partitions)
	}
}
