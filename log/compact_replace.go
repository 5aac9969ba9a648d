package log

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// errOvertaken means that what was compacted was deleted meanwhile.
var errOvertaken = errors.New("the log changed meanwhile")

// replace puts next, whose files are durable, in the place of old, a run of segments. The checkpoint decides which files are
// the log: it is written after the new ones are durable and before the old ones go. If it fails next is not part of the log,
// unless the log is latched.
func (l *Log) replace(old []*segment, next *segment) error {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.mu.RLock()
	segments, cleanedTo := l.segments, l.cleanedTo
	l.mu.RUnlock()
	k := slices.Index(segments, old[0])
	if k < 0 || k+len(old) >= len(segments) || !slices.Equal(segments[k:k+len(old)], old) {
		return errOvertaken
	}
	if err := l.commit(slices.Concat(segments[:k], []*segment{next}, segments[k+len(old):]), cleanedTo); err != nil {
		return err
	}
	l.publishReplaced(old, next)
	// What cannot be deleted now is tried again later; a crash leaves it to the next Open.
	_ = l.deleteDoomed()
	return nil
}

// noteCleaned notes, durably, that the log is compacted up to o, if it still is the one that v shows.
func (l *Log) noteCleaned(v *view, o Offset) error {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	// The first segment behind o: neither a truncation nor, before o is trimmed, retention takes it away; a reset does.
	k := sort.Search(len(v.segments), func(k int) bool { return v.segments[k].base >= o })
	l.mu.RLock()
	same := k < len(v.segments) && slices.Contains(l.segments, v.segments[k])
	l.mu.RUnlock()
	if !same {
		return errOvertaken
	}
	if err := l.commit(nil, o); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanedTo = o
	return nil
}

// commit writes the checkpoint anew: as it was saved last, but with these segments. The caller holds adminMu.
func (l *Log) commit(segments []*segment, cleanedTo Offset) error {
	old, err := readCheckpoint(l.fs, l.dir)
	if err != nil {
		return err
	}
	if old == nil || old.reset || old.Index != l.saved {
		return fmt.Errorf("%w: the checkpoint on disk is not the one at %d", ErrNotSaved, l.saved)
	}
	file, err := l.describe(old.Checkpoint, old.nextOffset, segments)
	if err != nil {
		return err
	}
	file.cleanedTo = cleanedTo
	if err := writeAtomically(l.fs, checkpointPath(l.dir), file.encode()); err != nil {
		if now, again := readCheckpoint(l.fs, l.dir); again == nil && now != nil && bytes.Equal(now.encode(), old.encode()) {
			return err
		}
		return l.fail(err)
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return l.fail(err) // which of the two is there after a crash is not known
	}
	return nil
}

// publishReplaced shows the new segment to readers. Those that met the old one look again, or go on with its open file.
func (l *Log) publishReplaced(old []*segment, next *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := slices.Index(l.segments, old[0]) // there may be new ones behind
	end := l.segments[k+len(old)].baseIndex
	l.segments = slices.Concat(l.segments[:k], []*segment{next}, l.segments[k+len(old):])
	for _, s := range old {
		l.size -= s.size
	}
	l.size += next.size
	l.doomed = append(l.doomed, old...)
	l.ring.trim(end)
	l.generation++
}

// abortedBelow returns the aborted transactions that have records below o.
func (l *Log) abortedBelow(o Offset) (abortedRuns, error) {
	txns, err := l.AbortedTxns(0, o)
	runs := abortedRuns{}
	for _, t := range txns {
		runs.add(t.ProducerID, t.First, t.Last)
	}
	return runs, err
}

// mergeTxns gives next, which takes the place of old, the aborted transactions that are still needed: records of those that
// ended below upTo are gone. It is durable after a SyncDir.
func mergeTxns(old []*segment, next *segment, upTo Offset) error {
	if err := removeIfThere(next.txns.file.fs, next.txns.file.path); err != nil { // left of an earlier attempt
		return err
	}
	var needed []AbortedTxn
	for _, s := range old {
		txns, err := s.txns.all()
		if err != nil {
			return err
		}
		for _, t := range txns {
			if t.Last >= upTo {
				needed = append(needed, t)
			}
		}
	}
	if len(needed) == 0 {
		return nil
	}
	return next.txns.replace(needed)
}
