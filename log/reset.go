package log

import (
	"fmt"
	"time"

	"balsa/log/batch"
)

// Reset empties the log so that its next entry has index i and offset o, and PrevEpoch is prev (a snapshot install).
// state is what the checkpoint at i-1 holds from then on: emptying and checkpoint are one atomic step, so that a crash
// leaves either the old log with the old checkpoint or the empty log with the new one. If it fails the log is latched.
func (l *Log) Reset(i Index, o Offset, prev Epoch, state []byte) error {
	if i == 0 || o < 0 {
		return fmt.Errorf("reset %s to index %d, offset %d: no such position", l.dir, i, o)
	}
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.reset(i, o, prev, state); err != nil {
		return l.fail(fmt.Errorf("reset: %w", err))
	}
	return nil
}

func (l *Log) reset(i Index, o Offset, prev Epoch, state []byte) error {
	c := resetCheckpoint(i, o, prev, state)
	if err := l.writeCheckpoint(c); err != nil {
		return err
	}
	next := c.segments[0].open(l.fs, l.dir)
	old := append(append([]*segment(nil), l.doomed...), l.publishReset(c, next)...)
	for _, s := range old {
		s.retire(errRemoved)
	}
	l.doomed, l.saved = nil, c.Index
	return finishReset(l.fs, l.dir, c, next)
}

// publishReset shows the empty log to readers, before the files of the old one go. It returns the old segments.
func (l *Log) publishReset(c *checkpointFile, next *segment) []*segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.segments
	l.segments = []*segment{next}
	next.timeKnown = true
	l.nextIndex, l.nextOffset, l.prevEpoch = c.Index+1, c.nextOffset, c.epoch
	l.cleanedTo = c.cleanedTo
	l.epochs, l.ring = nil, ring{}
	l.aborted, l.lastAborted = nil, -1
	l.durable, l.synced, l.size = c.Index, 0, 0
	l.dirtySince, l.activeSince = time.Time{}, time.Time{}
	l.generation++
	l.indexer = indexer{interval: int64(l.config.IndexIntervalBytes), epoch: c.epoch, maxTimestamp: batch.NoTimestamp}
	return old
}
