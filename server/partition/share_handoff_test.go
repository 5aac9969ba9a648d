package partition

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/share"
)

// offerSome parks a fetch of a member of the group that takes what it is given, if more does not want it otherwise.
func (f *fixture) offerSome(member string, more func(*ShareAcquire)) *Waiter {
	f.t.Helper()
	p := f.partition()
	w := NewWaiter(1, false)
	p.ShareWatch(w, group)
	f.t.Cleanup(func() { p.ShareUnwatch(w, group, false) })
	a := ShareAcquire{Group: group, Member: member, MaxRecords: 9, MaxBytes: 1 << 20, MinOne: true}
	if more != nil {
		more(&a)
	}
	w.Offer(a)
	return w
}

// handed withdraws an offer and returns which offsets were handed over, and how often each was delivered.
func (f *fixture) handed(w *Waiter) string {
	f.t.Helper()
	w.Withdraw()
	a := f.partition().ShareHanded(w)
	if a == nil {
		return ""
	}
	got, err := a.Wait(f.t.Context())
	f.must(err)
	out := ""
	for _, r := range got.Acquired {
		out += fmt.Sprintf("%d-%d/%d ", r.First, r.Last, r.DeliveryCount)
	}
	h, err := batch.ParseHeader(got.Records)
	f.must(err)
	if n, size := a.Taken(); int(h.Length) != size || size != len(got.Records) || n == 0 || h.BaseOffset != got.Acquired[0].First {
		f.t.Errorf("%d records, %d bytes are said to be taken; the batch has %d, at offset %d", n, size, h.Length, h.BaseOffset)
	}
	return out
}

// TestShareHandsOver: who waits for a record has it with one round of replication, with what he acknowledged before, and nobody else is woken.
func TestShareHandsOver(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	ws := park(t, p, 20, 1)
	f.enqueue(value("first"))
	f.want("it is looked for", f.receive("m", 1), "first/1")
	awake(ws)
	before := p.plog.LastIndex()
	kept := f.keepBack("m", share.Accept, 0, 0)
	w := f.offerSome("m", nil)
	f.enqueue(value("second"))
	<-w.C()
	if got := f.handed(w); got != "1-1/1 " {
		t.Errorf("handed over: %q", got)
	}
	f.must(kept.Wait(t.Context()))
	if n := p.plog.LastIndex() - before; n != 3 {
		t.Errorf("%d entries, want the record, the acknowledgement and the delivery", n)
	}
	if n := len(awake(ws)); n != 0 {
		t.Errorf("%d others were woken", n)
	}
	f.must(f.acknowledge("m", share.Accept, 1, 1))
	if start := f.shareStart(); start != 2 {
		t.Errorf("the share partition starts at %d", start)
	}
	f.enqueue(value("third")) // nobody's offer is open
	if n := len(awake(ws)); n != 1 {
		t.Errorf("%d were woken, want 1", n)
	}
}

// TestShareHandsOverNot: what is not plain is left for ShareAcquire, and somebody is woken for it.
func TestShareHandsOverNot(t *testing.T) {
	plain := func(f *fixture) { f.enqueue(value("v")) }
	for name, test := range map[string]struct {
		configs map[string]string
		prepare func(f *fixture)
		offer   func(*ShareAcquire)
		produce func(f *fixture)
		woken   int
	}{
		"something older is there": {prepare: plain, produce: plain, woken: 1},
		"key order":                {configs: map[string]string{"share.ordering": "key"}, produce: plain, woken: 1},
		"read committed":           {configs: map[string]string{"share.isolation.level": "read_committed"}, produce: plain, woken: 1},
		"too little":               {offer: func(a *ShareAcquire) { a.MinBytes = 1000 }, produce: plain, woken: 1},
		"too much":                 {offer: func(a *ShareAcquire) { a.MinOne, a.MaxBytes = false, 10 }, produce: plain, woken: 1},
		"no memory": {
			offer: func(a *ShareAcquire) {
				m := NewShareMemory(10)
				other := m.Claim()
				other.Grow(10)
				a.Memory = m.Claim()
			},
			produce: plain, woken: 1,
		},
		"delayed": {
			produce: func(f *fixture) {
				v := value("v")
				v.Headers = []batch.RecordHeader{{Key: []byte(DelayHeader), Value: []byte("1000")}}
				f.enqueue(v)
			},
			woken: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newQueue(t, nil, test.configs)
			if test.prepare != nil {
				test.prepare(f)
			}
			w := f.offerSome("m", test.offer)
			test.produce(f)
			if n := len(awake([]*Waiter{w})); n != test.woken {
				t.Errorf("%d were woken, want %d", n, test.woken)
			}
			if got := f.handed(w); got != "" {
				t.Errorf("handed over: %q", got)
			}
		})
	}
}

