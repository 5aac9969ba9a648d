package log

import (
	"fmt"

	"balsa/log/batch"
)

// ReadEntries returns the stored bytes of entries first..last, internal ones included, at most maxBytes but at least
// one entry, and the last index that is in it. This is what replication ships. A gap comes whole, even if it reaches beyond
// last, since no offset within it is known; if it begins before first, as one that begins with first and ends where it does.
func (l *Log) ReadEntries(first, last Index, maxBytes int) (Slice, Index, error) {
	for {
		v, err := l.view()
		if err != nil {
			return Slice{}, 0, err
		}
		if first < v.firstIndex() || last >= v.nextIndex || first > last {
			return Slice{}, 0, fmt.Errorf("%w: %d to %d, the log has %d to %d",
				ErrIndexNotFound, first, last, v.firstIndex(), v.nextIndex-1)
		}
		sp := spans{}
		if !l.recentEntries(&sp, first, last, int64(maxBytes)) {
			err = l.storedEntries(&v, &sp, first, last, int64(maxBytes))
		}
		var s Slice
		if err == nil {
			s, err = sp.open()
		}
		if err == nil || !l.changedSince(v) {
			return s, sp.last, err
		}
	}
}

// recentEntries answers from the ring; false when it does not hold all.
func (l *Log) recentEntries(sp *spans, first, last Index, maxBytes int64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !l.ring.has(first) || !l.ring.has(last) {
		return false
	}
	v := view{segments: l.segments}
	k := v.byIndex(first)
	for i := first; i <= last; i++ {
		for k+1 < len(l.segments) && l.segments[k+1].baseIndex <= i {
			k++
		}
		s := l.ring.at(i)
		if n := int64(s.header.Length); !sp.entry(l.segments[k], s.pos, n, maxBytes) {
			break
		}
		sp.last, sp.next = i, s.header.NextOffset()
	}
	return true
}

// entry adds one entry unless it exceeds maxBytes and is not the first.
func (s *spans) entry(seg *segment, pos, n, maxBytes int64) bool {
	if s.bytes > 0 && s.bytes+n > maxBytes {
		return false
	}
	s.add(seg, pos, n)
	return true
}

// storedEntries answers from the files.
func (l *Log) storedEntries(v *view, sp *spans, first, last Index, maxBytes int64) error {
	at, err := l.locateIndex(v, first)
	if err != nil {
		return err
	}
	if err := l.checkEpoch(at); err != nil {
		return err
	}
	if at.index < first {
		sp.rest(&at, first)
	} else {
		sp.entry(at.segment, at.pos, int64(at.header.Length), maxBytes)
	}
	sp.last, sp.next = at.index+Index(at.header.Entries())-1, at.header.NextOffset()
	pos := at.pos + int64(at.header.Length)
	for k := v.byIndex(first); k < len(v.segments) && v.segments[k].baseIndex <= last; k++ {
		more, err := l.entriesOf(v, k, sp, pos, last, maxBytes)
		if err != nil || !more {
			return err
		}
		pos = 0
	}
	return nil
}

// rest adds what is left of a gap from entry `from` on. Its base offset is not known and stays that of the gap; where it ends
// is what counts.
func (s *spans) rest(at *place, from Index) {
	h := &at.header
	b := batch.Gap(h.Entries()-int64(from-at.index), int64(h.LastOffsetDelta)+1)
	b.Stamp(h.BaseOffset, h.Epoch)
	s.list = append(s.list, span{data: b, len: int64(len(b))})
	s.bytes += int64(len(b))
}

// entriesOf adds segment k's entries from pos on, which follow those added before, up to last: by a jump to the last
// index entry that is within bounds, and from there one by one.
func (l *Log) entriesOf(v *view, k int, sp *spans, pos int64, last Index, maxBytes int64) (more bool, err error) {
	s := v.segments[k]
	end, _, _ := v.end(k)
	var far indexEntry
	err = l.withIndex(s, func(x *indexView) error {
		slot, err := x.search(func(e indexEntry) bool {
			p := int64(e.pos)
			return p < end && int64(e.relIndex) <= s.relIndex(last)+1 && (p <= pos || sp.bytes+p-pos <= maxBytes)
		})
		if err == nil {
			far, err = x.at(slot)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if int64(far.pos) <= pos {
		far = indexEntry{pos: uint32(pos), relIndex: uint32(s.relIndex(sp.last) + 1), relOffset: uint32(s.rel(sp.next))}
	} else {
		sp.add(s, pos, int64(far.pos)-pos)
		sp.last, sp.next = s.baseIndex+Index(far.relIndex)-1, s.base+Offset(far.relOffset)
	}
	c, err := s.cursor(far, end)
	if err != nil {
		return false, err
	}
	defer c.release()
	for sp.last < last {
		ok, err := c.load()
		if err != nil || !ok {
			return err == nil, err
		}
		if !sp.entry(s, c.pos, int64(c.header.Length), maxBytes) {
			return false, nil
		}
		sp.last, sp.next = c.lastIndex(), c.header.NextOffset()
		c.next()
	}
	return false, nil
}
