package raft

import (
	"context"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/log/batch"
)

// The rules of living inside the library that show only on the wire.

// The follower commits up to the smaller of the leader's commit index and its own last entry, which may lie in a part of its
// log that conflicts. So a request never carries a commit index beyond the entries that it brings.
func TestCommitIndexStaysWithinTheRequest(t *testing.T) {
	c := newTestCluster(t, 1, everyAppend)
	c.write("a", 10)
	n := c.nodes[0]
	for _, tt := range []struct{ prev, entries, commit, want uint64 }{
		{3, 0, 100, 3}, {3, 2, 100, 5}, {3, 2, 4, 4}, {0, 1, 7, 1},
	} {
		var rest []*hraft.Log
		for i := range tt.entries {
			var l hraft.Log
			if err := n.group.state.store.GetLog(tt.prev+1+i, &l); err != nil {
				t.Fatal(err)
			}
			rest = append(rest, &l)
		}
		h := appendHeader{group: c.id, term: 1, prevIndex: tt.prev, batches: true}
		_, records, sent, err := n.group.trans.chunk(&h, tt.commit, rest)
		if err != nil {
			t.Fatal(err)
		}
		records.Release()
		if h.commitIndex != tt.want || sent != int(tt.entries) {
			t.Errorf("%+v: commit index %d with %d entries", tt, h.commitIndex, sent)
		}
	}
}

// A long run of entries goes in requests of bounded size, whatever their number.
func TestAppendsAreSplitByBytes(t *testing.T) {
	c := newTestCluster(t, 1, everyAppend)
	n := c.leader()
	value := make([]byte, requestBytes/3)
	first := uint64(n.plog.LastIndex()) + 1
	var rest []*hraft.Log
	for range 8 {
		if err := n.group.Propose(batch.KindData, batch.Build([][]byte{value}, 1)).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for i := first; i <= uint64(n.plog.LastIndex()); i++ {
		var l hraft.Log
		if err := n.group.state.store.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		if l.Data != nil {
			t.Errorf("entry %d: the library was given %d bytes of records", i, len(l.Data))
		}
		rest = append(rest, &l)
	}
	requests := 0
	for len(rest) > 0 {
		h := appendHeader{group: c.id, batches: true}
		_, records, sent, err := n.group.trans.chunk(&h, 0, rest)
		if err != nil {
			t.Fatal(err)
		}
		if records.Bytes > requestBytes || sent == 0 {
			t.Errorf("a request of %d entries and %d bytes", sent, records.Bytes)
		}
		records.Release()
		rest = rest[sent:]
		requests++
	}
	if requests < 4 {
		t.Errorf("8 entries of a third of the limit went in %d requests", requests)
	}
}

// An empty append that tells nothing new is answered here: the library sends one every CommitTimeout. What was acknowledged
// over an earlier life of the link does not count, nor in another term, nor before the commit index moved.
func TestEmptyAppendsAreSuppressed(t *testing.T) {
	tr := &groupTransport{followers: map[NodeID]*followerState{}}
	link, other := &session{}, &session{}
	request := func(term, prev, commit uint64) *hraft.AppendEntriesRequest {
		return &hraft.AppendEntriesRequest{Term: term, PrevLogEntry: prev, PrevLogTerm: 2, LeaderCommitIndex: commit}
	}
	sent := request(5, 8, 8)
	sent.Entries = []*hraft.Log{{Index: 9, Term: 2}}
	var resp hraft.AppendEntriesResponse
	if tr.alreadyAcked(2, link, request(5, 9, 8), &resp) {
		t.Error("suppressed before anything was acknowledged")
	}
	tr.remember(2, link, sent, &hraft.AppendEntriesResponse{Success: true})
	for name, tt := range map[string]struct {
		session *session
		req     *hraft.AppendEntriesRequest
		want    bool
	}{
		"the same again":         {link, request(5, 9, 8), true},
		"the commit index moved": {link, request(5, 9, 9), false},
		"another term":           {link, request(6, 9, 8), false},
		"another position":       {link, request(5, 8, 8), false},
		"another life":           {other, request(5, 9, 8), false},
	} {
		if got := tr.alreadyAcked(2, tt.session, tt.req, &resp); got != tt.want {
			t.Errorf("%s: suppressed %v, want %v", name, got, tt.want)
		}
	}
	tr.remember(2, link, sent, &hraft.AppendEntriesResponse{Success: false})
	if tr.alreadyAcked(2, link, request(5, 9, 8), &resp) {
		t.Error("suppressed after a refusal")
	}
}

// Heartbeats wait for their time, and all that are due leave together.
func TestHeartbeatsGatherUntilDue(t *testing.T) {
	var h heartbeats
	now := time.Unix(1_700_000_000, 0)
	for i := range 10 {
		h.queued = append(h.queued, &beat{group: GroupID{Partition: int32(i)}, due: now.Add(time.Duration(i) * time.Second)})
	}
	if due := h.take(now.Add(3 * time.Second)); len(due) != 4 {
		t.Errorf("%d of 10 were due, want 4", len(due))
	}
	if due := h.take(now.Add(3 * time.Second)); len(due) != 0 {
		t.Errorf("%d were due twice", len(due))
	}
	if due := h.take(now.Add(time.Minute)); len(due) != 6 || len(h.queued) != 0 {
		t.Errorf("%d were left, and %d stay", len(due), len(h.queued))
	}
}

// An idle group costs its followers a heartbeat now and then, and no append at all.
func TestIdleGroupSendsNoAppends(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.same(c.write("a", 3))
	leader := c.leader()
	settled := func() bool {
		for _, n := range c.nodes {
			if n != leader && !leader.group.CaughtUp(n.id) {
				return false
			}
		}
		return true
	}
	eventually(t, "followers have acknowledged everything", settled)
	follower := c.follower()
	link := leader.host.peer(follower.id).current()
	time.Sleep(10 * quick.Commit) // the last commit index is told
	c1 := link.conns[dataClass(c.id)]
	c1.mu.Lock()
	before := c1.nextID
	c1.mu.Unlock()
	time.Sleep(20 * quick.Commit) // in which the library asks ten times or more
	c1.mu.Lock()
	after := c1.nextID
	c1.mu.Unlock()
	if after != before {
		t.Errorf("%d requests for an idle group", after-before)
	}
}
