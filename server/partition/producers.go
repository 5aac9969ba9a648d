package partition

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
)

// retainedBatches is how many of a producer's last batches are remembered, so that a retry of any batch that may still
// be in flight (max.in.flight.requests.per.connection <= 5) is recognised (KIP-98, Kafka's ProducerStateEntry).
const retainedBatches = 5

// noOffset stands for no offset.
const noOffset log.Offset = -1

// noCoordinator is the coordinator epoch of a producer to whom no transaction marker was written yet.
const noCoordinator = -1

// sequenced is one batch of an idempotent producer.
type sequenced struct {
	first, last int32 // sequence numbers of its first and last record
	base        log.Offset
	timestamp   int64 // max timestamp, answered again to a retry
}

// producer is what a partition knows of one producer id.
type producer struct {
	epoch            int16
	coordinatorEpoch int32       // of the last transaction marker
	txnStart         log.Offset  // first offset of the open transaction; noOffset when none is open
	timestamp        int64       // of the last batch or marker, ms
	batches          []sequenced // the last ones, oldest first; all of this epoch. None after a marker that raised the epoch.
	// seen is the tick of the last append. It is local to this replica and not part of the state: expiry only
	// forgets, and a replica that forgets later answers more retries, never fewer.
	seen int64
}

func newProducer(epoch int16) *producer {
	return &producer{epoch: epoch, coordinatorEpoch: noCoordinator, txnStart: noOffset, timestamp: batch.NoTimestamp}
}

// open says whether the producer has a transaction on the partition.
func (p *producer) open() bool { return p.txnStart != noOffset }

// lastSequence is the last sequence number of the epoch, -1 when it has none yet.
func (p *producer) lastSequence() int32 {
	if len(p.batches) == 0 {
		return -1
	}
	return p.batches[len(p.batches)-1].last
}

// raise begins a new epoch, with its own sequence numbers.
func (p *producer) raise(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.batches = epoch, p.batches[:0]
	}
}

// append takes a data batch. It says whether that began a transaction.
func (p *producer) append(h batch.Header) (began bool) {
	p.raise(h.ProducerEpoch)
	if len(p.batches) == retainedBatches {
		copy(p.batches, p.batches[1:])
		p.batches = p.batches[:retainedBatches-1]
	}
	p.batches = append(p.batches, sequencedBatch(h))
	p.timestamp = h.MaxTimestamp
	if h.IsTransactional() && h.Count > 0 && !p.open() { // compaction may leave an empty batch without its marker
		p.txnStart = h.BaseOffset
		return true
	}
	return false
}

// end takes a transaction marker and returns where the transaction began that it ended, noOffset when none was open.
func (p *producer) end(e batch.EndTransaction, timestamp int64) (first log.Offset) {
	first, p.txnStart = p.txnStart, noOffset
	p.raise(e.ProducerEpoch)
	p.coordinatorEpoch, p.timestamp = e.CoordinatorEpoch, timestamp
	return first
}

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

// producerTable is the producers' state of a partition: a pure function of the log (plus expiry).
type producerTable struct {
	producers map[int64]*producer
	open      []openTransaction // ordered by first offset
	tick      int64
}

// openTransaction is a transaction without its marker.
type openTransaction struct {
	first    log.Offset
	producer int64
}

func (t openTransaction) compare(o openTransaction) int { return cmp.Compare(t.first, o.first) }

func newProducerTable() *producerTable { return &producerTable{producers: map[int64]*producer{}} }

// applied records a committed data batch.
func (t *producerTable) applied(h batch.Header) {
	if h.ProducerID < 0 || h.BaseSequence < 0 {
		return
	}
	p := t.producer(h.ProducerID, h.ProducerEpoch)
	if p.append(h) {
		t.open = append(t.open, openTransaction{h.BaseOffset, h.ProducerID})
	}
}

