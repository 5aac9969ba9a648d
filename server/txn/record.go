package txn

import (
	"fmt"

	"balsa/internal/wire"
)

// FirstRecordKind is the lowest kind of our records, which is a record's first byte. A shard's log holds the records of
// package group as well, whose kinds are below it.
const FirstRecordKind = 64

// recordKind is the first byte of a record. The numbers are on disk: never reuse one.
type recordKind byte

const (
	recordTransactionChanged recordKind = FirstRecordKind
	recordPartitionsAdded    recordKind = FirstRecordKind + 1
	recordTransactionDeleted recordKind = FirstRecordKind + 2
)

// recordVersion is the second byte of a record. A release that changes a layout counts it up and keeps reading the old.
const recordVersion = 1

// record is one durable fact. The layout of each kind is the order of fields in its append method; integers are varints,
// strings are length-prefixed.
type record interface {
	append(e *wire.Encoder)
	apply(s *State)
}

// transactionChanged sets everything about a transactional id except its partitions. Those are forgotten unless the
// transaction goes on or is being ended.
type transactionChanged struct {
	id          string
	transaction Transaction
}

// partitionsAdded adds partitions to an ongoing transaction.
type partitionsAdded struct {
	id         string
	partitions []Partition
	metadata   uint64 // Image.Version by which they were known
}

// transactionDeleted forgets a transactional id.
type transactionDeleted struct{ id string }

func encodeRecord(r record) []byte {
	e := wire.Encoder{B: make([]byte, 0, 96)}
	r.append(&e)
	return e.B
}

func (r transactionChanged) append(e *wire.Encoder) {
	e.U8(byte(recordTransactionChanged))
	e.U8(recordVersion)
	e.Str(r.id)
	t := &r.transaction
	e.U8(byte(t.Status))
	e.Varint(t.ProducerID)
	e.Varint(t.PreviousProducerID)
	e.Varint(t.NextProducerID)
	e.Varint(int64(t.Epoch))
	e.Varint(int64(t.LastEpoch))
	e.Varint(int64(t.Timeout))
	e.Varint(t.StartTime)
	e.Varint(t.UpdateTime)
	e.U8(byte(t.Version))
}

// partitionBytes is the least that a partition takes in a record.
const partitionBytes = 16 + 1

func (r partitionsAdded) append(e *wire.Encoder) {
	e.U8(byte(recordPartitionsAdded))
	e.U8(recordVersion)
	e.Str(r.id)
	e.Uvarint(r.metadata)
	e.Uvarint(uint64(len(r.partitions)))
	for _, p := range r.partitions {
		e.ID(p.Topic)
		e.Varint(int64(p.Partition))
	}
}

func (r transactionDeleted) append(e *wire.Encoder) {
	e.U8(byte(recordTransactionDeleted))
	e.U8(recordVersion)
	e.Str(r.id)
}

// decodeRecord reads any bytes without panicking. Unknown kinds and versions are errors: a record that says more than
// this release understands must not be applied in part.
func decodeRecord(b []byte) (record, error) {
	d := wire.Decoder{B: b}
	kind, version := recordKind(d.U8()), d.U8()
	if d.Err == nil && version != recordVersion {
		return nil, fmt.Errorf("transaction record of kind %d has version %d, this release reads %d", kind, version, recordVersion)
	}
	var r record
	switch kind {
	case recordTransactionChanged:
		r = transactionChanged{id: d.Str(), transaction: decodeTransaction(&d)}
	case recordPartitionsAdded:
		r = decodePartitionsAdded(&d)
	case recordTransactionDeleted:
		r = transactionDeleted{id: d.Str()}
	default:
		d.Fail(fmt.Errorf("unknown kind %d", kind))
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("decode transaction record of kind %d: %w", kind, err)
	}
	return r, nil
}

func decodeTransaction(d *wire.Decoder) Transaction {
	t := Transaction{
		Status: Status(d.U8()), ProducerID: d.Varint(), PreviousProducerID: d.Varint(), NextProducerID: d.Varint(),
		Epoch: decodeEpoch(d), LastEpoch: decodeEpoch(d), Timeout: d.I32(), StartTime: d.Varint(), UpdateTime: d.Varint(),
		Version: int8(d.U8()),
	}
	if d.Err == nil && !t.Status.stored() {
		d.Fail(fmt.Errorf("unknown status %d", t.Status))
	}
	return t
}

func decodeEpoch(d *wire.Decoder) int16 {
	v := d.Varint()
	if v != int64(int16(v)) {
		d.Fail(fmt.Errorf("producer epoch %d does not fit in 16 bits", v))
		return 0
	}
	return int16(v)
}

func decodePartitionsAdded(d *wire.Decoder) partitionsAdded {
	r := partitionsAdded{id: d.Str(), metadata: d.Uvarint()}
	n := d.Count(partitionBytes)
	for range n {
		r.partitions = append(r.partitions, Partition{Topic: d.ID(), Partition: d.I32()})
	}
	return r
}
