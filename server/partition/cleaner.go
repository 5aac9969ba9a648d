package partition

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// CleanerStats counts what compaction did on this node since it started.
type CleanerStats struct {
	Compactions, Failures   int64
	BytesRead, BytesWritten int64
	BytesFreed              int64
	RecordsRead             int64
	RecordsRemoved          int64
	Running                 int64 // compactions under way
}

// cleaner compacts the logs of a node's replicas, as far as their leaders decided, and decides for those that this node leads.
type cleaner struct {
	m      *Manager
	config atomic.Pointer[cluster.CleanerConfig]
	// wake ends the worker's pause, decideNow that of the loop which decides.
	wake, decideNow chan struct{}
	threads         *gate
	pace            *pacer

	compactions, failures, running                              atomic.Int64
	bytesRead, bytesWritten, freed, recordsRead, recordsRemoved atomic.Int64
}

func newCleaner(m *Manager) *cleaner {
	config := m.Resolver.CleanerConfig(cluster.NewImage())
	c := &cleaner{
		m: m, wake: make(chan struct{}, 1), decideNow: make(chan struct{}, 1),
		threads: newGate(config.Threads), pace: newPacer(config.BytesPerSecond),
	}
	c.config.Store(&config)
	return c
}

// configure puts a configuration in force, also for compactions that are under way: how many may begin, and how fast they go on. The
// memory of those stays what it was.
func (c *cleaner) configure(config cluster.CleanerConfig) {
	if config == *c.config.Load() {
		return
	}
	c.config.Store(&config)
	c.threads.resize(config.Threads)
	c.pace.setRate(config.BytesPerSecond)
	notify(c.wake)
	notify(c.decideNow)
}

// CleanerStats returns what compaction did so far.
func (m *Manager) CleanerStats() CleanerStats {
	c := m.cleaner
	return CleanerStats{
		Compactions: c.compactions.Load(), Failures: c.failures.Load(), Running: c.running.Load(),
		BytesRead: c.bytesRead.Load(), BytesWritten: c.bytesWritten.Load(), BytesFreed: c.freed.Load(),
		RecordsRead: c.recordsRead.Load(), RecordsRemoved: c.recordsRemoved.Load(),
	}
}

// RunCleaner compacts until ctx ends.
func (m *Manager) RunCleaner(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { m.cleaner.decide(ctx) })
	wg.Go(func() { m.cleaner.work(ctx) })
	wg.Wait()
}

// decide looks at all partitions that this node leads, again and again.
func (c *cleaner) decide(ctx context.Context) {
	for c.pause(ctx, c.decideNow) {
		for _, r := range c.m.partitions() {
			if err := r.partition.decideCompaction(ctx, c.m.Now(), c.m.cleanedBy); err != nil && ctx.Err() == nil {
				c.report(r, err)
			}
		}
	}
}

// work compacts what was decided on, several logs at a time, the one with most to do first.
func (c *cleaner) work(ctx context.Context) {
	for {
		var wg sync.WaitGroup
		var done atomic.Bool
		for _, r := range c.due() {
			c.threads.enter()
			wg.Go(func() {
				defer c.threads.leave()
				if c.compact(ctx, r) {
					done.Store(true)
				}
			})
		}
		wg.Wait()
		if done.Load() && ctx.Err() == nil {
			continue
		}
		if !c.pause(ctx, c.wake) {
			return
		}
	}
}

// minBackoff keeps a backoff of 0, which Kafka allows, from being a busy loop.
const minBackoff = 10 * time.Millisecond

// pause waits for the backoff to pass, or for wake; false when ctx ends.
func (c *cleaner) pause(ctx context.Context, wake <-chan struct{}) bool {
	timer := time.NewTimer(max(c.config.Load().Backoff, minBackoff))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return ctx.Err() == nil
}

// noticed wakes the worker: a decision was applied.
func (c *cleaner) noticed() { notify(c.wake) }

