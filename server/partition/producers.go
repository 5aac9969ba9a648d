package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/log/batch"
)

// retainedBatches is how many of a producer's last batches are remembered, so that a retry of any batch that may still
// be in flight (max.in.flight.requests.per.connection <= 5) is recognised (KIP-98, Kafka's ProducerStateEntry).
const retainedBatches = 5

// sequenced is one batch of an idempotent producer.
type sequenced struct {
	first, last int32 // sequence numbers of its first and last record
	base        log.Offset
	timestamp   int64 // max timestamp, answered again to a retry
}

// producer is what a partition knows of one producer id.
type producer struct {
	epoch   int16
	batches []sequenced // the last ones, oldest first; all of this epoch
	// seen is the tick of the last append. It is local to this replica and not part of the state: expiry only
	// forgets, and a replica that forgets later answers more retries, never fewer.
	seen int64
}

func (p *producer) last() sequenced { return p.batches[len(p.batches)-1] }

// producerTable is the idempotent producers' state of a partition: a pure function of the log (plus expiry).
type producerTable struct {
	producers map[int64]*producer
	tick      int64
}

func newProducerTable() *producerTable { return &producerTable{producers: map[int64]*producer{}} }

// nextSequence follows s; sequences wrap to 0 after MaxInt32.
func nextSequence(s int32) int32 {
	if s == math.MaxInt32 {
		return 0
	}
	return s + 1
}

// lastSequence is the sequence of a batch's last record.
func lastSequence(first, delta int32) int32 {
	return int32((int64(first) + int64(delta)) % (int64(math.MaxInt32) + 1))
}

func sequencedBatch(h batch.Header) sequenced {
	return sequenced{
		first: h.BaseSequence, last: lastSequence(h.BaseSequence, h.LastOffsetDelta), base: h.BaseOffset,
		timestamp: h.MaxTimestamp,
	}
}

// applied records a committed batch.
func (t *producerTable) applied(h batch.Header) {
	if h.ProducerID < 0 || h.BaseSequence < 0 {
		return
	}
	p := t.producers[h.ProducerID]
	if p == nil || p.epoch != h.ProducerEpoch {
		p = &producer{epoch: h.ProducerEpoch}
		t.producers[h.ProducerID] = p
	}
	if len(p.batches) == retainedBatches {
		copy(p.batches, p.batches[1:])
		p.batches = p.batches[:retainedBatches-1]
	}
	p.batches = append(p.batches, sequencedBatch(h))
	p.seen = t.tick
}

// expire forgets producers that appended nothing for ticks ticks (producer.id.expiration.ms).
func (t *producerTable) expire(ticks int64) {
	t.tick++
	for id, p := range t.producers {
		if t.tick-p.seen > ticks {
			delete(t.producers, id)
		}
	}
}

// check decides on a batch that follows the given state: duplicate is the earlier batch that it repeats, if any. Errors are
// Kafka's: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER.
func (p *producer) check(h batch.Header) (duplicate *sequenced, err error) {
	if p == nil {
		return nil, nil // nothing known: any sequence is accepted, as in Kafka
	}
	next := sequencedBatch(h)
	switch {
	case h.ProducerEpoch < p.epoch:
		return nil, fmt.Errorf("%w: epoch %d, the producer's newest is %d", kerr.InvalidProducerEpoch, h.ProducerEpoch, p.epoch)
	case h.ProducerEpoch > p.epoch:
		if h.BaseSequence != 0 {
			return nil, fmt.Errorf("%w: a new epoch starts at sequence 0, got %d", kerr.OutOfOrderSequenceNumber, h.BaseSequence)
		}
		return nil, nil
	}
	for i := range p.batches {
		if b := &p.batches[i]; b.first == next.first && b.last == next.last {
			return b, nil
		}
	}
	if want := nextSequence(p.last().last); next.first != want {
		return nil, fmt.Errorf("%w: want %d, got %d", kerr.OutOfOrderSequenceNumber, want, next.first)
	}
	return nil, nil
}

var errProducerState = errors.New("malformed producer state")

// appendTo encodes the table, ordered by producer id.
func (t *producerTable) appendTo(b []byte) []byte {
	ids := make([]int64, 0, len(t.producers))
	for id := range t.producers {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	b = binary.AppendUvarint(b, uint64(len(ids)))
	for _, id := range ids {
		p := t.producers[id]
		b = binary.AppendVarint(b, id)
		b = binary.AppendVarint(b, int64(p.epoch))
		b = binary.AppendUvarint(b, uint64(len(p.batches)))
		for _, s := range p.batches {
			b = binary.AppendVarint(b, int64(s.first))
			b = binary.AppendVarint(b, int64(s.last))
			b = binary.AppendVarint(b, int64(s.base))
			b = binary.AppendVarint(b, s.timestamp)
		}
	}
	return b
}

// decodeProducers is the inverse of appendTo.
func decodeProducers(b []byte) (*producerTable, error) {
	t := newProducerTable()
	d := wire.Decoder{B: b}
	for n := d.Uvarint(); n > 0 && d.Err == nil; n-- {
		id := d.Varint()
		p := &producer{epoch: int16(d.Varint())}
		for k := d.Uvarint(); k > 0 && d.Err == nil; k-- {
			p.batches = append(p.batches, sequenced{
				first: int32(d.Varint()), last: int32(d.Varint()), base: log.Offset(d.Varint()), timestamp: d.Varint(),
			})
		}
		if len(p.batches) == 0 || len(p.batches) > retainedBatches {
			return nil, errProducerState
		}
		t.producers[id] = p
	}
	if d.End() != nil {
		return nil, errProducerState
	}
	return t, nil
}