// TestShareHandsOverAPart: a batch is shared among those who wait.
func TestShareHandsOverAPart(t *testing.T) {
	f := newQueue(t, nil, nil)
	others := park(t, f.partition(), 3, 1)
	w := f.offerSome("m", nil)
	f.enqueueBatch(value("a"), value("b"), value("c"), value("d"), value("e"), value("f"), value("g"), value("h"))
	if got := f.handed(w); got != "0-1/1 " {
		t.Errorf("handed over: %q", got)
	}
	<-w.C()
	if n := len(awake(others)); n != 1 {
		t.Errorf("%d were woken for the rest, want 1", n)
	}
	f.want("the rest", f.receive("n", 99), "c/1")
}

// TestShareHandsOverToSeveralGroups: a record is for each of them.
func TestShareHandsOverToSeveralGroups(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	f.must(p.ShareInitialize(t.Context(), "others", share.Epoch{}))
	w := f.offerSome("m", nil)
	parked := NewWaiter(1, false)
	p.ShareWatch(parked, "others")
	t.Cleanup(func() { p.ShareUnwatch(parked, "others", false) })
	f.enqueue(value("a"))
	if got := f.handed(w); got != "0-0/1 " {
		t.Errorf("handed over: %q", got)
	}
	if n := len(awake([]*Waiter{parked})); n != 1 {
		t.Error("the other group was not woken")
	}
}

// TestProducedOffsets: what a batch will be numbered is known when it is proposed.
func TestProducedOffsets(t *testing.T) {
	f := newFixture(t, nil)
	check := func(what string) {
		t.Helper()
		p := f.partition()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.next != p.plog.NextOffset() {
			t.Errorf("%s: the next record is expected at %d, the log ends at %d", what, p.next, p.plog.NextOffset())
		}
	}
	produce := func(b batch.Batch) {
		t.Helper()
		a, err := f.partition().Produce(b, nil)
		f.must(err)
		_, err = a.Wait(t.Context())
		f.must(err)
	}
	for term := range int64(2) {
		produce(records(t, -1, -1, -1, "a", "b"))
		check("two records")
		for range 2 { // the second time it is there already
			produce(records(t, 7+term, 0, 0, "c", "d", "e"))
			check("a repetition")
		}
		m := Marker{ProducerID: 7 + term, ProducerEpoch: 1}
		a, err := f.partition().WriteMarker(m)
		f.must(err)
		_, err = a.Wait(t.Context())
		f.must(err)
		check("a marker")
		f.restart()
	}
}

// TestShareWrongGuess: a delivery that was decided for another place in the log is not made, and the record comes again.
func TestShareWrongGuess(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	f.enqueue(value("a"))
	p.mu.Lock()
	p.next = 7
	p.mu.Unlock()
	w := f.offerSome("m", nil)
	f.enqueue(value("b"))
	w.Withdraw()
	if p.ShareHanded(w) != nil {
		t.Error("handed over although an older one is there")
	}
	f.want("a", f.receive("n", 1), "a/1")
	f.want("b", f.receive("n", 1), "b/1")
	s := &p.shares
	s.mu.Lock()
	g, err := p.share(group)
	f.must(err)
	acquired, change := g.leader.Acquire(share.AcquireArgs{
		Member: "m", Now: p.now().UnixMilli(), Policy: g.policy, MaxRecords: 9, Batches: []share.Batch{{First: 2, Last: 2}},
	})
	proposal := p.proposeBehind(g, change, 3)
	s.mu.Unlock()
	if len(acquired) != 1 {
		t.Fatalf("acquired %v", acquired)
	}
	if err := proposal.Wait(t.Context()); !errors.Is(produceError(err), kerr.NotLeaderForPartition) {
		t.Errorf("a record that is not there was acquired: %v", err)
	}
	f.enqueue(value("c"))
	f.want("c", f.receive("n", 9), "c/1")
	if l := p.Leadership(); l.Leader != raft.NodeID(1) || p.plog.NextOffset() != log.Offset(3) {
		t.Errorf("%+v, the log ends at %d", l, p.plog.NextOffset())
	}
}
