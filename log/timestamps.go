package log

import "balsa/log/batch"

// TimestampedOffset is an answer of the time index.
type TimestampedOffset struct {
	Timestamp int64 // ms since the epoch, of the record found
	Offset    Offset
	Epoch     Epoch
}

// OffsetForTime returns the first record from offset from and below limit whose timestamp is >= ts; ok is false when there
// is none.
func (l *Log) OffsetForTime(ts int64, from, limit Offset) (r TimestampedOffset, ok bool, err error) {
	for {
		v, err := l.view()
		if err != nil {
			return TimestampedOffset{}, false, err
		}
		r, ok, err = l.offsetForTime(&v, ts, from, limit)
		if err == nil || !l.changedSince(v) {
			return r, ok, err
		}
	}
}

func (l *Log) offsetForTime(v *view, ts int64, from, limit Offset) (r TimestampedOffset, ok bool, err error) {
	for k := max(v.byOffset(from), 0); k < len(v.segments) && v.segments[k].base < limit; k++ {
		newest, err := l.newest(v, k)
		if err != nil {
			return r, false, err
		}
		if newest < ts {
			continue
		}
		wanted := func(rec batch.Record) bool { return rec.Timestamp >= ts && rec.Offset >= from }
		r, ok, err = l.firstRecord(v, k, ts, limit, wanted)
		if err != nil || ok {
			return r, ok, err
		}
	}
	return r, false, nil
}

// newest returns the largest timestamp in segment k of v; NoTimestamp when it has none.
func (l *Log) newest(v *view, k int) (int64, error) {
	s := v.segments[k]
	l.mu.RLock()
	newest, known := s.maxTimestamp, s.timeKnown
	l.mu.RUnlock()
	if known {
		return newest, nil
	}
	// Only sealed segments that were there when the log was opened come here: their seal has it.
	err := l.withIndex(s, func(*indexView) error {
		s.index.mu.Lock()
		defer s.index.mu.Unlock()
		newest = s.index.mark.maxTimestamp
		return nil
	})
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.maxTimestamp, s.timeKnown = newest, true
	return newest, nil
}

// firstRecord returns the first record of segment k below limit that is wanted, in a batch whose largest timestamp is
// at least ts.
func (l *Log) firstRecord(v *view, k int, ts int64, limit Offset, wanted func(batch.Record) bool) (r TimestampedOffset, ok bool, err error) {
	s := v.segments[k]
	end, _, _ := v.end(k)
	var from indexEntry
	err = l.withIndex(s, func(x *indexView) error {
		slot, err := x.search(func(e indexEntry) bool { return int64(e.pos) < end && e.maxTimestamp < ts })
		if err == nil {
			from, err = x.at(slot)
		}
		return err
	})
	if err != nil {
		return r, false, err
	}
	c, err := s.cursor(from, end)
	if err != nil {
		return r, false, err
	}
	defer c.release()
	for ; ; c.next() {
		if more, err := c.load(); err != nil || !more || c.header.BaseOffset >= limit {
			return r, false, err
		}
		if c.header.IsInternal() || c.header.MaxTimestamp < ts {
			continue
		}
		r, ok, err := recordIn(place{s, c.pos, c.index, c.header}, limit, wanted)
		if err != nil || ok {
			return r, ok, err
		}
	}
}

// recordIn reads a batch and returns its first wanted record below limit.
func recordIn(at place, limit Offset, wanted func(batch.Record) bool) (r TimestampedOffset, ok bool, err error) {
	b, err := at.read()
	if err != nil {
		return r, false, err
	}
	records := b.Records(batch.MaxLen)
	defer records.Close()
	for records.Next() {
		rec := records.Record()
		if rec.Offset >= limit {
			return r, false, nil
		}
		if wanted(rec) {
			return TimestampedOffset{Timestamp: rec.Timestamp, Offset: rec.Offset, Epoch: at.header.Epoch}, true, nil
		}
	}
	if err := records.Err(); err != nil {
		return r, false, corrupt(at.segment.data.path, at.pos, "%v", err)
	}
	return r, false, nil
}

// MaxTimestamp returns the record from offset from and below limit with the largest timestamp (the first of equals); ok is
// false when there is no record with a timestamp.
func (l *Log) MaxTimestamp(from, limit Offset) (r TimestampedOffset, ok bool, err error) {
	for {
		v, err := l.view()
		if err != nil {
			return TimestampedOffset{}, false, err
		}
		r, ok, err = l.maxTimestamp(&v, from, min(limit, v.nextOffset))
		if err == nil || !l.changedSince(v) {
			return r, ok, err
		}
	}
}

func (l *Log) maxTimestamp(v *view, from, limit Offset) (r TimestampedOffset, ok bool, err error) {
	best, segment := int64(batch.NoTimestamp), -1
	for k := max(v.byOffset(from), 0); k < len(v.segments) && v.segments[k].base < limit; k++ {
		var newest int64
		if _, _, next := v.end(k); next <= limit && k < len(v.segments)-1 {
			newest, err = l.newest(v, k)
		} else {
			newest, err = l.newestBelow(v, k, limit)
		}
		if err != nil {
			return r, false, err
		}
		if newest > best {
			best, segment = newest, k
		}
	}
	if segment < 0 {
		return r, false, nil
	}
	wanted := func(rec batch.Record) bool { return rec.Timestamp >= best && rec.Offset >= from }
	r, ok, err = l.firstRecord(v, segment, best, limit, wanted)
	if err != nil || ok {
		return r, ok, err
	}
	// The newest record lies before from, in the same segment.
	return l.maxRecord(v, from, limit)
}

// newestBelow is newest for the part of segment k below limit.
func (l *Log) newestBelow(v *view, k int, limit Offset) (int64, error) {
	s := v.segments[k]
	end, _, _ := v.end(k)
	var from indexEntry
	err := l.withIndex(s, func(x *indexView) error {
		slot, err := x.search(func(e indexEntry) bool { return int64(e.pos) < end && int64(e.relOffset) <= s.rel(limit) })
		if err == nil {
			from, err = x.at(slot)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	c, err := s.cursor(from, end)
	if err != nil {
		return 0, err
	}
	defer c.release()
	newest := from.maxTimestamp
	for ; ; c.next() {
		if more, err := c.load(); err != nil || !more || c.header.BaseOffset >= limit {
			return newest, err
		}
		if !c.header.IsInternal() {
			newest = max(newest, c.header.MaxTimestamp)
		}
	}
}

// maxRecord reads every record from offset from and below limit: twice, since a record's epoch is known only where
// it is found.
func (l *Log) maxRecord(v *view, from, limit Offset) (r TimestampedOffset, ok bool, err error) {
	best, segment := int64(batch.NoTimestamp), -1
	first := max(v.byOffset(from), 0)
	for k := first; k < len(v.segments) && v.segments[k].base < limit; k++ {
		_, _, err := l.firstRecord(v, k, batch.NoTimestamp, limit, func(rec batch.Record) bool {
			if rec.Offset >= from && rec.Timestamp > best {
				best, segment = rec.Timestamp, k
			}
			return false
		})
		if err != nil {
			return r, false, err
		}
	}
	if segment < 0 {
		return r, false, nil
	}
	return l.firstRecord(v, segment, best, limit, func(rec batch.Record) bool {
		return rec.Offset >= from && rec.Timestamp == best
	})
}
