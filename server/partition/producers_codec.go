package partition

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"balsa/internal/wire"
	"balsa/log"
)

var errProducerState = errors.New("malformed producer state")

// appendTo encodes the table, ordered by producer id.
func (t *producerTable) appendTo(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.producers)))
	for _, id := range slices.Sorted(maps.Keys(t.producers)) {
		p := t.producers[id]
		b = binary.AppendVarint(b, id)
		b = binary.AppendVarint(b, int64(p.epoch))
		b = binary.AppendVarint(b, int64(p.coordinatorEpoch))
		b = binary.AppendVarint(b, int64(p.txnStart))
		b = binary.AppendVarint(b, p.timestamp)
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

// decodeProducers is the inverse of appendTo. Version 1 of the machine's state knew no transactions.
func decodeProducers(b []byte, version byte) (*producerTable, error) {
	t := newProducerTable()
	d := wire.Decoder{B: b}
	for n := d.Uvarint(); n > 0 && d.Err == nil; n-- {
		id := d.Varint()
		p := newProducer(int16(d.Varint()))
		if version > 1 {
			p.coordinatorEpoch, p.txnStart, p.timestamp = d.I32(), log.Offset(d.Varint()), d.Varint()
		}
		for k := d.Count(4); k > 0; k-- {
			p.batches = append(p.batches, sequenced{
				first: int32(d.Varint()), last: int32(d.Varint()), base: log.Offset(d.Varint()), timestamp: d.Varint(),
			})
		}
		if len(p.batches) > retainedBatches || version == 1 && len(p.batches) == 0 || p.txnStart < noOffset {
			return nil, errProducerState
		}
		if version == 1 {
			p.timestamp = p.batches[len(p.batches)-1].timestamp
		}
		if p.open() {
			t.open = append(t.open, openTransaction{p.txnStart, id})
		}
		t.producers[id] = p
	}
	if d.End() != nil {
		return nil, errProducerState
	}
	slices.SortFunc(t.open, openTransaction.compare)
	for i := 1; i < len(t.open); i++ {
		if t.open[i].first == t.open[i-1].first {
			return nil, errProducerState // two batches cannot begin at one offset
		}
	}
	return t, nil
}

// ProducerState is what a partition knows of a producer, for DescribeProducers (KIP-664).
type ProducerState struct {
	ProducerID       int64
	ProducerEpoch    int16
	LastSequence     int32      // -1 when there is none of this epoch
	LastTimestamp    int64      // ms, of its last batch or marker
	CoordinatorEpoch int32      // of its last transaction marker; -1 when there was none
	TransactionStart log.Offset // first offset of its open transaction; -1 when none is open
}

func (t *producerTable) states() []ProducerState {
	states := make([]ProducerState, 0, len(t.producers))
	for _, id := range slices.Sorted(maps.Keys(t.producers)) {
		p := t.producers[id]
		states = append(states, ProducerState{
			ProducerID: id, ProducerEpoch: p.epoch, LastSequence: p.lastSequence(), LastTimestamp: p.timestamp,
			CoordinatorEpoch: p.coordinatorEpoch, TransactionStart: p.txnStart,
		})
	}
	return states
}
