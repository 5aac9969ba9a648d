package log

import (
	"errors"
	"fmt"
	"io"

	"balsa/log/batch"
)

// place is where a batch lies.
type place struct {
	segment *segment
	pos     int64
	index   Index // of the first entry that the batch stands for
	header  batch.Header
}

// locateIndex finds the batch that holds entry i of v in the files: entry i itself, or the gap that stands for it.
func (l *Log) locateIndex(v *view, i Index) (place, error) {
	return l.locate(v, v.byIndex(i),
		func(s *segment, e indexEntry) bool { return int64(e.relIndex) <= s.relIndex(i) },
		func(c *cursor) bool { return c.lastIndex() < i })
}

// locateOffset finds the data batch of v that holds offset o in the files, or the gap.
func (l *Log) locateOffset(v *view, o Offset) (place, error) {
	return l.locate(v, v.byOffset(o),
		func(s *segment, e indexEntry) bool { return int64(e.relOffset) <= s.rel(o) },
		func(c *cursor) bool { return c.header.NextOffset() <= o })
}

// locate finds the first batch in segment k that is not before what is looked for: from the last index entry that is
// still before, and then header by header.
func (l *Log) locate(v *view, k int, before func(*segment, indexEntry) bool, skip func(*cursor) bool) (at place, err error) {
	s := v.segments[k]
	end, _, _ := v.end(k)
	var from indexEntry
	err = l.withIndex(s, func(x *indexView) error {
		slot, err := x.search(func(e indexEntry) bool { return int64(e.pos) < end && before(s, e) })
		if err == nil {
			from, err = x.at(slot)
		}
		return err
	})
	if err != nil {
		return place{}, err
	}
	c, err := s.cursor(from, end)
	if err != nil {
		return place{}, err
	}
	defer c.release()
	for {
		ok, err := c.load()
		if err != nil {
			return place{}, err
		}
		if !ok {
			return place{}, corrupt(s.data.path, c.pos, "batch not found")
		}
		if !skip(c) {
			return place{segment: s, pos: c.pos, index: c.index, header: c.header}, nil
		}
		c.next()
	}
}

// find returns entry i, from memory when it is recent.
func (l *Log) find(i Index) (place, error) {
	for {
		l.mu.RLock()
		if !l.closed && l.ring.has(i) {
			s := l.ring.at(i)
			v := view{segments: l.segments}
			at := place{segment: l.segments[v.byIndex(i)], pos: s.pos, index: i, header: s.header}
			l.mu.RUnlock()
			return at, nil
		}
		l.mu.RUnlock()
		v, err := l.view()
		if err != nil {
			return place{}, err
		}
		if i < v.firstIndex() || i >= v.nextIndex {
			return place{}, fmt.Errorf("%w: %d, the log has %d to %d", ErrIndexNotFound, i, v.firstIndex(), v.nextIndex-1)
		}
		at, err := l.locateIndex(&v, i)
		if err == nil {
			err = l.checkEpoch(at)
		}
		if err == nil || !l.changedSince(v) {
			return at, err
		}
	}
}

// checkEpoch compares a stored epoch, which no CRC covers, with the epoch history.
func (l *Log) checkEpoch(at place) error {
	l.mu.RLock()
	want := l.epochs.at(at.index, l.prevEpoch)
	l.mu.RUnlock()
	if at.header.Epoch != want {
		return corrupt(at.segment.data.path, at.pos, "entry %d has epoch %d, not %d", at.index, at.header.Epoch, want)
	}
	return nil
}

// Info returns the header of entry i; of the gap that stands for it when compaction removed it. Recent entries are answered from memory, without I/O.
func (l *Log) Info(i Index) (EntryInfo, error) {
	at, err := l.find(i)
	if err != nil {
		return EntryInfo{}, err
	}
	return EntryInfo{Index: i, First: at.index, Header: at.header}, nil
}

// OffsetOf returns the base offset stamped on entry i; NextOffset for LastIndex+1. Within a gap only the offsets of its first
// entry and after its last are known: any other entry is answered with the latter.
func (l *Log) OffsetOf(i Index) (Offset, error) {
	l.mu.RLock()
	next, offset, closed := l.nextIndex, l.nextOffset, l.closed
	l.mu.RUnlock()
	if closed {
		return 0, ErrClosed
	}
	if i == next {
		return offset, nil
	}
	at, err := l.find(i)
	if err == nil && i > at.index {
		return at.header.NextOffset(), nil
	}
	return at.header.BaseOffset, err
}

// Entry reads entry i whole (a fresh copy), or the gap that stands for it, and checks its CRC.
func (l *Log) Entry(i Index) (batch.Batch, error) {
	for {
		v, err := l.view()
		if err != nil {
			return nil, err
		}
		at, err := l.find(i)
		if err != nil {
			return nil, err
		}
		b, err := at.read()
		if err == nil || !l.changedSince(v) {
			return b, err
		}
	}
}

// read reads the batch and checks its CRC.
func (at place) read() (batch.Batch, error) {
	h, err := at.segment.data.acquire()
	if err != nil {
		return nil, err
	}
	defer h.release()
	b := make(batch.Batch, at.header.Length)
	if n, err := h.ReadAt(b, at.pos); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, corrupt(at.segment.data.path, at.pos, "file ends within a batch")
		}
		return nil, err
	}
	if !b.CheckCRC() {
		return nil, corrupt(at.segment.data.path, at.pos, "CRC is %08x, field says %08x", batch.Checksum(b), at.header.CRC)
	}
	return b, nil
}

// EntryInfo describes one stored batch without its records.
type EntryInfo struct {
	Index  Index
	First  Index        // the first entry that the batch stands for: Index, unless it is a gap
	Header batch.Header // decoded header of the stored batch, base offset and epoch as stamped
}
