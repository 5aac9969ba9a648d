package partition

import (
	"sync"
	"sync/atomic"

	"balsa/log"
)

// Waiter is woken when the partitions that it watches grow: a parked fetch. One Waiter can watch many partitions. It costs
// nothing while nothing happens.
type Waiter struct {
	c         chan struct{}
	committed bool  // waits for the last stable offset instead of the high watermark
	least     int64 // bytes that it was made to wait for
	need      atomic.Int64
	offer     shareOffer // of a share fetch
}

// NewWaiter makes a Waiter whose C gets a value when at least minBytes were committed, on all watched partitions together,
// since Watch, or when any of them changed leader or log start. With readCommitted, what belongs to an open transaction
// does not count; when one ends, the Waiter fires without counting.
func NewWaiter(minBytes int64, readCommitted bool) *Waiter {
	w := &Waiter{c: make(chan struct{}, 1), committed: readCommitted, least: max(minBytes, 1)}
	w.need.Store(w.least)
	return w
}

// C is signalled at most once between receives.
func (w *Waiter) C() <-chan struct{} { return w.c }

func (w *Waiter) grew(bytes int64) {
	if w.need.Add(-bytes) <= 0 {
		w.wake()
	}
}

// wake says whether w was not awake already.
func (w *Waiter) wake() bool {
	select {
	case w.c <- struct{}{}:
		return true
	default:
		return false
	}
}

// waiters is a partition's parked fetches.
type waiters struct {
	count atomic.Int32 // so that a commit with nobody waiting takes no lock
	mu    sync.Mutex
	set   map[*Waiter]struct{}
}

func (ws *waiters) add(w *Waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.set == nil {
		ws.set = map[*Waiter]struct{}{}
	}
	ws.set[w] = struct{}{}
	ws.count.Store(int32(len(ws.set)))
}

func (ws *waiters) remove(w *Waiter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.set, w)
	ws.count.Store(int32(len(ws.set)))
}

func (ws *waiters) each(f func(*Waiter)) {
	if ws.count.Load() == 0 {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.set {
		f(w)
	}
}

// wakeAll wakes all parked fetches.
func (p *Partition) wakeAll() {
	p.waiters.each(func(w *Waiter) { w.wake() })
	p.parked.wakeAll("")
}

// appended is told of records that were appended and are not committed: see raft.GroupConfig.Appended.
func (p *Partition) appended(bytes int64) {
	p.parked.appended(p.plog.NextOffset(), bytes)
}

// Watch registers w. It fires at once when the high watermark (with readCommitted, the last stable offset) is already
// beyond known, the one that the caller saw when it decided to wait, so that no growth in between is missed.
func (p *Partition) Watch(w *Waiter, known log.Offset) {
	p.waiters.add(w)
	now := p.highWatermark()
	if w.committed {
		now = p.stable()
	}
	if now != known {
		w.wake()
	}
}

// Unwatch removes w.
func (p *Partition) Unwatch(w *Waiter) { p.waiters.remove(w) }
