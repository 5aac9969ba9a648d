package batch

import (
	"encoding/binary"
	"fmt"
)

// Header is a decoded batch header.
type Header struct {
	BaseOffset      Offset
	Length          int32 // of the whole batch in bytes, including offset and length field
	Epoch           Epoch
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32
	Kind            Kind
}

// ParseHeader decodes the first HeaderLen bytes of b without trusting them. What it accepts has a length that can be,
// the right magic, and an offset delta and record count that fit its kind; the CRC is not checked. b may be longer or
// shorter than the batch.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("%w: %d bytes are no header", ErrCorrupt, len(b))
	}
	if b[posMagic] != Magic {
		return Header{}, fmt.Errorf("%w: magic %d", ErrUnsupportedFormat, b[posMagic])
	}
	length := int64(int32(binary.BigEndian.Uint32(b[posLength:]))) + prefixLen
	if length < HeaderLen || length > MaxLen {
		return Header{}, fmt.Errorf("%w: length field says %d bytes", ErrCorrupt, length)
	}
	h := Header{
		BaseOffset:      Offset(binary.BigEndian.Uint64(b)),
		Length:          int32(length),
		Epoch:           Epoch(binary.BigEndian.Uint32(b[posEpoch:])),
		CRC:             binary.BigEndian.Uint32(b[posCRC:]),
		Attributes:      int16(binary.BigEndian.Uint16(b[posAttributes:])),
		LastOffsetDelta: int32(binary.BigEndian.Uint32(b[posLastOffsetDelta:])),
		BaseTimestamp:   int64(binary.BigEndian.Uint64(b[posBaseTimestamp:])),
		MaxTimestamp:    int64(binary.BigEndian.Uint64(b[posMaxTimestamp:])),
		ProducerID:      int64(binary.BigEndian.Uint64(b[posProducerID:])),
		ProducerEpoch:   int16(binary.BigEndian.Uint16(b[posProducerEpoch:])),
		BaseSequence:    int32(binary.BigEndian.Uint32(b[posBaseSequence:])),
		Count:           int32(binary.BigEndian.Uint32(b[posCount:])),
	}
	return h, h.checkKind()
}

// checkKind sets Kind, and checks what distinguishes internal batches from data.
func (h *Header) checkKind() error {
	if h.Attributes&AttrInternal == 0 {
		if h.LastOffsetDelta < 0 || h.Count < 0 {
			return fmt.Errorf("%w: last offset delta %d, %d records", ErrInvalidRecord, h.LastOffsetDelta, h.Count)
		}
		return nil
	}
	gap := h.ProducerEpoch == int16(KindGap)
	if h.Attributes != internalAttributes || h.LastOffsetDelta != -1 && !gap || h.Count != 0 {
		return fmt.Errorf("%w: internal, with attributes %#x, last offset delta %d, %d records",
			ErrInvalidRecord, h.Attributes, h.LastOffsetDelta, h.Count)
	}
	if gap && (h.LastOffsetDelta < -1 || h.ProducerID < 1 || h.ProducerID > MaxGap || h.Length != HeaderLen) {
		return fmt.Errorf("%w: gap of %d bytes for %d entries, last offset delta %d",
			ErrInvalidRecord, h.Length, h.ProducerID, h.LastOffsetDelta)
	}
	if h.ProducerEpoch <= int16(KindData) || h.ProducerEpoch > maxKind {
		return fmt.Errorf("%w: internal, of kind %d", ErrInvalidRecord, h.ProducerEpoch)
	}
	h.Kind = Kind(h.ProducerEpoch)
	return nil
}

// Entries is how many log entries the batch stands for: one, unless it is a gap.
func (h Header) Entries() int64 {
	if h.Kind == KindGap {
		return h.ProducerID
	}
	return 1
}

// LastOffset is the offset of the batch's last record; for an internal batch that consumes none the offset before BaseOffset.
func (h Header) LastOffset() Offset { return h.BaseOffset + Offset(h.LastOffsetDelta) }

// NextOffset is the offset that the next batch gets.
func (h Header) NextOffset() Offset { return h.LastOffset() + 1 }

// IsInternal says whether the batch is of our own kind, which consumers never see.
func (h Header) IsInternal() bool { return h.Kind != KindData }

// Codec is the compression type of the records.
func (h Header) Codec() Codec { return Codec(h.Attributes & AttrCodec) }

// IsTransactional says whether the batch belongs to a transaction.
func (h Header) IsTransactional() bool { return h.Attributes&AttrTransactional != 0 }

// IsControl says whether the batch is a transaction marker (or one of ours).
func (h Header) IsControl() bool { return h.Attributes&AttrControl != 0 }

// IsLogAppendTime says whether every record has MaxTimestamp as its timestamp.
func (h Header) IsLogAppendTime() bool { return h.Attributes&AttrLogAppendTime != 0 }