// ended records a committed transaction marker and returns where its transaction began, noOffset when there was none here:
// then it changes nothing for readers.
func (t *producerTable) ended(e batch.EndTransaction, timestamp int64) (first log.Offset) {
	first = t.producer(e.ProducerID, e.ProducerEpoch).end(e, timestamp)
	if first == noOffset {
		return noOffset
	}
	if i, ok := slices.BinarySearchFunc(t.open, openTransaction{first: first}, openTransaction.compare); ok {
		t.open = slices.Delete(t.open, i, i+1)
	}
	return first
}

func (t *producerTable) producer(id int64, epoch int16) *producer {
	p := t.producers[id]
	if p == nil {
		p = newProducer(epoch)
		t.producers[id] = p
	}
	p.seen = t.tick
	return p
}

// firstUnstable is the first offset of the oldest open transaction, noOffset when none is open.
func (t *producerTable) firstUnstable() log.Offset {
	if len(t.open) == 0 {
		return noOffset
	}
	return t.open[0].first
}

// expire forgets producers that appended nothing for ticks ticks (producer.id.expiration.ms), never one with an open
// transaction: its end would be lost.
func (t *producerTable) expire(ticks int64) {
	t.tick++
	for id, p := range t.producers {
		if t.tick-p.seen > ticks && !p.open() {
			delete(t.producers, id)
		}
	}
}

// check decides on a batch that follows the given state, nil when nothing is known of the producer: duplicate is the
// earlier batch that it repeats, if any. v is what the transaction coordinator was asked, nil when it was not. Errors are
// Kafka's: INVALID_PRODUCER_EPOCH, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_TXN_STATE.
func (p *producer) check(h batch.Header, v *Verification) (duplicate *sequenced, err error) {
	next := sequencedBatch(h)
	if p != nil && p.epoch == h.ProducerEpoch {
		for i := range p.batches {
			if b := &p.batches[i]; b.first == next.first && b.last == next.last {
				return b, nil
			}
		}
	}
	if h.IsTransactional() && v == nil && (p == nil || !p.open() || p.epoch != h.ProducerEpoch) {
		return nil, fmt.Errorf("%w: the batch is not part of an ongoing transaction", kerr.InvalidTxnState)
	}
	if err := p.checkSequence(h, v); err != nil {
		return nil, err
	}
	if p != nil && p.open() && !h.IsTransactional() {
		return nil, fmt.Errorf("%w: a batch outside of the producer's open transaction", kerr.InvalidTxnState)
	}
	return nil, nil
}

func (p *producer) checkSequence(h batch.Header, v *Verification) error {
	if p != nil && h.ProducerEpoch < p.epoch {
		return fmt.Errorf("%w: epoch %d, the producer's newest is %d", kerr.InvalidProducerEpoch, h.ProducerEpoch, p.epoch)
	}
	if v != nil && v.lowest >= 0 && h.BaseSequence > v.lowest {
		// An earlier batch is still with the coordinator: it has to come first.
		return fmt.Errorf("%w: got %d, and earlier %d", kerr.OutOfOrderSequenceNumber, h.BaseSequence, v.lowest)
	}
	switch {
	case p == nil:
		// Nothing known: any sequence is accepted, as in Kafka; but a producer whose epoch rises with each transaction begins
		// each of them at 0 (KIP-890).
		if v != nil && v.epochBump && h.BaseSequence != 0 {
			return fmt.Errorf("%w: the first of a transaction is 0, got %d", kerr.OutOfOrderSequenceNumber, h.BaseSequence)
		}
	case h.ProducerEpoch > p.epoch:
		if h.BaseSequence != 0 {
			return fmt.Errorf("%w: a new epoch starts at sequence 0, got %d", kerr.OutOfOrderSequenceNumber, h.BaseSequence)
		}
	default:
		if want := nextSequence(p.lastSequence()); h.BaseSequence != want {
			return fmt.Errorf("%w: want %d, got %d", kerr.OutOfOrderSequenceNumber, want, h.BaseSequence)
		}
	}
	return nil
}
