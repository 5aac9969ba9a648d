// Package wire encodes and decodes the fields that our own records and snapshots are made of.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrTruncated means that the input ends before a field does, or that a length in it cannot be right.
var ErrTruncated = errors.New("truncated")

// Encoder appends fields to B.
type Encoder struct{ B []byte }

// U8 appends a byte.
func (e *Encoder) U8(v byte) { e.B = append(e.B, v) }

// U64 appends eight bytes, big endian.
func (e *Encoder) U64(v uint64) { e.B = binary.BigEndian.AppendUint64(e.B, v) }

// Uvarint appends an unsigned varint.
func (e *Encoder) Uvarint(v uint64) { e.B = binary.AppendUvarint(e.B, v) }

// Varint appends a signed, zigzag varint.
func (e *Encoder) Varint(v int64) { e.B = binary.AppendVarint(e.B, v) }

// ID appends a UUID.
func (e *Encoder) ID(v [16]byte) { e.B = append(e.B, v[:]...) }

// Str appends a length and the string.
func (e *Encoder) Str(s string) {
	e.Uvarint(uint64(len(s)))
	e.B = append(e.B, s...)
}

// Bytes appends a length and the bytes.
func (e *Encoder) Bytes(p []byte) {
	e.Uvarint(uint64(len(p)))
	e.B = append(e.B, p...)
}

// Optional appends 0 for nil, else the string's length plus one, and the string.
func (e *Encoder) Optional(s *string) {
	if s == nil {
		e.Uvarint(0)
		return
	}
	e.Uvarint(uint64(len(*s)) + 1)
	e.B = append(e.B, *s...)
}

// Decoder takes fields off B. After the first failure it returns zero values and Err says what failed, so that readers
// check once, with End. It never panics, and what it allocates is bounded by the input's length.
type Decoder struct {
	B   []byte
	Err error
}

// Fail makes err the decoder's error, unless it has one.
func (d *Decoder) Fail(err error) {
	if d.Err == nil {
		d.Err = err
	}
	d.B = nil
}

// Take takes n bytes, which are a part of the input.
func (d *Decoder) Take(n uint64) []byte {
	if d.Err != nil || n > uint64(len(d.B)) {
		d.Fail(ErrTruncated)
		return nil
	}
	taken := d.B[:n]
	d.B = d.B[n:]
	return taken
}

// U8 takes a byte.
func (d *Decoder) U8() byte {
	if b := d.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// U64 takes eight bytes, big endian.
func (d *Decoder) U64() uint64 {
	if b := d.Take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Uvarint takes an unsigned varint.
func (d *Decoder) Uvarint() uint64 {
	v, n := binary.Uvarint(d.B)
	return takeVarint(d, v, n)
}

// Varint takes a signed, zigzag varint.
func (d *Decoder) Varint() int64 {
	v, n := binary.Varint(d.B)
	return takeVarint(d, v, n)
}

func takeVarint[T uint64 | int64](d *Decoder, v T, n int) T {
	if n <= 0 {
		d.Fail(fmt.Errorf("%w, or a varint of more than 64 bits", ErrTruncated))
		return 0
	}
	d.B = d.B[n:]
	return v
}

// I32 takes a signed varint that fits in 32 bits.
func (d *Decoder) I32() int32 {
	v := d.Varint()
	if v != int64(int32(v)) {
		d.Fail(fmt.Errorf("number %d does not fit in 32 bits", v))
		return 0
	}
	return int32(v)
}

// ID takes a UUID.
func (d *Decoder) ID() (v [16]byte) {
	copy(v[:], d.Take(16))
	return v
}

// Str takes what Encoder.Str wrote.
func (d *Decoder) Str() string { return string(d.Take(d.Uvarint())) }

// Bytes takes what Encoder.Bytes wrote, as a copy; nil when it is empty.
func (d *Decoder) Bytes() []byte { return append([]byte(nil), d.Take(d.Uvarint())...) }

// Optional takes what Encoder.Optional wrote.
func (d *Decoder) Optional() *string {
	n := d.Uvarint()
	if n == 0 {
		return nil
	}
	s := string(d.Take(n - 1))
	return &s
}

// Count takes the length of a list whose elements take at least `least` bytes each, so that a lying length cannot make
// the caller allocate more than the input justifies.
func (d *Decoder) Count(least uint64) int {
	n := d.Uvarint()
	if n > uint64(len(d.B))/least {
		d.Fail(fmt.Errorf("%w: a list of %d elements in %d bytes", ErrTruncated, n, len(d.B)))
		return 0
	}
	return int(n)
}

// End fails unless everything was taken.
func (d *Decoder) End() error {
	if d.Err == nil && len(d.B) != 0 {
		d.Fail(fmt.Errorf("%d bytes too many", len(d.B)))
	}
	return d.Err
}
