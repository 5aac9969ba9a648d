package log

import (
	"errors"
	"time"

	"balsa/log/batch"
)

// RetentionPoint returns the offset up to which retention.ms/retention.bytes would delete now, in whole segments and
// never beyond limit. Negative values mean no bound (Kafka's -1). As in Kafka a segment is expired when its newest
// record is older than maxAge, and size deletes while what is left is still maxBytes or more. When everything is expired the
// active segment is rolled, so that it can go too.
func (l *Log) RetentionPoint(maxAge time.Duration, maxBytes int64, limit Offset, now time.Time) Offset {
	v, err := l.view()
	if err != nil {
		return 0
	}
	excess := int64(-1)
	if maxBytes >= 0 {
		excess = l.Size() - maxBytes
	}
	point := v.firstOffset()
	for k := range v.segments {
		size, _, next := v.end(k)
		if size == 0 || next > limit {
			return point
		}
		expired, active := false, k == len(v.segments)-1
		if maxAge >= 0 {
			newest, err := l.newest(&v, k)
			expired = err == nil && newest != batch.NoTimestamp && now.UnixMilli()-newest > maxAge.Milliseconds()
			if err == nil && newest == batch.NoTimestamp && !active {
				expired = hasNoData(&v, k)
			}
		}
		if !expired && (active || maxBytes < 0 || excess-size < 0) {
			return point
		}
		if active && l.rollExpired(&v) != nil {
			return point // a full disk: what is sealed can go first
		}
		excess -= size
		point = next
	}
	return point
}

// hasNoData says whether a segment is known to have no data: compaction removed it all. It must not keep what follows from going.
func hasNoData(v *view, k int) bool {
	more, err := v.segments[k].headers(v.segments[k].size, func(h *batch.Header) bool { return h.IsInternal() })
	return err == nil && more
}

// rollExpired rolls the active segment of v, if it is still that.
func (l *Log) rollExpired(v *view) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	s, size, _ := l.activeState()
	if s != v.segments[len(v.segments)-1] || size != v.size || l.nextOffset == s.base {
		return errNotNow
	}
	return l.roll()
}

// errNotNow means that the active segment changed meanwhile, or has no records.
var errNotNow = errors.New("not now")
