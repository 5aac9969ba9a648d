package log

import (
	"errors"
	"fmt"
	"time"

	"balsa/log/batch"
)

// roll seals the active segment and begins a new one. The caller holds appendMu. The order makes every crash harmless
// and every loss visible: the data is durable before anything else changes, the new files are durable before the seal
// is written, and nothing is appended to them before the seal is durable. So a seal without a successor, or a
// successor with data behind a missing seal, is damage.
func (l *Log) roll() error {
	if err := l.sync(); err != nil {
		return err
	}
	old, size, config := l.activeState()
	name := segmentName{offset: l.nextOffset}
	if l.nextOffset == old.base {
		name.index = l.nextIndex // only internal batches in old: its name is taken
	}
	next := newSegment(l.fs, l.dir, name, l.nextIndex)
	if err := next.create(); err != nil {
		return l.abandon(next, err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return l.fail(err)
	}
	if err := old.index.flush(old.sealAt(size, next)); err != nil {
		return l.abandon(next, err)
	}
	if err := old.index.sync(l.syncer); err != nil {
		return l.fail(err)
	}
	l.indexer = indexer{interval: int64(config.IndexIntervalBytes), epoch: l.LastEpoch(), maxTimestamp: batch.NoTimestamp}

	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append(l.segments[:len(l.segments):len(l.segments)], next)
	old.timeKnown, next.timeKnown = true, true
	l.synced = 0
	l.activeSince = time.Time{}
	return nil
}

// sealAt makes the mark that ends s where next begins.
func (s *segment) sealAt(size int64, next *segment) indexEntry {
	m := s.markAt(size, next.baseIndex, next.base, s.maxTimestamp)
	m.sealed = true
	return m
}

// abandon undoes the creation of a segment. If its files cannot be deleted the log must not go on: at the next Open the
// old segment would be taken for one that ends where the new one begins.
func (l *Log) abandon(next *segment, cause error) error {
	cause = fmt.Errorf("roll: %w", cause)
	undo := next.remove()
	if undo == nil {
		undo = l.fs.SyncDir(l.dir)
	}
	if undo != nil {
		return l.fail(errors.Join(cause, undo))
	}
	return cause
}

// expired says whether the active segment is too old to take a batch with timestamp ts, ms. By Kafka's rule the records'
// clock counts, from the segment's first batch on, so that a replay of old data does not roll at each append; for records
// without a timestamp, and where nothing more is appended, it is the time since the first append. The caller holds
// appendMu.
func (l *Log) expired(s *segment, age time.Duration, ts int64) bool {
	if s.birth == unknownBirth {
		l.findBirth(s)
	}
	if ts > 0 && s.birth > 0 && ts-s.birth > age.Milliseconds() {
		return true
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return !l.activeSince.IsZero() && l.now().Sub(l.activeSince) > age
}

// unknownBirth stands for the timestamp of a first batch that was not looked up yet.
const unknownBirth = 0

// findBirth looks up the timestamp of the segment's first data batch.
func (l *Log) findBirth(s *segment) {
	s.birth = batch.NoTimestamp
	v, err := l.view()
	if err != nil {
		return
	}
	if at, err := l.locateOffset(&v, s.base); err == nil {
		s.birth = birth(&at.header)
	}
}

// birth is the timestamp of a first batch.
func birth(h *batch.Header) int64 {
	if h.MaxTimestamp == unknownBirth {
		return batch.NoTimestamp
	}
	return h.MaxTimestamp
}

// RollDrained rolls the active segment if all its records lie below start and it has at least so many bytes, so that TrimPrefix
// can delete it. It says whether it did.
func (l *Log) RollDrained(start Offset, least int64) (bool, error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usable(); err != nil {
		return false, err
	}
	if _, size, _ := l.activeState(); l.nextOffset > start || size < least {
		return false, nil
	}
	return true, l.roll()
}