// notify leaves a signal for one reader, if there is none yet.
func notify(signal chan<- struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// buffer is the memory that one compaction gets.
func (c *cleaner) buffer() int64 {
	config := c.config.Load()
	return max(config.Buffer/int64(max(config.Threads, 1)), cluster.MinCleanerBuffer)
}

// due returns the replicas that were not compacted as far as was decided, the one that lags most first.
func (c *cleaner) due() []*replica {
	type job struct {
		r     *replica
		bytes int64
	}
	var jobs []job
	for _, r := range c.m.partitions() {
		state := r.partition.compactionState()
		if r.plog.Failed() != nil || !r.partition.config.Load().CleanupCompact || r.plog.CleanedTo() >= state.to {
			continue
		}
		d, err := r.plog.Dirty(state.to, 0, c.m.Now())
		if err != nil {
			continue // closed, most likely; if not, compaction says so
		}
		jobs = append(jobs, job{r, d.Bytes})
	}
	slices.SortStableFunc(jobs, func(a, b job) int { return cmp.Compare(b.bytes, a.bytes) })
	var due []*replica
	for _, j := range jobs {
		due = append(due, j.r)
	}
	return due
}

// compact compacts one log. It says whether that was done.
func (c *cleaner) compact(ctx context.Context, r *replica) bool {
	if ctx.Err() != nil {
		return false
	}
	c.running.Add(1)
	defer c.running.Add(-1)
	state := r.partition.compactionState()
	args := log.CompactArgs{
		To: state.to, DropTo: state.dropTo, Covered: state.index, Buffer: c.buffer(),
		Active: r.partition.machine.activeProducers, Share: readShareEntry, Throttle: c.pace.wait,
	}
	began := c.m.Now()
	done, err := r.plog.Compact(ctx, args)
	if errors.Is(err, log.ErrNotSaved) {
		if err = r.group.Checkpoint(); err == nil {
			done, err = r.plog.Compact(ctx, args)
		}
	}
	c.count(&done)
	switch {
	case err == nil:
		c.compactions.Add(1)
		c.say(r, &done, c.m.Now().Sub(began))
		return true
	case errors.Is(err, log.ErrNotSaved):
		// Entries behind what is to be compacted are in one segment with it and not committed yet, or the log is behind its state.
	default:
		c.report(r, err)
	}
	return false
}

func (c *cleaner) count(d *log.Compacted) {
	c.bytesRead.Add(d.BytesRead)
	c.bytesWritten.Add(d.BytesWritten)
	c.freed.Add(d.BytesBefore - d.BytesAfter)
	c.recordsRead.Add(d.RecordsRead)
	c.recordsRemoved.Add(d.RecordsRead - d.RecordsKept)
}

func (c *cleaner) say(r *replica, d *log.Compacted, took time.Duration) {
	c.m.Logger.Info("log compacted", "topic", r.partition.Topic, "partition", r.id.Partition, "from", d.From, "to", d.To,
		"bytes before", d.BytesBefore, "bytes after", d.BytesAfter, "records", d.RecordsRead, "kept", d.RecordsKept,
		"tombstones removed", d.Tombstones, "aborted", d.Aborted, "markers removed", d.Markers,
		"share entries removed", d.Shares, "keys", d.Keys, "rounds", d.Rounds,
		"segments", d.SegmentsRead, "segments written", d.SegmentsWritten, "read", d.BytesRead, "written", d.BytesWritten,
		"took", took.Round(time.Millisecond))
}

// report says why a compaction failed, unless the replica or the node is being closed.
func (c *cleaner) report(r *replica, err error) {
	if errors.Is(err, log.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	c.failures.Add(1)
	level := slog.LevelError
	if errors.Is(err, log.ErrOffsetOutOfRange) {
		level = slog.LevelWarn // the log was reset to what its leader has, and is filled again
	}
	c.m.Logger.Log(context.Background(), level, "compaction failed", "topic", r.partition.Topic, "partition", r.id.Partition, "err", err)
}

// partitions returns the local replicas of partitions.
func (m *Manager) partitions() []*replica {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var list []*replica
	for _, r := range m.replicas {
		if r.partition != nil {
			list = append(list, r)
		}
	}
	return list
}

// cleanedTo returns up to which offset the local replica of a partition is compacted, durably; false when it is not here.
func (m *Manager) cleanedTo(id raft.GroupID) (log.Offset, bool) {
	r := m.lookup(id)
	if r == nil || r.partition == nil || r.plog.Failed() != nil {
		return 0, false
	}
	return r.plog.CleanedTo(), true
}
