package log

import (
	"context"
	"maps"

	"balsa/log/batch"
)

// survey reads what was not compacted yet, from `from` on, and finds the last record of each key: as far as the map goes.
func (c *compaction) survey(ctx context.Context, v *view, from Offset) (*retention, error) {
	to := c.args.To
	keys, err := c.records(v, from, to)
	if err != nil {
		return nil, err
	}
	r := &retention{
		upTo: to, dropTo: c.args.DropTo, last: map[batch.Kind]Index{}, end: -1, open: map[int64]bool{}, done: c.done.Removed,
		latest: newOffsetMap(keys), shares: map[string]Index{}, readShare: c.args.Share,
	}
	if r.aborted, err = c.log.abortedBelow(to); err != nil {
		return nil, err
	}
	if c.args.Active != nil {
		r.active = maps.Clone(c.args.Active())
	}
	for k := max(v.byOffset(from), 0); k+1 < len(v.segments) && v.segments[k].base < r.upTo; k++ {
		if err := c.surveySegment(ctx, v.segments[k], from, r); err != nil {
			return nil, err
		}
	}
	if r.end < 0 {
		r.end, err = c.lastBatch(v, from)
	}
	return r, err
}

func (c *compaction) surveySegment(ctx context.Context, s *segment, from Offset, r *retention) error {
	in, err := c.read(ctx, s)
	if err != nil {
		return err
	}
	defer in.release()
	for {
		if more, err := in.next(); err != nil || !more || in.header.BaseOffset >= r.upTo {
			return err
		}
		h := &in.header
		if h.BaseOffset < from {
			continue
		}
		if h.IsInternal() {
			r.surveyInternal(in.raw, h.Kind, in.index)
			continue
		}
		data := h.Count > 0 && !h.IsControl() && !(h.IsTransactional() && r.aborted.has(h.ProducerID, h.BaseOffset))
		if data && !r.latest.room(int(h.Count)) {
			r.upTo = h.BaseOffset // what the map does not hold is for the next round
			return nil
		}
		r.end = h.BaseOffset
		if data {
			if err := r.latest.putAll(in.raw); err != nil {
				return corrupt(s.data.path, in.pos, "%v", err)
			}
		}
	}
}

// surveyInternal takes note of an internal batch.
func (r *retention) surveyInternal(b batch.Batch, k batch.Kind, i Index) {
	switch k {
	case batch.KindLogStart:
		if o := logStart(b); o >= r.start {
			r.start, r.startAt = o, i
		}
	case batch.KindShare:
		if e, ok := r.share(b); ok && e.Replaces {
			r.shares[e.Group] = i
		}
	default:
		r.last[k] = i
	}
}

// putAll notes the records of a batch.
func (m *offsetMap) putAll(b batch.Batch) error {
	records := b.Records(batch.MaxLen)
	defer records.Close()
	for records.Next() {
		if rec := records.Record(); rec.Key != nil {
			m.put(rec.Key, rec.Offset)
		}
	}
	return records.Err()
}

// records says for how many keys the map must have room: as many as there are records, or as the memory allows, but at least
// those of the first batch.
func (c *compaction) records(v *view, from, to Offset) (int, error) {
	most := int64(mapKeys(c.args.Buffer))
	sum := int64(0)
	err := headers(v, max(v.byOffset(from), 0), func(h *batch.Header) bool {
		if h.BaseOffset < from || h.IsInternal() || h.IsControl() {
			return true
		}
		if h.BaseOffset >= to || sum > 0 && sum+int64(h.Count) > most {
			sum = max(sum, min(most, sum+int64(h.Count)))
			return false
		}
		sum += int64(h.Count)
		return true
	})
	return int(sum), err
}

// lastBatch returns the base offset of the last data batch before o, -1 when there is none.
func (c *compaction) lastBatch(v *view, o Offset) (Offset, error) {
	for k := max(v.byOffset(o), 0); k >= 0; k-- {
		last := Offset(-1)
		one := view{segments: v.segments[:k+1], size: v.segments[k].size}
		err := headers(&one, k, func(h *batch.Header) bool {
			if h.BaseOffset < o && !h.IsInternal() {
				last = h.BaseOffset
			}
			return h.BaseOffset < o
		})
		if err != nil || last >= 0 {
			return last, err
		}
	}
	return -1, nil
}

// headers calls fn for each batch of v from segment k on, until it returns false.
func headers(v *view, k int, fn func(*batch.Header) bool) error {
	for ; k < len(v.segments); k++ {
		end, _, _ := v.end(k)
		more, err := v.segments[k].headers(end, fn)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (s *segment) headers(end int64, fn func(*batch.Header) bool) (more bool, err error) {
	cur, err := s.cursor(indexEntry{}, end)
	if err != nil {
		return false, err
	}
	defer cur.release()
	for {
		if ok, err := cur.load(); err != nil || !ok {
			return err == nil, err
		}
		if !fn(&cur.header) {
			return false, nil
		}
		cur.next()
	}
}
