package batch

import (
	"fmt"
	"math"
)

// minRecordLen is the shortest record: its length and six one-byte fields.
const minRecordLen = 7

// DefaultMaxInflate bounds what a compressed batch may inflate to where nothing else is said: enough for the largest
// requests at ordinary ratios, and a fraction of a second of work.
const DefaultMaxInflate = 256 << 20

// Limits bound what a producer may send. Zero means no bound of ours (the format's own remain), save for MaxInflate.
type Limits struct {
	MaxBytes   int   // of the batch as sent (max.message.bytes)
	MaxRecords int   // in one batch
	MaxInflate int64 // bytes of a compressed batch's records once decompressed; zero is DefaultMaxInflate
}

// Summary is what validation learnt about a batch.
type Summary struct {
	Header Header
	// MaxTimestamp is the largest timestamp of the records, NoTimestamp when none has one. The header may say otherwise:
	// see Batch.SetMaxTimestamp.
	MaxTimestamp int64
	// MinTimestamp is the smallest timestamp of the records that have one, NoTimestamp when none has.
	MinTimestamp int64
	// WithoutKey is how many records have no key: a compacted topic does not take them.
	WithoutKey int32
}

// Validate checks a batch that a producer sent, trusting nothing in it: that b is exactly one batch of format 2 with
// the right CRC, that it asks for nothing that clients may not (control and internal batches, log append time,
// unknown bits), and that its records are well-formed, have offset deltas 0..n-1 and fill it exactly. Compressed
// records are inflated piece by piece and never held as a whole.
//
// Errors are ErrCorrupt, ErrInvalidRecord, ErrInvalidTimestamp, ErrUnsupportedFormat, ErrUnsupportedCodec or
// ErrTooLarge, wrapped.
func Validate(b []byte, limits Limits) (Summary, error) {
	if limits.MaxBytes > 0 && len(b) > limits.MaxBytes {
		return Summary{}, fmt.Errorf("%w: %d bytes, at most %d allowed", ErrTooLarge, len(b), limits.MaxBytes)
	}
	h, err := ParseHeader(b)
	if err != nil {
		return Summary{}, err
	}
	if int(h.Length) != len(b) {
		return Summary{}, fmt.Errorf("%w: length field says %d bytes, there are %d", ErrCorrupt, h.Length, len(b))
	}
	if !Batch(b).CheckCRC() {
		return Summary{}, fmt.Errorf("%w: CRC is %08x, field says %08x", ErrCorrupt, Checksum(b), h.CRC)
	}
	if err := checkProduced(h, limits); err != nil {
		return Summary{}, err
	}
	w := walk{base: h.BaseTimestamp, count: h.Count, minTimestamp: math.MaxInt64, maxTimestamp: NoTimestamp}
	if h.Codec() == CodecNone {
		err = w.slice(b[HeaderLen:])
	} else {
		limit := limits.MaxInflate
		if limit <= 0 {
			limit = DefaultMaxInflate
		}
		err = w.compressed(h.Codec(), b[HeaderLen:], limit)
	}
	if err != nil {
		return Summary{}, err
	}
	if w.minTimestamp == math.MaxInt64 {
		w.minTimestamp = NoTimestamp
	}
	return Summary{Header: h, MaxTimestamp: w.maxTimestamp, MinTimestamp: w.minTimestamp, WithoutKey: w.withoutKey}, nil
}

// checkProduced checks the header fields of a client's batch.
func checkProduced(h Header, limits Limits) error {
	const allowed = AttrCodec | AttrLogAppendTime | AttrTransactional
	switch {
	case h.Attributes&AttrInternal != 0 || h.Attributes&AttrControl != 0:
		return fmt.Errorf("%w: clients may not write control batches", ErrInvalidRecord)
	case h.Attributes&^allowed != 0:
		return fmt.Errorf("%w: attributes %#x", ErrInvalidRecord, h.Attributes)
	case h.Codec() >= codecs:
		return fmt.Errorf("%w: %d", ErrUnsupportedCodec, h.Codec())
	case h.IsLogAppendTime():
		return fmt.Errorf("%w: clients may not set log append time", ErrInvalidTimestamp)
	case h.Count <= 0:
		return fmt.Errorf("%w: %d records", ErrInvalidRecord, h.Count)
	case h.LastOffsetDelta != h.Count-1:
		return fmt.Errorf("%w: last offset delta %d of %d records", ErrInvalidRecord, h.LastOffsetDelta, h.Count)
	case limits.MaxRecords > 0 && int(h.Count) > limits.MaxRecords:
		return fmt.Errorf("%w: %d records, at most %d allowed", ErrTooLarge, h.Count, limits.MaxRecords)
	case h.BaseTimestamp < NoTimestamp:
		return fmt.Errorf("%w: base timestamp %d", ErrInvalidTimestamp, h.BaseTimestamp)
	case h.ProducerID < -1 || h.ProducerID >= 0 && (h.ProducerEpoch < 0 || h.BaseSequence < 0):
		return fmt.Errorf("%w: producer %d with epoch %d, sequence %d",
			ErrInvalidRecord, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
	case h.IsTransactional() && h.ProducerID < 0:
		return fmt.Errorf("%w: transactional without a producer id", ErrInvalidRecord)
	}
	return nil
}
