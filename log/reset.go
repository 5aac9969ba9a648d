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
	l.mu.RLock()
	old := append(append([]*segment(nil), l.doomed...), l.segments...)
	l.mu.RUnlock()
	for _, s := range old {
		s.retire(errRemoved)
	}
	next, err := finishReset(l.fs, l.dir, c)
	if err != nil {
		return err
	}
	l.doomed, l.saved = nil, i-1

	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = []*segment{next}
	l.nextIndex, l.nextOffset, l.prevEpoch = i, o, prev
	l.epochs, l.ring = nil, ring{}
	l.durable, l.synced, l.size = i-1, 0, 0
	l.dirtySince, l.activeSince = time.Time{}, time.Time{}
	l.generation++
	l.indexer = indexer{interval: int64(l.config.IndexIntervalBytes), epoch: prev, maxTimestamp: batch.NoTimestamp}
	return nil
}
