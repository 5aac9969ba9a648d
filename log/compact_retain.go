package log

import (
	"encoding/binary"
	"maps"
	"sort"

	"balsa/log/batch"
)

// retention decides what compaction keeps. Its decisions follow from the log alone, but for the producers that are active,
// so that all replicas keep the same records. It sees the batches of the log from its start, in order.
type retention struct {
	upTo    Offset // what begins here or later stays as it is
	dropTo  Offset // tombstones and markers below go
	latest  *offsetMap
	aborted abortedRuns
	active  map[int64]ActiveProducer
	// last is the last entry of each kind of which only the last one counts; 0 when there is none that is not compacted.
	last map[batch.Kind]Index
	// start is the highest log start that an entry sets which is not compacted, startAt the last such entry. (Of two that were on
	// their way at once the later one may be lower, and sets nothing.)
	start   Offset
	startAt Index
	// shares is the last entry of each share group that replaces its state, if it is not compacted; readShare is CompactArgs.Share.
	shares    map[string]Index
	readShare func(payload []byte) (ShareEntry, bool)
	// end is the base offset of the last data batch below upTo. It stays, if only as an empty one: a consumer that
	// reads to the end of the log gets there.
	end Offset
	// open holds the producers that have records of a transaction whose marker is yet to come.
	open map[int64]bool

	done Removed
}

// clone returns a copy that goes its own way.
func (r *retention) clone() *retention {
	c := *r
	c.open = maps.Clone(r.open)
	return &c
}

// keep returns what stays of a batch, nil for nothing.
func (r *retention) keep(b batch.Batch, h *batch.Header, i Index) (batch.Batch, error) {
	switch {
	case h.BaseOffset >= r.upTo:
		return b, nil
	case h.Kind == batch.KindShare:
		if r.keepShare(b, h, i) {
			return b, nil
		}
		r.done.Shares++
		return nil, nil
	case h.IsInternal():
		if r.superseded(b, h.Kind, i) {
			return nil, nil
		}
		return b, nil
	case h.IsControl():
		if r.keepMarker(h) {
			return b, nil
		}
		r.done.Markers++
		return nil, nil
	}
	return r.filter(b, h)
}

// superseded says whether an entry of a kind means nothing any more. Kinds that are not known here stay, and so do all
// configurations of the group: a replica that copies this log must learn who its members are.
func (r *retention) superseded(b batch.Batch, k batch.Kind, i Index) bool {
	switch k {
	case batch.KindNoop, batch.KindBarrier, batch.KindGap:
		return true
	case batch.KindLogStart:
		return i < r.startAt && logStart(b) <= r.start
	case batch.KindCompaction:
		return i < r.last[k]
	default:
		return false
	}
}

// logStart returns what an entry of batch.KindLogStart sets.
func logStart(b batch.Batch) Offset {
	if p := b.InternalPayload(); len(p) >= 8 {
		return Offset(binary.BigEndian.Uint64(p))
	}
	return 0
}

// keepShare decides on an entry about a share group: it goes if a later one replaces the group's state. A deletion goes as a
// tombstone does, once no replica has the state any more, nor an entry from which one that copies its log would make it again.
func (r *retention) keepShare(b batch.Batch, h *batch.Header, i Index) bool {
	e, ok := r.share(b)
	if !ok {
		return true
	}
	return i >= r.shares[e.Group] && !(e.Deletes && h.BaseOffset < r.dropTo)
}

func (r *retention) share(b batch.Batch) (ShareEntry, bool) {
	if r.readShare == nil {
		return ShareEntry{}, false
	}
	return r.readShare(b.InternalPayload())
}

// keepMarker decides on a transaction marker: it stays as long as there are records of its transaction, since a reader, and a
// replica that copies this log, would else take that for open. (Records of an aborted one go before, in an earlier run.)
func (r *retention) keepMarker(h *batch.Header) bool {
	hadRecords := r.open[h.ProducerID]
	delete(r.open, h.ProducerID)
	if hadRecords || h.BaseOffset >= r.dropTo || h.BaseOffset == r.end {
		return true
	}
	p, ok := r.active[h.ProducerID]
	return ok && p.LastBatch < 0 && p.Epoch == h.ProducerEpoch
}

// filter keeps those of a batch's records that are the last of their keys.
func (r *retention) filter(b batch.Batch, h *batch.Header) (batch.Batch, error) {
	r.done.RecordsRead += int64(h.Count)
	aborted := false
	if h.IsTransactional() && h.Count > 0 {
		r.open[h.ProducerID] = true
		aborted = r.aborted.has(h.ProducerID, h.BaseOffset)
	}
	kept := int64(0)
	b, err := b.Filter(batch.MaxLen, func(rec batch.Record) bool {
		if aborted {
			r.done.Aborted++
			return false
		}
		if !r.keepRecord(&rec) {
			return false
		}
		kept++
		return true
	})
	if err != nil {
		return nil, err
	}
	r.done.RecordsKept += kept
	if kept == 0 && !r.keepEmpty(h) {
		return nil, nil
	}
	return b, nil
}

func (r *retention) keepRecord(rec *batch.Record) bool {
	switch {
	case rec.Key == nil:
		r.done.WithoutKey++
		return false
	case rec.Offset < r.latest.last(rec.Key):
		return false
	case rec.Value == nil && rec.Offset < r.dropTo:
		r.done.Tombstones++
		return false
	}
	return true
}

// keepEmpty says whether a batch without records stays.
func (r *retention) keepEmpty(h *batch.Header) bool {
	if h.BaseOffset == r.end {
		return true
	}
	p, ok := r.active[h.ProducerID]
	return ok && h.ProducerID >= 0 && p.LastBatch == h.BaseOffset
}

// abortedRuns are the aborted transactions of each producer, in order.
type abortedRuns map[int64][]abortedRun

type abortedRun struct{ first, marker Offset }

func (a abortedRuns) add(producer int64, first, marker Offset) {
	a[producer] = append(a[producer], abortedRun{first, marker})
}

// has says whether a producer's batch at o belongs to an aborted transaction.
func (a abortedRuns) has(producer int64, o Offset) bool {
	runs := a[producer]
	k := sort.Search(len(runs), func(k int) bool { return runs[k].marker > o })
	return k < len(runs) && runs[k].first <= o
}
