package partition

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/server/share"
)

// Headers of records in a queue that ask for a delay. Values are decimal numbers; others are taken for none.
const (
	// DeliverAtHeader is when the record becomes available, in ms since 1970.
	DeliverAtHeader = "balsa.deliver.at"
	// DelayHeader is how long after its timestamp the record becomes available, in ms.
	DelayHeader = "balsa.delay.ms"
)

// delayPrefix is what both begin with.
const delayPrefix = "balsa.de"

// shareScan is what a read of the log brought for a share group.
type shareScan struct {
	data    []byte // the batches, one after the other
	ends    []int  // of each of batches in data; a batch that is skipped for being a hole has no bytes
	batches []share.Batch
}

// scanShare takes a slice apart, which was read for span, with at least one batch if there is any. Offsets in span that no record has are
// skipped: the leader passes them like records that are decided.
func (p *Partition) scanShare(s log.Slice, span shareSpan) (shareScan, error) {
	data, err := s.AppendTo(nil)
	if err != nil {
		return shareScan{}, readError(err)
	}
	scan := shareScan{data: data}
	if s.Bytes == 0 {
		return scan, p.skipHole(&scan, span.from, span.to-1, 0)
	}
	var aborted []log.AbortedTxn
	if span.committed {
		if aborted, err = p.plog.AbortedTxns(span.from, s.NextOffset); err != nil {
			return shareScan{}, readError(err)
		}
	}
	next := span.from
	for at := 0; at < len(data); {
		b := batch.Batch(data[at:])
		h, err := batch.ParseHeader(b)
		if err != nil || int(h.Length) > len(b) {
			return shareScan{}, fmt.Errorf("%w: batch at offset %d: %w", kerr.KafkaStorageError, next, err)
		}
		at += int(h.Length)
		if h.BaseOffset > next {
			if err := p.skipHole(&scan, next, h.BaseOffset-1, at-int(h.Length)); err != nil {
				return shareScan{}, err
			}
		}
		next = h.NextOffset()
		if h.IsControl() || isAborted(&h, aborted) {
			scan.skip(h.BaseOffset, h.LastOffset(), at)
			continue
		}
		found := share.Batch{First: h.BaseOffset, Last: h.LastOffset()}
		holes := int64(h.Count) != int64(h.LastOffsetDelta)+1 // compaction has taken records out
		if holes || span.keys || span.delays && mayDelay(b[:h.Length], &h) {
			if found.Records, err = shareRecords(b[:h.Length], span); err != nil {
				return shareScan{}, err
			}
		}
		scan.add(found, at)
	}
	return scan, nil
}

// skipHole passes offsets that no record has, which only compaction leaves. Nobody would miss what is skipped, so it had better be true.
func (p *Partition) skipHole(scan *shareScan, first, last log.Offset, end int) error {
	if !p.machine.Compacted() {
		return fmt.Errorf("%w: the log was never compacted, and a read found no record of offsets %d to %d", kerr.KafkaStorageError, first, last)
	}
	scan.skip(first, last, end)
	return nil
}

func (s *shareScan) add(b share.Batch, end int) {
	s.batches, s.ends = append(s.batches, b), append(s.ends, end)
}

func (s *shareScan) skip(first, last log.Offset, end int) {
	s.add(share.Batch{First: first, Last: last, Skip: true}, end)
}

// isAborted says whether a batch belongs to one of the aborted transactions.
func isAborted(h *batch.Header, aborted []log.AbortedTxn) bool {
	return h.IsTransactional() && slices.ContainsFunc(aborted, func(t log.AbortedTxn) bool {
		return t.ProducerID == h.ProducerID && t.First <= h.BaseOffset && h.BaseOffset <= t.Last
	})
}

// mayDelay says whether a record of the batch may ask for a delay, without looking at the records.
func mayDelay(b batch.Batch, h *batch.Header) bool {
	return h.Codec() != batch.CodecNone || bytes.Contains(b[batch.HeaderLen:], []byte(delayPrefix))
}

// shareRecords returns what matters about each record of a batch.
func shareRecords(b batch.Batch, span shareSpan) ([]share.Record, error) {
	out := []share.Record{} // not nil, which would stand for a batch that nobody looked into
	r := b.Records(batch.DefaultMaxInflate)
	defer r.Close()
	for r.Next() {
		rec := r.Record()
		found := share.Record{Offset: rec.Offset}
		if span.keys && rec.Key != nil {
			found.Key = keyHash(rec.Key)
		}
		if span.delays {
			found.DeliverAt = min(deliverAt(&rec), span.latest)
		}
		out = append(out, found)
	}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
	}
	return out, nil
}

// keySeed is for the life of the process: a hash of a key is never stored, and clients cannot make keys collide.
var keySeed = maphash.MakeSeed()

// keyHash is never 0, which stands for no key.
func keyHash(key []byte) uint64 { return max(maphash.Bytes(keySeed, key), 1) }

// deliverAt returns when a record becomes available, in ms since 1970; 0: at once.
func deliverAt(rec *batch.Record) int64 {
	for _, h := range rec.Headers {
		var base int64
		switch string(h.Key) {
		case DeliverAtHeader:
		case DelayHeader:
			base = rec.Timestamp
		default:
			continue
		}
		if ms, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil && ms > 0 && base+ms > 0 {
			return base + ms
		}
	}
	return 0
}

// records returns the batches that hold any of what was acquired, which is in the order of offsets.
func (s *shareScan) records(acquired []share.Acquisition) []byte {
	var out []byte
	start := 0
	for i, b := range s.batches {
		for len(acquired) > 0 && acquired[0].Last < b.First {
			acquired = acquired[1:]
		}
		if len(acquired) > 0 && acquired[0].First <= b.Last && !b.Skip {
			out = append(out, s.data[start:s.ends[i]]...)
		}
		start = s.ends[i]
	}
	return out
}

// learnKeys tells the leader's copy the keys of the records that are not decided yet, after it was made anew. The caller holds
// p.shares.mu, also while this reads: nothing can be decided before.
func (p *Partition) learnKeys(g *shareGroup) error {
	for {
		from, to, ok := g.leader.NeedsKeys(g.policy)
		if !ok {
			return nil
		}
		if from >= p.plog.NextOffset() { // handed over, and given back since: see handOff
			return fmt.Errorf("%w: the record at offset %d is not written yet", kerr.KafkaStorageError, from)
		}
		span := shareSpan{from: from, to: p.plog.NextOffset(), keys: true} // the window may be ahead of the high watermark
		slice, err := p.plog.Read(span.from, span.to, maxShareRead, true)  // `to` may lie within a batch
		if err != nil {
			return readError(err)
		}
		found, err := p.scanShare(slice, span)
		next := slice.NextOffset
		slice.Release()
		if err != nil {
			return err
		}
		if next <= from || next > to {
			next = to // nothing is left there, or the last batch reaches beyond
		}
		var records []share.Record
		for _, b := range found.batches {
			for _, rec := range b.Records {
				if rec.Offset >= from && rec.Offset < next {
					records = append(records, rec)
				}
			}
		}
		p.changed(g, g.leader.LearnKeys(from, next, records))
	}
}
