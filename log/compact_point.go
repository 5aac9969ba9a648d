package log

import (
	"time"

	"balsa/log/batch"
)

// Dirty says what there is to compact.
type Dirty struct {
	To         Offset // where compaction could end now: at the end of a sealed segment
	Bytes      int64  // of the segments below To that were not compacted, or not wholly
	CleanBytes int64  // of those before them
	Oldest     int64  // timestamp of the first batch that was not compacted, ms; batch.NoTimestamp when it has none
}

// Ratio is the part of the log that was not compacted, of what could be (min.cleanable.dirty.ratio).
func (d Dirty) Ratio() float64 {
	if d.Bytes == 0 {
		return 0
	}
	return float64(d.Bytes) / float64(d.Bytes+d.CleanBytes)
}

// Dirty returns what could be compacted now, in whole sealed segments, not beyond limit, and nothing in a segment that has a
// record younger than lag (min.compaction.lag.ms).
func (l *Log) Dirty(limit Offset, lag time.Duration, now time.Time) (Dirty, error) {
	v, err := l.view()
	if err != nil {
		return Dirty{}, err
	}
	cleaned := l.CleanedTo()
	d := Dirty{To: cleaned, Oldest: batch.NoTimestamp}
	for k := 0; k+1 < len(v.segments); k++ {
		size, _, next := v.end(k)
		switch {
		case next <= cleaned && v.segments[k].base < cleaned:
			d.CleanBytes += size
			continue
		case next <= cleaned: // internal batches only, behind what is compacted: in what comes next
			d.Bytes += size
			continue
		}
		if next > limit {
			break
		}
		if lag > 0 {
			newest, err := l.newest(&v, k)
			if err != nil {
				return Dirty{}, err
			}
			if now.UnixMilli()-newest < lag.Milliseconds() {
				break
			}
		}
		d.Bytes += size
		d.To = next
	}
	if d.To > cleaned {
		d.Oldest, err = l.oldest(&v, max(cleaned, v.firstOffset()), d.To)
	}
	return d, err
}

// oldest returns the timestamp of the first data batch of v from offset from on and below to.
func (l *Log) oldest(v *view, from, to Offset) (int64, error) {
	found := int64(batch.NoTimestamp)
	err := headers(v, max(v.byOffset(from), 0), func(h *batch.Header) bool {
		if h.BaseOffset < from || h.IsInternal() {
			return h.BaseOffset < to
		}
		if h.BaseOffset < to {
			found = h.MaxTimestamp
		}
		return false
	})
	return found, err
}
