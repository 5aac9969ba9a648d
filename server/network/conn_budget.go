package network

import (
	"context"
	"slices"
	"sync"
)

// freeRequest is how much a request may hold without waiting for the node's budget when it is the only one in flight on
// its connection: heartbeats, commits, metadata and fetches go on while producers have filled the budget, so that groups
// do not fall apart because of load.
const freeRequest = 16 << 10

// byteBudget bounds the bytes of requests that are in memory over all connections (queued.max.request.bytes).
//
// A request claims bytes as its buffer grows, which is as they arrive, not as its length field says: otherwise a few peers
// that announce large requests and send nothing would hold up everybody else. It gives them back when it has been
// answered. So a request may have to wait while it holds a part of its frame. For such requests never to wait only for
// each other, one of them at a time may exceed the limit until it is answered; and they go before requests that hold
// nothing yet. Requests that are complete do not wait for the budget, so they are always answered. Safe for concurrent use.
type byteBudget struct {
	limit int64

	mu      sync.Mutex
	held    int64
	over    *claim          // may exceed the limit
	begun   []*budgetWaiter // hold a part of their frame; the oldest first
	waiting []*budgetWaiter // hold nothing; the oldest first
}

// claim is what one request holds of the budget. It belongs to the connection's reading goroutine until the request is
// complete, then to the writing one.
type claim struct{ bytes int64 }

type budgetWaiter struct {
	claim *claim
	bytes int64
	ready chan struct{} // closed when the bytes have been granted
}

func newByteBudget(limit int64) *byteBudget { return &byteBudget{limit: limit} }

// take adds n bytes to c at once, beyond the limit if need be.
func (b *byteBudget) take(c *claim, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(c, n)
}

// acquire adds n bytes to c, and says whether it had to wait for them. It gives up when ctx ends, and returns its error.
func (b *byteBudget) acquire(ctx context.Context, c *claim, n int64) (waited bool, err error) {
	b.mu.Lock()
	w := &budgetWaiter{claim: c, bytes: n}
	if b.admits(w) {
		b.add(c, n)
		b.mu.Unlock()
		return false, nil
	}
	w.ready = make(chan struct{})
	if c.bytes > 0 {
		b.begun = append(b.begun, w)
	} else {
		b.waiting = append(b.waiting, w)
	}
	b.mu.Unlock()

	select {
	case <-w.ready:
		return true, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun, b.waiting = without(b.begun, w), without(b.waiting, w)
	b.grant() // those behind may fit where this one did not
	return true, ctx.Err()
}

// release gives back everything that c holds.
func (b *byteBudget) release(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= c.bytes
	c.bytes = 0
	if b.over == c {
		b.over = nil
	}
	b.grant()
}

// admits says whether a new waiter need not wait. With b.mu.
func (b *byteBudget) admits(w *budgetWaiter) bool {
	if w.claim.bytes == 0 {
		return len(b.begun) == 0 && len(b.waiting) == 0 && b.fits(w)
	}
	return b.over == w.claim || len(b.begun) == 0 && b.fitsOver(w)
}

func (b *byteBudget) fits(w *budgetWaiter) bool { return b.held+w.bytes <= b.limit }

// fitsOver says whether w, which holds a part of its frame, may go on, and if that takes more than the limit, has it be
// the one that may. With b.mu.
func (b *byteBudget) fitsOver(w *budgetWaiter) bool {
	if b.fits(w) {
		return true
	}
	if b.over != nil {
		return false
	}
	b.over = w.claim
	return true
}

// grant lets in whose turn it is, as far as there is room. With b.mu.
func (b *byteBudget) grant() {
	for len(b.begun) > 0 && b.fitsOver(b.begun[0]) {
		b.begun = b.admit(b.begun)
	}
	for len(b.begun) == 0 && len(b.waiting) > 0 && b.fits(b.waiting[0]) {
		b.waiting = b.admit(b.waiting)
	}
}

// admit gives the first of the waiters what it waits for, and returns the others. With b.mu.
func (b *byteBudget) admit(queue []*budgetWaiter) []*budgetWaiter {
	w := queue[0]
	queue[0] = nil
	b.add(w.claim, w.bytes)
	close(w.ready)
	return queue[1:]
}

func (b *byteBudget) add(c *claim, n int64) {
	b.held += n
	c.bytes += n
}

// without removes w from a queue; it need not be in it.
func without(queue []*budgetWaiter, w *budgetWaiter) []*budgetWaiter {
	return slices.DeleteFunc(queue, func(other *budgetWaiter) bool { return other == w })
}
