package raft

import (
	"context"
	"sync"

	hraft "github.com/hashicorp/raft"
)

// Proposal is an entry on its way into the log.
type Proposal struct {
	future hraft.Future
	done   chan struct{}
	err    error // set before done is closed
	size   int64
	// extensions are the entry's, in which the store says that it refused it.
	extensions []byte
}

func failedProposal(err error) *Proposal {
	p := &Proposal{done: make(chan struct{}), err: err}
	close(p.done)
	return p
}

// Done is closed when the outcome is known; the payload's memory may be reused then.
func (p *Proposal) Done() <-chan struct{} { return p.done }

// Err returns the outcome. It may be called only after Done was closed.
func (p *Proposal) Err() error { return p.err }

// Settled says whether the outcome is known.
func (p *Proposal) Settled() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Failed says whether it is known by now that the entry was not written, or may not have been.
func (p *Proposal) Failed() bool { return p.Settled() && p.err != nil }

// Wait blocks until the entry was committed and applied here, or failed, or ctx ended. After ctx.Err() the entry may
// still commit.
func (p *Proposal) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// completer settles a group's proposals in order. Its goroutine lives only while proposals are in flight, so that
// thousands of idle groups cost nothing.
type completer struct {
	mu      sync.Mutex
	queue   []*Proposal
	running bool
	release func(size int64)
}

// add hands over p, whose future has been obtained; callers keep the order of their proposals by calling it in order.
func (c *completer) add(p *Proposal) {
	c.mu.Lock()
	c.queue = append(c.queue, p)
	start := !c.running
	c.running = true
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

func (c *completer) run() {
	var batch []*Proposal
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.running = false
			c.mu.Unlock()
			return
		}
		batch, c.queue = c.queue, batch[:0]
		c.mu.Unlock()
		for i, p := range batch {
			p.err = mapError(p.future.Error())
			if p.err == nil && isRefused(p.extensions) {
				p.err = ErrNotLeader
			}
			p.future = nil
			close(p.done)
			c.release(p.size)
			batch[i] = nil
		}
	}
}
