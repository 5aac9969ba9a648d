package partition

import (
	"sync"
	"testing"
	"time"

	"balsa/log"
	"balsa/server/share"
)

// offer parks a fetch of a member of a group that takes what is handed over.
func (f *fixture) offer(id, member string) *Waiter {
	p, w := f.partition(), NewWaiter(1, false)
	p.ShareWatch(w, id)
	f.t.Cleanup(func() { p.ShareUnwatch(w, id, false) })
	w.Offer(ShareAcquire{Group: id, Member: member, MaxRecords: 9, MaxBytes: 1 << 20, MinOne: true})
	return w
}

// taken withdraws an offer and returns what was handed over meanwhile.
func (f *fixture) taken(id string, w *Waiter) *ShareAcquiring {
	w.Withdraw()
	f.partition().ShareUnwatch(w, id, true)
	awake([]*Waiter{w})
	return f.partition().ShareHanded(w)
}

// wantAwake fails unless the fetch is woken.
func (f *fixture) wantAwake(w *Waiter) {
	f.t.Helper()
	select {
	case <-w.C():
	case <-time.After(2 * time.Second):
		f.t.Error("nobody is told of the record")
	}
}

func (f *fixture) emit(v string) {
	f.t.Helper()
	_, err := f.partition().Produce(records(f.t, -1, -1, -1, v), nil)
	f.must(err)
}

// TestHandOffAfterAppend: a record that was in the log before it was handed over takes no other's wake-up.
func TestHandOffAfterAppend(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	w := f.offer(group, "m")
	p.now = func() time.Time { // handTo asks when the record is proposed
		for deadline := time.Now().Add(200 * time.Millisecond); p.highWatermark() < 1 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		return f.clock()
	}
	f.emit("a")
	if f.taken(group, w) == nil {
		t.Fatal("nothing was handed over")
	}
	g := p.shares.groups[group]
	g.acquiring.Lock() // another looks for records: the next is not handed over
	t.Cleanup(g.acquiring.Unlock)
	w = f.offer(group, "n")
	f.emit("b")
	f.wantAwake(w)
}

// TestHandOffLeavesOtherGroups: who parks between the hand-off and the append is of a group that was not given the record.
func TestHandOffLeavesOtherGroups(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.must(f.partition().ShareInitialize(t.Context(), "others", share.Epoch{}))
	release := f.holdWrites()
	w := f.offer(group, "m")
	f.emit("a")
	other := f.offer("others", "n")
	release()
	f.wantAwake(other)
	if f.taken(group, w) == nil {
		t.Error("nothing was handed over")
	}
}

// TestHandOffReturnedBeforeAppend: what is given back before it is in the log is for another when it is.
func TestHandOffReturnedBeforeAppend(t *testing.T) {
	f := newQueue(t, nil, nil)
	release := f.holdWrites()
	w := f.offer(group, "m")
	f.emit("a")
	a := f.taken(group, w)
	if a == nil {
		t.Fatal("nothing was handed over")
	}
	other := f.offer(group, "n")
	f.partition().ShareReturn(group, "m", a)
	release()
	f.wantAwake(other)
}

// TestHandOffReturnsItsOwnOnly: what the member has acquired again since, in its next session, stays its own.
func TestHandOffReturnsItsOwnOnly(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	w := f.offer(group, "m")
	f.emit("a")
	f.wantHighWatermark(1)
	a := f.taken(group, w)
	p.ShareRelease(group, "m") // the session ends
	f.want("the next session", f.receive("m", 9), "a/2")
	p.ShareReturn(group, "m", a)
	f.want("another member", f.receive("n", 9))
}

