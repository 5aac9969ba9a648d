package raft

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"balsa/log"
)

const (
	// A checkpoint bounds what a restart has to read again: at most this many bytes of log...
	checkpointBytes = 8 << 20
	// ...or what came in this time.
	checkpointAge = 5 * time.Second
	// A large state is written less often: at most one byte of state per so many bytes of log.
	checkpointRatio = 4
)

// checkpointer remembers when a group's position was last saved.
type checkpointer struct {
	mu        sync.Mutex // serialises saves
	index     log.Index
	size      int64 // of the log when saved
	stateSize int64
	at        time.Time

	trimTo atomic.Int64 // an offset. Not guarded by mu: the state machine moves it while a save waits for the state machine.
}

// SetLogStart tells the offset below which whole segments may be deleted, as soon as a saved position covers them. It may be called
// from StateMachine.Apply.
func (g *Group) SetLogStart(o log.Offset) {
	trimTo := &g.checkpoint.trimTo
	for old := trimTo.Load(); int64(o) > old && !trimTo.CompareAndSwap(old, int64(o)); {
		old = trimTo.Load()
	}
}

// checkpointDue says whether enough happened since the last save.
func (g *Group) checkpointDue(now time.Time) bool {
	c := &g.checkpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	if log.Index(g.state.store.applied.Load()) == c.index {
		return false
	}
	if g.plog.Trimmable(log.Offset(c.trimTo.Load())) && now.Sub(c.at) > g.trimAge() {
		return true
	}
	grown := g.plog.Size() - c.size
	if grown < checkpointRatio*c.stateSize {
		return now.Sub(c.at) > 10*checkpointAge
	}
	return grown > checkpointBytes || now.Sub(c.at) > checkpointAge
}

// trimAge is how long after a checkpoint the next one may come because it would give space back.
func (g *Group) trimAge() time.Duration {
	if g.host.space() > SpaceAmple {
		return checkpointAge / 5
	}
	return checkpointAge
}

// Checkpoint saves the position now, and deletes what it makes deletable.
func (g *Group) Checkpoint() error {
	c := &g.checkpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	p := g.state.capture()
	if p.index > g.plog.DurableIndex() {
		// Committed by others' disks, or by none where the topic leaves flushing to the system.
		if err := g.plog.Sync(); err != nil {
			return fmt.Errorf("checkpoint of %s: %w", g.id, err)
		}
	}
	if err := g.locate(&p); err != nil {
		return fmt.Errorf("checkpoint of %s: %w", g.id, err)
	}
	if err := g.plog.SaveCheckpoint(log.Checkpoint{Index: p.index, State: p.encode()}); err != nil {
		return fmt.Errorf("checkpoint of %s: %w", g.id, err)
	}
	c.index, c.size, c.stateSize, c.at = p.index, g.plog.Size(), int64(len(p.machine)), time.Now()
	if g.disposable {
		g.SetLogStart(p.baseOffset)
	}
	if to := log.Offset(c.trimTo.Load()); to > g.plog.FirstOffset() {
		if _, err := g.plog.TrimPrefix(to, p.index); err != nil {
			return fmt.Errorf("trim %s: %w", g.id, err)
		}
		c.size = g.plog.Size()
	}
	return nil
}

// locate fills in the term of p.index and the offset after it.
func (g *Group) locate(p *position) error {
	switch {
	case p.index == 0:
		return nil
	case p.index+1 == g.plog.FirstIndex():
		p.term = g.plog.PrevEpoch()
	default:
		info, err := g.plog.Info(p.index)
		if err != nil {
			return err
		}
		p.term = info.Header.Epoch
	}
	o, err := g.plog.OffsetOf(p.index + 1)
	p.baseOffset = o
	return err
}

// resetTo empties the log to continue after a position that the leader shipped, durably.
func (g *Group) resetTo(p position) error {
	c := &g.checkpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	// What was committed before may be on its way to the state machine yet, which looks at the log again for each entry.
	g.state.mu.Lock()
	defer g.state.mu.Unlock()
	g.logger.Info("log restarts at the leader's log start", "index", p.index+1, "offset", p.baseOffset)
	g.state.store.phantom.Store(max(g.state.store.phantom.Load(), uint64(g.plog.LastIndex())))
	g.state.store.gap.Store(nil)
	g.state.store.parallel.truncated(uint64(p.index))
	if err := g.plog.Reset(p.index+1, p.baseOffset, p.term, p.encode()); err != nil {
		return err
	}
	c.index, c.size = p.index, 0
	return nil
}
