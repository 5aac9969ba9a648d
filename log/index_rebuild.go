package log

import (
	"errors"
	"fmt"
	"path"
)

// withIndex calls fn with the segment's index, which it rebuilds from the segment when it turns out to be damaged.
func (l *Log) withIndex(s *segment, fn func(*indexView) error) error {
	for attempt := 0; ; attempt++ {
		v, err := s.index.view()
		version := 0
		if err == nil {
			version = v.version
			err = fn(v)
			v.release()
		}
		if !errors.Is(err, errIndexDamaged) {
			return err
		}
		if attempt == 2 {
			return corrupt(s.index.file.path, 0, "index stays damaged")
		}
		if err := l.rebuildIndex(s, version); err != nil {
			return err
		}
	}
}

// rebuildIndex writes the segment's index anew from the batch headers. It does nothing if the index is no longer the one
// that was found damaged. Appends to the segment wait meanwhile: it happens only when a disk lost something.
func (l *Log) rebuildIndex(s *segment, version int) error {
	l.mu.RLock()
	x := indexer{
		interval:     int64(l.config.IndexIntervalBytes),
		epoch:        l.epochs.at(s.baseIndex-1, l.prevEpoch),
		maxTimestamp: -1,
	}
	size := s.size
	l.mu.RUnlock()

	s.index.mu.Lock()
	defer s.index.mu.Unlock()
	if s.index.version != version {
		return nil
	}
	end := int64(s.index.mark.pos) // of the active segment, what its index covered
	if !s.index.loaded || s.index.mark.sealed {
		s.index.mark.sealed = true
		end = size
	}
	entries, mark, err := s.walkEntries(&x, end)
	if err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	mark.sealed = s.index.mark.sealed
	if err := s.index.rewrite(append(entries, mark), l.dir); err != nil {
		return fmt.Errorf("rebuild index: %w", err)
	}
	l.noteRebuild()
	return nil
}

func (l *Log) noteRebuild() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recovery.RebuiltIndexes++
}

// walkEntries makes the entries of the segment's first end bytes, and the mark that goes behind them.
func (s *segment) walkEntries(x *indexer, end int64) ([]indexEntry, indexEntry, error) {
	c, err := s.cursor(indexEntry{}, end)
	if err != nil {
		return nil, indexEntry{}, err
	}
	defer c.release()
	var entries []indexEntry
	for {
		ok, err := c.load()
		if err != nil {
			return nil, indexEntry{}, err
		}
		if !ok {
			return entries, s.markAt(c.pos, c.index, c.offset, x.maxTimestamp), nil
		}
		if e, wanted := x.add(s, &c.header, c.index, c.pos); wanted {
			entries = append(entries, e)
		}
		c.next()
	}
}

// markAt makes the mark that says that the segment is durable up to pos.
func (s *segment) markAt(pos int64, next Index, offset Offset, maxTimestamp int64) indexEntry {
	return indexEntry{
		relOffset:    uint32(s.rel(offset)),
		relIndex:     uint32(s.relIndex(next)),
		pos:          uint32(pos),
		maxTimestamp: maxTimestamp,
		mark:         true,
	}
}

// rewrite replaces the file by one with these entries, the last of which is the mark. The caller holds mu.
func (x *index) rewrite(entries []indexEntry, dir string) error {
	buf := make([]byte, len(entries)*entrySize)
	for i, e := range entries {
		e.encode(buf[i*entrySize:], x.base, i)
	}
	if err := writeAtomically(x.file.fs, x.file.path, buf); err != nil {
		return err
	}
	file, err := x.file.fs.OpenFile(x.file.path, false)
	if err != nil {
		return err
	}
	x.file.replace(file)
	x.n, x.mark = len(entries)-1, entries[len(entries)-1]
	x.loaded, x.dirty = true, 0
	x.version++
	return x.file.fs.SyncDir(path.Clean(dir))
}
