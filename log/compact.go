package log

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNotSaved means that compaction has to wait: the checkpoint does not cover what is to be compacted. It must not be written
// anew before, since a truncation or a replay may still need it as it is.
var ErrNotSaved = errors.New("not covered by a checkpoint yet")

// CompactArgs say what to compact.
type CompactArgs struct {
	// To is where it ends: of records below it, only the last one of each key stays. All below must be committed and stable,
	// that is, belong to no open transaction.
	To Offset
	// DropTo is the offset below which tombstones, markers of transactions without records, and deletions of share groups go.
	DropTo Offset
	// Covered is an entry that the checkpoint must cover: all that decides about records below To is applied by then, such as
	// which transactions were aborted.
	Covered Index
	// Buffer bounds the memory, in bytes, of the map of keys to offsets (log.cleaner.dedupe.buffer.size). If it does not
	// hold all keys, the log is gone through several times.
	Buffer int64
	// Active returns the producers whose state must be found again in the log. Nil: none.
	Active func() map[int64]ActiveProducer
	// Share reads the payload of an entry of batch.KindShare, which is valid during the call; false for one that it does not
	// know, which stays. Nil: all of them stay.
	Share func(payload []byte) (ShareEntry, bool)
	// Throttle is told how many bytes were read or written, and may wait (log.cleaner.io.max.bytes.per.second). Nil: never.
	Throttle func(ctx context.Context, bytes int) error
}

// ActiveProducer is an idempotent producer that may come back.
type ActiveProducer struct {
	// LastBatch is the base offset of its last batch, which stays, if only as an empty one; -1 when only a transaction
	// marker told of its epoch: that stays.
	LastBatch Offset
	Epoch     int16
}

// ShareEntry is what compaction has to know of an entry about a share group.
type ShareEntry struct {
	Group string
	// Replaces says that the group's state after the entry does not depend on the entries before it: those may go.
	Replaces bool
	// Deletes says that there is no state after it. Such an entry is one that Replaces, and goes itself as a tombstone does.
	Deletes bool
}

// Compacted says what a compaction did.
type Compacted struct {
	From, To                      Offset // what was not compacted before
	Rounds                        int
	Keys                          int // in the largest map
	SegmentsRead, SegmentsWritten int
	BytesBefore, BytesAfter       int64 // of the whole log
	BytesRead, BytesWritten       int64
	SurveyTime, CleanTime         time.Duration // finding the last records, and removing the others
	Removed
}

// Removed counts what went, and what it was looked for among.
type Removed struct {
	RecordsRead, RecordsKept int64 // below To, in all rounds
	Tombstones               int64
	Aborted                  int64 // records of aborted transactions
	WithoutKey               int64 // records without a key
	Markers                  int64 // transaction markers
	Shares                   int64 // entries about share groups
	Batches                  int64 // whole ones, Raft's own entries among them
}

// CleanedTo is the offset up to which the log was compacted. Retention may have moved the log's start beyond it.
func (l *Log) CleanedTo() Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.cleanedTo
}

// Compact removes records below a.To that a later one below a.To with the same key supersedes, records without a key, and
// those of aborted transactions, in the background of everything else. Indexes and offsets of what stays do not change; a gap
// stands for what went. Each file is replaced atomically and durably, the oldest first, so that at any time, and after any
// crash, the log has the last record of each key, and nothing older comes to light. Stopped by ctx, or by an error, it goes
// on the next time. ErrNotSaved: save a checkpoint and try again.
func (l *Log) Compact(ctx context.Context, a CompactArgs) (Compacted, error) {
	l.compactMu.Lock()
	defer l.compactMu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &compaction{log: l, args: a, done: Compacted{To: a.To}}
	err := l.beginCompaction(cancel)
	if err == nil {
		c.done.From, c.done.BytesBefore = l.CleanedTo(), l.Size()
		err = c.run(ctx)
		c.done.BytesAfter = l.Size()
		l.endCompaction()
	}
	if err != nil {
		return c.done, fmt.Errorf("compact %s: %w", l.dir, err)
	}
	return c.done, nil
}

// beginCompaction lets Close know how to stop the compaction, unless it was called.
func (l *Log) beginCompaction(cancel context.CancelFunc) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	l.stopCompaction = cancel
	return nil
}

func (l *Log) endCompaction() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopCompaction = nil
}

