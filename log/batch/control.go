package batch

import (
	"encoding/binary"
	"fmt"
)

// EndTransaction is a transaction marker: the one record of a control batch, which ends a producer's transaction on a
// partition. Unlike our internal batches it is data: it has an offset, and consumers get it.
type EndTransaction struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32 // of the transaction coordinator that wrote it
	Commit           bool  // else the transaction is aborted
}

// Control record types of Kafka (the key of the record of a control batch). Consumers know others and skip them.
const (
	controlAbort  = 0
	controlCommit = 1
)

// Both parts of a control record begin with a version, and later ones only add to their end.
const (
	controlVersion   = 0
	controlKeyLen    = 2 + 2 // version, type
	markerValueLen   = 2 + 4 // version, coordinator epoch
	maxControlRecord = 1 << 10
)

// Build makes the marker's batch: control, transactional, without a sequence number. timestamp is in ms.
func (e EndTransaction) Build(timestamp int64) Batch {
	kind := uint16(controlAbort)
	if e.Commit {
		kind = controlCommit
	}
	key := binary.BigEndian.AppendUint16(make([]byte, 0, controlKeyLen), controlVersion)
	key = binary.BigEndian.AppendUint16(key, kind)
	value := binary.BigEndian.AppendUint16(make([]byte, 0, markerValueLen), controlVersion)
	value = binary.BigEndian.AppendUint32(value, uint32(e.CoordinatorEpoch))
	b := Batch(appendRecord(make([]byte, HeaderLen), Record{Key: key, Value: value}, 0, 0))
	b.putHeader(1, timestamp, timestamp, BuildOptions{
		Producer:      &Producer{ID: e.ProducerID, Epoch: e.ProducerEpoch, Sequence: -1},
		Transactional: true,
		Control:       true,
	})
	return b
}

// ParseEndTransaction decodes a control batch. ok is false when it is another kind of control record, or when
// compaction has emptied it: then it ends no transaction.
func ParseEndTransaction(b Batch) (e EndTransaction, ok bool, err error) {
	r := b.Records(maxControlRecord)
	defer r.Close()
	if !r.Next() {
		return EndTransaction{}, false, r.Err()
	}
	key, value := r.rec.Key, r.rec.Value
	if len(key) < controlKeyLen {
		return EndTransaction{}, false, fmt.Errorf("%w: control record with a key of %d bytes", ErrInvalidRecord, len(key))
	}
	kind := binary.BigEndian.Uint16(key[2:])
	if kind != controlAbort && kind != controlCommit {
		return EndTransaction{}, false, nil
	}
	if len(value) < markerValueLen {
		return EndTransaction{}, false, fmt.Errorf("%w: transaction marker with a value of %d bytes", ErrInvalidRecord, len(value))
	}
	return EndTransaction{
		ProducerID:       r.header.ProducerID,
		ProducerEpoch:    r.header.ProducerEpoch,
		CoordinatorEpoch: int32(binary.BigEndian.Uint32(value[2:])),
		Commit:           kind == controlCommit,
	}, true, nil
}
