package log

import "fmt"

// TrimPrefix deletes segments that hold only offsets below `to` and only indexes <= keepAfter; the active segment stays.
// The checkpoint must cover keepAfter durably before; entries that it does not cover are kept. Returns the bytes freed.
func (l *Log) TrimPrefix(to Offset, keepAfter Index) (int64, error) {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	if err := l.usable(); err != nil {
		return 0, err
	}
	freed := l.publishTrim(to, min(keepAfter, l.saved))
	return freed, l.deleteDoomed()
}

// Trimmable says whether TrimPrefix could delete anything, once the checkpoint covers it.
func (l *Log) Trimmable(to Offset) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.segments) > 1 && l.segments[0].base < to && l.segments[1].base <= to
}

// publishTrim takes the segments out of the log, before their files go. The caller holds adminMu.
func (l *Log) publishTrim(to Offset, keepAfter Index) (freed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := 0
	for k+1 < len(l.segments) && l.segments[k+1].base <= to && l.segments[k+1].baseIndex-1 <= keepAfter {
		freed += l.segments[k].size
		k++
	}
	if k == 0 {
		return 0
	}
	l.doomed = append(l.doomed, l.segments[:k]...)
	l.segments = append([]*segment(nil), l.segments[k:]...)
	first := l.segments[0]
	l.prevEpoch = l.epochs.at(first.baseIndex-1, l.prevEpoch)
	l.epochs = l.epochs.trim(first.baseIndex, first.base, l.nextIndex)
	l.ring.trim(first.baseIndex)
	l.size -= freed
	l.generation++
	return freed
}

// deleteDoomed deletes the files of segments that are out of the log: the oldest first and each durably, so that a crash
// leaves no hole. What cannot be deleted now is tried again later. The caller holds adminMu.
func (l *Log) deleteDoomed() error {
	for len(l.doomed) > 0 {
		if err := l.doomed[0].remove(); err != nil {
			return fmt.Errorf("trim: %w", err)
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return fmt.Errorf("trim: %w", err)
		}
		l.doomed = l.doomed[1:]
	}
	l.doomed = nil
	return nil
}
