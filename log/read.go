package log

import (
	"errors"
	"fmt"

	"balsa/log/batch"
)

// Read returns the data batches from the one that holds offset `from` up to, not including, the batch that starts at
// `limit` (the high watermark): whole batches, no internal ones, at most maxBytes, except that with minOne the
// first batch is returned whatever its size. Empty when from >= limit.
// ErrOffsetOutOfRange when from < FirstOffset or from > NextOffset. CRCs are the reader's to check.
func (l *Log) Read(from, limit Offset, maxBytes int, minOne bool) (Slice, error) {
	for {
		v, err := l.view()
		if err != nil {
			return Slice{}, err
		}
		if from < v.firstOffset() || from > v.nextOffset {
			return Slice{}, fmt.Errorf("%w: %d, the log has %d to %d", ErrOffsetOutOfRange, from, v.firstOffset(), v.nextOffset)
		}
		w := window{from: from, limit: min(limit, v.nextOffset), max: int64(maxBytes), minOne: minOne, sift: true}
		w.next = from
		if from >= w.limit {
			return Slice{NextOffset: from}, nil
		}
		if !l.readRecent(&w) {
			if err = l.readFiles(&v, &w); errors.Is(err, errScattered) {
				err = l.readScattered(&v, &w)
			}
		}
		var s Slice
		if err == nil {
			s, err = w.open()
		}
		if err == nil || !l.changedSince(v) {
			return s, err
		}
		l.memory.give(w.taken)
	}
}

// readScattered answers from memory, or, if there is too little of it, with some of the pieces.
func (l *Log) readScattered(v *view, w *window) error {
	*w = window{from: w.from, limit: w.limit, max: w.max, minOne: w.minOne}
	w.next = w.from
	if !l.memory.take(siftBytes) {
		return l.readFiles(v, w)
	}
	err := l.sifted(v, w)
	l.memory.give(siftBytes - w.bytes)
	w.memory, w.taken = l.memory, w.bytes
	return err
}

// window is a read: what is wanted, and what was found so far.
type window struct {
	spans
	from, limit Offset
	max         int64
	minOne      bool
	sift        bool // give up with errScattered if there are many small pieces
}

// take adds the next batch, or says that the read is complete. Internal batches are passed over.
func (w *window) take(s *segment, h *batch.Header, pos int64) bool {
	switch {
	case h.BaseOffset >= w.limit:
		return false
	case h.IsInternal():
		return true
	case w.bytes+int64(h.Length) > w.max && (w.bytes > 0 || !w.minOne):
		return false
	case len(w.list) == maxSpans:
		return false
	}
	w.add(s, pos, int64(h.Length))
	w.next = h.NextOffset()
	return true
}

// readRecent answers from the ring; false when it does not reach back far enough.
func (l *Log) readRecent(w *window) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i, ok := l.ring.search(w.from)
	if !ok {
		return false
	}
	v := view{segments: l.segments}
	k := v.byIndex(i)
	for ; i < l.ring.next(); i++ {
		for k+1 < len(l.segments) && l.segments[k+1].baseIndex <= i {
			k++
		}
		s := l.ring.at(i)
		if !w.take(l.segments[k], &s.header, s.pos) {
			break
		}
	}
	return true
}

// readFiles answers from the files, segment after segment.
func (l *Log) readFiles(v *view, w *window) error {
	k := v.byOffset(w.from)
	at, err := l.locateOffset(v, w.from)
	if err != nil {
		return err
	}
	from := indexEntry{
		pos: uint32(at.pos), relOffset: uint32(at.segment.rel(at.header.BaseOffset)), relIndex: uint32(at.segment.relIndex(at.index)),
	}
	for ; k < len(v.segments) && v.segments[k].base < w.limit; k++ {
		end, _, _ := v.end(k)
		before := *w
		more := false
		err := l.withIndex(v.segments[k], func(x *indexView) (err error) {
			*w = before // a rebuilt index begins anew
			w.list = append([]span(nil), before.list...)
			more, err = w.scan(x, v.segments[k], from, end)
			return err
		})
		if err != nil || !more {
			return err
		}
		from = indexEntry{}
	}
	return nil
}

// scan takes the batches of one segment from `from` on. Index entries take it over everything between two of them: only
// internal batches, which all have one, and the end of the read are looked at more closely.
func (w *window) scan(x *indexView, s *segment, from indexEntry, end int64) (more bool, err error) {
	c, err := s.cursor(from, end)
	if err != nil {
		return false, err
	}
	defer c.release()
	slot, err := x.search(func(e indexEntry) bool { return e.pos <= from.pos })
	if err != nil {
		return false, err
	}
	for {
		// A batch is looked at where a jump begins: it may be internal, or be the one that is returned whatever its size.
		if ok, err := c.load(); err != nil || !ok {
			return err == nil, err
		}
		if w.scattered() {
			return false, errScattered
		}
		if !w.take(s, &c.header, c.pos) {
			return false, nil
		}
		c.next()
		if slot, err = w.jump(x, s, c, slot); err != nil {
			return false, err
		}
	}
}

// jump moves the cursor, which stands behind a batch, to the farthest entry up to which all can be taken unseen, and
// takes it. It stops at internal batches.
func (w *window) jump(x *indexView, s *segment, c *cursor, slot int) (int, error) {
	start := c.pos
	var last indexEntry
	for slot+1 < x.count() {
		e, err := x.entry(slot + 1)
		if err != nil {
			return slot, err
		}
		if int64(e.pos) < start {
			slot++ // an internal batch that was passed over
			continue
		}
		offset := s.base + Offset(e.relOffset)
		if int64(e.pos) >= c.end || offset > w.limit || w.bytes+int64(e.pos)-start > w.max {
			break
		}
		slot, last = slot+1, e
		if e.internal {
			break
		}
	}
	if n := int64(last.pos) - start; n > 0 && len(w.list) < maxSpans {
		w.add(s, start, n)
		w.next = s.base + Offset(last.relOffset)
		c.pos, c.offset, c.index = int64(last.pos), s.base+Offset(last.relOffset), s.baseIndex+Index(last.relIndex)
	}
	return slot, nil
}
