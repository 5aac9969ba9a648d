package batch

import (
	"encoding/binary"
	"fmt"
)

// Producer identifies the idempotent producer of a batch.
type Producer struct {
	ID       int64
	Epoch    int16
	Sequence int32 // of the first record
}

// BuildOptions say what BuildRecords puts around the records.
type BuildOptions struct {
	Codec         Codec
	Producer      *Producer // nil: none
	Transactional bool
	Control       bool // a transaction marker
	LogAppendTime bool
}

// Build makes a data batch of one record per value (null keys), uncompressed, with base offset 0 and no producer; used by
// the coordinators' logs. timestamp is in ms. A nil value is a null value. Without values it panics: no batch is empty.
func Build(values [][]byte, timestamp int64) Batch {
	if len(values) == 0 {
		panic("batch: build of an empty batch")
	}
	size := HeaderLen
	for _, v := range values {
		size += len(v) + 24
	}
	b := make(Batch, HeaderLen, size)
	for i, v := range values {
		b = appendRecord(b, Record{Value: v}, 0, int32(i))
	}
	b.putHeader(int32(len(values)), timestamp, timestamp, BuildOptions{})
	return b
}

// BuildRecords makes a data batch with base offset 0. Records get consecutive offsets, whatever their Offset says; the
// first one's timestamp is the base.
func BuildRecords(records []Record, opts BuildOptions) (Batch, error) {
	if len(records) == 0 {
		return nil, fmt.Errorf("build: %w: no records", ErrInvalidRecord)
	}
	base, largest := records[0].Timestamp, records[0].Timestamp
	var payload []byte
	for i, rec := range records {
		payload = appendRecord(payload, rec, rec.Timestamp-base, int32(i))
		largest = max(largest, rec.Timestamp)
	}
	payload, err := Compress(opts.Codec, payload)
	if err != nil {
		return nil, err
	}
	if len(payload) > MaxLen-HeaderLen {
		return nil, fmt.Errorf("build: %w: %d bytes", ErrTooLarge, len(payload))
	}
	b := make(Batch, HeaderLen, HeaderLen+len(payload))
	b = append(b, payload...)
	b.putHeader(int32(len(records)), base, largest, opts)
	return b, nil
}

// putHeader fills in the header of a batch whose payload is complete.
func (b Batch) putHeader(count int32, base, largest int64, opts BuildOptions) {
	attributes := uint16(opts.Codec)
	if opts.Transactional {
		attributes |= AttrTransactional
	}
	if opts.Control {
		attributes |= AttrControl
	}
	if opts.LogAppendTime {
		attributes |= AttrLogAppendTime
	}
	p := opts.Producer
	if p == nil {
		p = &Producer{ID: -1, Epoch: -1, Sequence: -1}
	}
	b[posMagic] = Magic
	binary.BigEndian.PutUint16(b[posAttributes:], attributes)
	binary.BigEndian.PutUint32(b[posLastOffsetDelta:], uint32(count-1))
	binary.BigEndian.PutUint64(b[posBaseTimestamp:], uint64(base))
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(largest))
	binary.BigEndian.PutUint64(b[posProducerID:], uint64(p.ID))
	binary.BigEndian.PutUint16(b[posProducerEpoch:], uint16(p.Epoch))
	binary.BigEndian.PutUint32(b[posBaseSequence:], uint32(p.Sequence))
	binary.BigEndian.PutUint32(b[posCount:], uint32(count))
	b.seal()
}

func appendRecord(dst []byte, rec Record, timestampDelta int64, offsetDelta int32) []byte {
	dst = appendVarint(dst, int64(bodyLen(rec, timestampDelta, offsetDelta)))
	dst = append(dst, 0)
	dst = appendVarint(dst, timestampDelta)
	dst = appendVarint(dst, int64(offsetDelta))
	dst = appendField(dst, rec.Key)
	dst = appendField(dst, rec.Value)
	dst = appendVarint(dst, int64(len(rec.Headers)))
	for _, h := range rec.Headers {
		dst = appendVarint(dst, int64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = appendField(dst, h.Value)
	}
	return dst
}

func appendField(dst, value []byte) []byte {
	if value == nil {
		return append(dst, 1) // -1
	}
	dst = appendVarint(dst, int64(len(value)))
	return append(dst, value...)
}

func fieldLen(value []byte) int {
	if value == nil {
		return 1
	}
	return varintLen(int64(len(value))) + len(value)
}

func bodyLen(rec Record, timestampDelta int64, offsetDelta int32) int {
	n := 1 + varintLen(timestampDelta) + varintLen(int64(offsetDelta)) + fieldLen(rec.Key) + fieldLen(rec.Value) +
		varintLen(int64(len(rec.Headers)))
	for _, h := range rec.Headers {
		n += varintLen(int64(len(h.Key))) + len(h.Key) + fieldLen(h.Value)
	}
	return n
}