// TestHandOffElsewhere: a fetch that another partition is about to hand something to, and waits to propose that, holds up nobody here.
func TestHandOffElsewhere(t *testing.T) {
	f := newQueue(t, nil, nil)
	w := f.offer(group, "m")
	w.offer.mu.Lock()
	t.Cleanup(w.offer.mu.Unlock)
	done := make(chan struct{})
	b := records(t, -1, -1, -1, "a")
	go func() {
		defer close(done)
		_, _ = f.partition().Produce(b, nil)
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Second):
		t.Error("it waits for the other partition")
	}
	f.wantHighWatermark(1)
	if f.partition().highWatermark() < 1 {
		t.Error("the partition's main loop waits, too")
	}
}

// TestHandOffKeysUnknown: a record that is not written yet is not taken for one that compaction has removed.
func TestHandOffKeysUnknown(t *testing.T) {
	f := newQueue(t, nil, nil)
	release := f.holdWrites()
	p := f.partition()
	p.machine.mu.Lock()
	p.machine.compaction.to = 1
	p.machine.mu.Unlock()
	w := f.offer(group, "m")
	f.emit("a")
	if f.taken(group, w) == nil {
		t.Fatal("nothing was handed over")
	}
	p.ShareRelease(group, "m")
	image := *f.image
	image.GroupConfigs = map[string]map[string]string{group: {"share.ordering": "key"}}
	f.manager.image.Store(&image)
	_, _ = p.ShareAcquire(ShareAcquire{Group: group, Member: "n", MaxRecords: 9, MaxBytes: 1 << 20, MinOne: true})
	release()
	f.wantHighWatermark(1)
	f.want("it is there", f.receive("n", 9), "a/2")
}

// TestHandOffDeletedBeforeRead: what is deleted before the worker's answer is made is no error.
func TestHandOffDeletedBeforeRead(t *testing.T) {
	f := newQueue(t, map[string]string{"segment.bytes": "1048576"}, nil)
	p := f.partition()
	w := f.offer(group, "m")
	f.emit("a")
	f.wantHighWatermark(1)
	a := f.taken(group, w)
	f.must(a.ShareChange.Wait(t.Context()))
	_, err := p.plog.RollDrained(1, 1)
	f.must(err)
	f.emit("b")
	f.wantHighWatermark(2)
	_, err = p.DeleteRecords(t.Context(), 1)
	f.must(err)
	f.must(p.giveBack())
	_, err = a.Wait(t.Context())
	f.must(err)
}

// TestHandOffUnderLoad: each record is with exactly one worker, in the order of the log.
func TestHandOffUnderLoad(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	const each, workers = 150, 3
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range each {
				a, err := p.Produce(records(t, -1, -1, -1, "x"), nil)
				if err == nil {
					_, err = a.Wait(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	got, handed := map[log.Offset]int{}, 0
	deadline := time.Now().Add(20 * time.Second)
	for i := range workers {
		wg.Go(func() {
			member := string(rune('m' + i))
			for time.Now().Before(deadline) {
				mu.Lock()
				done := len(got) == 2*each
				mu.Unlock()
				if done {
					return
				}
				w, args := NewWaiter(1, false), ShareAcquire{Group: group, Member: member, MaxRecords: 1, RecordLimit: true, MaxBytes: 1 << 20, MinOne: true}
				p.ShareWatch(w, group)
				a, err := p.ShareAcquire(args)
				h := false
				if a == nil && err == nil {
					w.Offer(args)
					select {
					case <-w.C():
					case <-time.After(500 * time.Millisecond):
					}
					w.Withdraw()
					a = p.ShareHanded(w)
					h = a != nil
				}
				p.ShareUnwatch(w, group, a != nil)
				if a == nil {
					continue
				}
				r, err := a.Wait(t.Context())
				if err != nil || len(r.Records) == 0 {
					t.Error(err, len(r.Records))
				}
				mu.Lock()
				for _, x := range r.Acquired {
					for o := x.First; o <= x.Last; o++ {
						got[o]++
					}
				}
				if h {
					handed++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for o := range log.Offset(2 * each) {
		if got[o] != 1 {
			t.Errorf("offset %d was delivered %d times", o, got[o])
		}
	}
	t.Log(handed, "handed over")
}
