package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"balsa/internal/wire"
)

// formatVersion is the first byte of entries and snapshots.
const formatVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt means that bytes of an entry or snapshot are not what was written.
var ErrCorrupt = errors.New("cluster metadata corrupt")

// Entry is what one decision puts into the metadata group.
type Entry struct {
	// Base is the version of the image that the decision was made from. The entry takes effect only if that is still the
	// image when it is applied; else another entry came in between, which the decision did not know, and every broker
	// alike leaves it out. This makes a leader that lost its leadership and does not know it yet harmless.
	Base uint64
	// Nonce is random; it tells the proposer, and nobody else, which outcome is its own.
	Nonce   uint64
	Records []Record
}

// Encode returns e in the format of FORMAT.md.
func (e Entry) Encode() []byte {
	enc := encoder{}
	enc.U8(formatVersion)
	enc.U64(e.Base)
	enc.U64(e.Nonce)
	return seal(appendRecords(enc.B, e.Records))
}

// DecodeEntry is the inverse of Encode.
func DecodeEntry(b []byte) (Entry, error) {
	d, err := unseal(b)
	if err != nil {
		return Entry{}, fmt.Errorf("decode metadata entry: %w", err)
	}
	e := Entry{Base: d.U64(), Nonce: d.U64()}
	if d.Err != nil {
		return Entry{}, fmt.Errorf("decode metadata entry: %w", d.Err)
	}
	if e.Records, err = decodeRecords(d.B); err != nil {
		return Entry{}, fmt.Errorf("decode metadata entry: %w", err)
	}
	return e, nil
}

// seal appends the CRC-32C of b. bbolt, which keeps the metadata group's log, does not checksum values.
func seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unseal checks checksum and format version and returns a decoder of what lies between.
func unseal(b []byte) (decoder, error) {
	if len(b) < 1+crc32.Size {
		return decoder{}, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	body, sum := b[:len(b)-crc32.Size], binary.BigEndian.Uint32(b[len(b)-crc32.Size:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return decoder{}, fmt.Errorf("%w: checksum %08x, stored %08x", ErrCorrupt, got, sum)
	}
	if body[0] != formatVersion {
		return decoder{}, fmt.Errorf("format version %d is not known to this release", body[0])
	}
	return decoder{wire.Decoder{B: body[1:]}}, nil
}
