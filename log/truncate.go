package log

import (
	"fmt"
	"time"

	"balsa/log/batch"
)

// TruncateSuffix removes entries i..LastIndex (a Raft conflict) durably. Beyond LastIndex there is nothing to remove.
// Slices of what is removed must not be read any more. If it fails the log is latched.
func (l *Log) TruncateSuffix(i Index) error {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	v, err := l.view()
	if err != nil {
		return err
	}
	if i >= v.nextIndex {
		return nil
	}
	if i < v.firstIndex() {
		return fmt.Errorf("truncate %s: %w: %d, the first is %d", l.dir, ErrIndexNotFound, i, v.firstIndex())
	}
	if i <= l.saved {
		return fmt.Errorf("truncate %s: entry %d is covered by the checkpoint at %d", l.dir, i, l.saved)
	}
	cut, newest, err := l.cutPoint(&v, i)
	if err != nil {
		return fmt.Errorf("truncate %s: %w", l.dir, err)
	}
	l.publishTruncation(&v, cut, newest)
	if err := l.truncateFiles(v.segments, cut, newest); err != nil {
		return l.fail(fmt.Errorf("truncate: %w", err))
	}
	return nil
}

// cutPoint finds entry i, and the largest timestamp before it in its segment.
func (l *Log) cutPoint(v *view, i Index) (place, int64, error) {
	at, err := l.locateIndex(v, i)
	if err != nil {
		return place{}, 0, err
	}
	if at.index != i {
		return place{}, 0, fmt.Errorf("entry %d lies within a gap, whose entries were committed", i)
	}
	newest := int64(batch.NoTimestamp)
	if at.pos > 0 {
		before := view{segments: []*segment{at.segment}, size: at.pos}
		newest, err = l.newestBelow(&before, 0, at.header.BaseOffset)
	}
	return at, newest, err
}

// publishTruncation hides the entries from readers before the files change.
func (l *Log) publishTruncation(v *view, cut place, newest int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := v.byIndex(cut.index)
	l.segments = append([]*segment(nil), v.segments[:k+1]...)
	s := cut.segment
	s.size, s.maxTimestamp, s.timeKnown, s.birth = cut.pos, newest, true, unknownBirth
	l.size = 0
	for _, kept := range l.segments {
		l.size += kept.size
	}
	l.nextIndex, l.nextOffset = cut.index, cut.header.BaseOffset
	l.epochs = l.epochs.truncate(cut.index)
	l.ring.truncate(cut.index)
	l.durable = min(l.durable, cut.index-1)
	l.synced = min(l.synced, cut.pos)
	if k < len(v.segments)-1 {
		l.synced = cut.pos // the segment was sealed
	}
	l.generation++
	l.activeSince = time.Time{}
	if l.nextOffset > s.base {
		l.activeSince = l.now()
	}
	l.indexer = indexer{interval: int64(l.config.IndexIntervalBytes), epoch: l.lastEpoch(), maxTimestamp: newest}
}

// truncateFiles removes segments from the end, each after the seal of the one before it, so that no seal is without its
// successor; then what the index says about the removed part of the last one; then that part.
func (l *Log) truncateFiles(old []*segment, cut place, newest int64) error {
	for k := len(old) - 1; old[k] != cut.segment; k-- {
		prev, end := old[k-1], old[k-1].size
		if prev == cut.segment {
			end = cut.pos
		}
		if err := l.truncateIndex(prev, end); err != nil {
			return err
		}
		if err := old[k].remove(); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.dir); err != nil {
			return err
		}
	}
	if err := l.truncateIndex(cut.segment, cut.pos); err != nil {
		return err
	}
	h, err := cut.segment.data.acquire()
	if err != nil {
		return err
	}
	defer h.release()
	if err := h.Truncate(cut.pos); err != nil {
		return err
	}
	if err := l.syncer.Sync(h.File); err != nil {
		return err
	}
	l.mu.Lock()
	l.durable, l.synced, l.dirtySince = cut.index-1, cut.pos, time.Time{} // the fsync covered all that is left
	l.mu.Unlock()
	_ = cut.segment.index.flush(cut.segment.markAt(cut.pos, cut.index, cut.header.BaseOffset, newest))
	return nil
}

func (l *Log) truncateIndex(s *segment, pos int64) error {
	return l.withIndex(s, func(*indexView) error { return s.index.truncate(pos, l.syncer) })
}
