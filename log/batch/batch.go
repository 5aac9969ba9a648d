// Package batch is Kafka's record batch v2 as a view of bytes: accessors, validation, records, building. No I/O.
//
// All integers are big endian. The CRC-32C covers everything from the attributes on; base offset, length, leader epoch
// and magic lie before it, so that a broker can number a batch without touching its checksum.
package batch

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

type (
	// Offset is a record's position in its partition.
	Offset int64
	// Epoch is a leader epoch: the Raft term of the leader that numbered the batch.
	Epoch int32
)

var (
	// ErrCorrupt means that the bytes are not what was meant to be there: sizes disagree or the CRC is wrong.
	ErrCorrupt = errors.New("corrupt record batch")
	// ErrInvalidRecord means that the batch arrived as it was sent but breaks the rules of the format.
	ErrInvalidRecord = errors.New("invalid record batch")
	// ErrInvalidTimestamp means that a timestamp, or the timestamp type, is not one that a client may send.
	ErrInvalidTimestamp = errors.New("invalid timestamp")
	// ErrUnsupportedFormat means message format v0 or v1, or one from the future.
	ErrUnsupportedFormat = errors.New("unsupported message format")
	// ErrUnsupportedCodec means a compression type that does not exist.
	ErrUnsupportedCodec = errors.New("unsupported compression type")
	// ErrTooLarge means that a batch exceeds a limit of size, of records or of decompressed bytes.
	ErrTooLarge = errors.New("record batch too large")
)

// HeaderLen is the length of a batch header, up to and including the record count.
const HeaderLen = 61

// Magic is the version of the only message format that is stored.
const Magic = 2

// MaxLen is the longest batch that a length field can express.
const MaxLen = 1<<31 - 1

// Byte positions of the header's fields.
const (
	posLength          = 8
	posEpoch           = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posBaseTimestamp   = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posCount           = 57

	// prefixLen is what the length field does not count: base offset and the field itself.
	prefixLen = 12
)

// Bits of the attributes. AttrInternal is ours, from the range that Kafka has not given a meaning.
const (
	AttrCodec         = 0x07
	AttrLogAppendTime = 0x08
	AttrTransactional = 0x10
	AttrControl       = 0x20
	AttrDeleteHorizon = 0x40
	AttrInternal      = 1 << 14
)

// NoTimestamp is the timestamp of a record that has none.
const NoTimestamp = -1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is one whole record batch. Its methods, Header apart, expect at least HeaderLen bytes.
type Batch []byte

// Header decodes the header of a batch known to be valid; it panics on one that is not.
func (b Batch) Header() Header {
	h, err := ParseHeader(b)
	if err != nil {
		panic("batch: header of an invalid batch: " + err.Error())
	}
	return h
}

// Attributes returns the attribute bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[posAttributes:])) }

// Codec returns the compression type, which may be one that does not exist.
func (b Batch) Codec() Codec { return Codec(b.Attributes() & AttrCodec) }

// IsInternal says whether b is a batch of our own kind.
func (b Batch) IsInternal() bool { return b.Attributes()&AttrInternal != 0 }

// Payload is everything behind the header, as a sub-slice.
func (b Batch) Payload() []byte { return b[HeaderLen:] }

// Stamp sets base offset and leader epoch in place: they lie outside the CRC.
func (b Batch) Stamp(o Offset, e Epoch) {
	binary.BigEndian.PutUint64(b, uint64(o))
	binary.BigEndian.PutUint32(b[posEpoch:], uint32(e))
}

// SetMaxTimestamp overwrites the largest timestamp and the timestamp type, and renews the CRC. With logAppendTime, ts is
// the timestamp of every record (message.timestamp.type=LogAppendTime).
func (b Batch) SetMaxTimestamp(ts int64, logAppendTime bool) {
	attributes := b.Attributes() &^ AttrLogAppendTime
	if logAppendTime {
		attributes |= AttrLogAppendTime
	}
	binary.BigEndian.PutUint16(b[posAttributes:], uint16(attributes))
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], uint64(ts))
	b.seal()
}

// CheckCRC says whether the checksum is right.
func (b Batch) CheckCRC() bool { return binary.BigEndian.Uint32(b[posCRC:]) == Checksum(b) }

// Checksum computes the CRC that b should have.
func Checksum(b []byte) uint32 { return crc32.Checksum(b[posAttributes:], castagnoli) }

// seal writes the length field and the CRC.
func (b Batch) seal() {
	binary.BigEndian.PutUint32(b[posLength:], uint32(len(b)-prefixLen))
	binary.BigEndian.PutUint32(b[posCRC:], Checksum(b))
}