// compaction is one run of Compact.
type compaction struct {
	log  *Log
	args CompactArgs
	done Compacted
}

func (c *compaction) run(ctx context.Context) error {
	l := c.log
	// Tombstones that this replica has not yet applied to what lies before them stay.
	c.args.DropTo = min(c.args.DropTo, l.CleanedTo())
	for l.CleanedTo() < c.args.To {
		err := c.round(ctx)
		if overtaken := errors.Is(err, errRemoved) || errors.Is(err, errOvertaken); err != nil && !overtaken {
			return err
		}
	}
	return nil
}

// round compacts as much as the map holds keys for.
func (c *compaction) round(ctx context.Context) error {
	l := c.log
	if err := l.seal(c.args.To, c.args.Covered); err != nil {
		return err
	}
	v, err := l.view()
	if err != nil {
		return err
	}
	c.done.Rounds++
	began := l.now()
	keep, err := c.survey(ctx, &v, max(l.CleanedTo(), v.firstOffset()))
	if err != nil {
		return err
	}
	c.done.Keys = max(c.done.Keys, keep.latest.n)
	surveyed := l.now()
	c.done.SurveyTime += surveyed.Sub(began)
	if err := c.clean(ctx, &v, keep); err != nil {
		return err
	}
	c.done.CleanTime += l.now().Sub(surveyed)
	return l.noteCleaned(&v, keep.upTo)
}

// throttle accounts for I/O, and says whether to go on.
func (c *compaction) throttle(ctx context.Context, bytes int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.args.Throttle == nil {
		return nil
	}
	return c.args.Throttle(ctx, bytes)
}

// seal sees to it that all below `to` lies in sealed segments that the checkpoint covers, and an entry too.
func (l *Log) seal(to Offset, entry Index) error {
	l.adminMu.Lock()
	saved := l.saved
	l.adminMu.Unlock()
	if saved < entry {
		return fmt.Errorf("%w: entry %d, the checkpoint is at %d", ErrNotSaved, entry, saved)
	}
	l.appendMu.Lock()
	err := l.usable()
	if err == nil && to > l.nextOffset {
		err = fmt.Errorf("%w: %d, the log ends at %d", ErrOffsetOutOfRange, to, l.nextOffset)
	}
	if s, _, _ := l.activeState(); err == nil && s.base < to {
		err = l.roll()
	}
	l.appendMu.Unlock()
	if err != nil {
		return err
	}
	v, err := l.view()
	if err != nil {
		return err
	}
	k := max(v.byOffset(to-1), 0)
	if _, next, _ := v.end(k); next > saved+1 {
		return fmt.Errorf("%w: entry %d, the checkpoint is at %d", ErrNotSaved, next-1, saved)
	}
	return nil
}

// group is a run of segments that become one.
type group struct {
	segments []*segment
	next     *segment // that follows
}

// groups divides the segments of v below `to` into runs that fit a segment.
func (c *compaction) groups(v *view, to Offset) []group {
	_, _, config := c.log.activeState()
	var groups []group
	size := int64(0)
	for k := 0; k+1 < len(v.segments) && v.segments[k].base < to; k++ {
		s, next := v.segments[k], v.segments[k+1]
		fits := false
		if n := len(groups); n > 0 {
			first := groups[n-1].segments[0]
			fits = size+s.size <= config.SegmentBytes && first.rel(next.base) <= maxSegmentBytes &&
				first.relIndex(next.baseIndex) <= maxSegmentBytes
		}
		if !fits {
			groups, size = append(groups, group{}), 0
		}
		g := &groups[len(groups)-1]
		g.segments, g.next = append(g.segments, s), next
		size += s.size
	}
	return groups
}

// clean writes the segments anew, group after group, where that changes anything.
func (c *compaction) clean(ctx context.Context, v *view, keep *retention) error {
	for _, g := range c.groups(v, keep.upTo) {
		c.done.SegmentsRead += len(g.segments)
		if len(g.segments) == 1 {
			before := keep.clone()
			changes, err := c.changes(ctx, g.segments[0], keep)
			if err != nil {
				return err
			}
			if !changes {
				continue
			}
			keep = before
		}
		if err := c.rewrite(ctx, g, keep); err != nil {
			return err
		}
		c.done.SegmentsWritten++
	}
	c.done.Removed = keep.done
	return nil
}
