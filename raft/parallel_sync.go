package raft

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"balsa/log"
)

// parallelSync makes a leader's own entries durable while they are on their way to the followers (Ongaro, "Consensus: Bridging Theory
// and Practice", 10.2.1), where one after the other would cost two fsyncs for each commit.
//
// hashicorp/raft counts the leader as soon as StoreLogs returns. So that this stays true, no follower's acknowledgement of an entry
// reaches the library before the entry is durable here (groupTransport.AppendEntries): what is committed thus is durable on the leader as
// well as on those that acknowledged it. For the same reason a replica that has become a follower acknowledges nothing that it wrote
// as a leader and has not made durable (inbound.append).
//
// Its methods are safe for concurrent use.
type parallelSync struct {
	plog   *log.Log
	failed func(error)

	// due is the last entry that must be durable before it counts. Entries beyond are those that the topic's flush policy leaves to the
	// system, or that were durable before StoreLogs returned.
	due atomic.Uint64
	// syncing is when the fsync that is under way began, in Unix nanoseconds; 0 when none is.
	syncing atomic.Int64

	mu      sync.Mutex
	running bool
	changed chan struct{} // closed when more is durable, or the log has failed
	err     error         // of the fsync that failed
}

func newParallelSync(plog *log.Log, failed func(error)) *parallelSync {
	return &parallelSync{plog: plog, failed: failed, changed: make(chan struct{})}
}

// start makes all entries up to last durable, and returns at once.
func (p *parallelSync) start(last uint64) {
	p.due.Store(last)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running && p.err == nil {
		p.running = true
		go p.run()
	}
}

// truncated says that the log ends with entry last now.
func (p *parallelSync) truncated(last uint64) {
	p.due.Store(min(p.due.Load(), last))
}

// wait returns when all that must be durable up to an entry is. Errors: that of the fsync, log.ErrClosed, that of ctx.
func (p *parallelSync) wait(ctx context.Context, index uint64) error {
	for {
		p.mu.Lock()
		err, changed := p.err, p.changed
		p.mu.Unlock()
		if log.Index(min(index, p.due.Load())) <= p.plog.DurableIndex() {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// run fsyncs until all that is due is durable: what was appended during one fsync shares the next.
func (p *parallelSync) run() {
	for {
		p.syncing.Store(time.Now().UnixNano())
		err := p.plog.Sync()
		p.syncing.Store(0)
		p.mu.Lock()
		close(p.changed)
		p.changed = make(chan struct{})
		p.err = err
		p.running = err == nil && log.Index(p.due.Load()) > p.plog.DurableIndex()
		running := p.running
		p.mu.Unlock()
		if err != nil && !errors.Is(err, log.ErrClosed) {
			p.failed(err)
		}
		if !running {
			return
		}
	}
}
