package group

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errTruncated = errors.New("truncated")

// encoder appends fields to b.
type encoder struct{ b []byte }

func (e *encoder) u8(v byte)        { e.b = append(e.b, v) }
func (e *encoder) uvarint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) varint(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) id(v [16]byte)    { e.b = append(e.b, v[:]...) }

func (e *encoder) bytes(p []byte) {
	e.uvarint(uint64(len(p)))
	e.b = append(e.b, p...)
}

func (e *encoder) str(s string) {
	e.uvarint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// optional encodes nil as 0 and a string as its length plus one.
func (e *encoder) optional(s *string) {
	if s == nil {
		e.uvarint(0)
		return
	}
	e.uvarint(uint64(len(*s)) + 1)
	e.b = append(e.b, *s...)
}

// decoder takes fields off b. After the first failure it returns zero values and err says what failed, so that readers
// check once, with end. It never panics, and what it allocates is bounded by the input's length.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.b = nil
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.fail(errTruncated)
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) u8() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errTruncated)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) i32() int32 {
	v := d.varint()
	if v != int64(int32(v)) {
		d.fail(fmt.Errorf("number %d does not fit in 32 bits", v))
		return 0
	}
	return int32(v)
}

func (d *decoder) id() (v [16]byte) {
	copy(v[:], d.take(16))
	return v
}

func (d *decoder) str() string { return string(d.take(d.uvarint())) }

// bytes returns a copy, since a record's memory belongs to the log.
func (d *decoder) bytes() []byte { return append([]byte(nil), d.take(d.uvarint())...) }

func (d *decoder) optional() *string {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	s := string(d.take(n - 1))
	return &s
}

// count reads the length of a list whose elements take at least `least` bytes each, so that a lying length cannot make
// the caller allocate more than the input justifies.
func (d *decoder) count(least uint64) int {
	n := d.uvarint()
	if n > uint64(len(d.b))/least {
		d.fail(errTruncated)
		return 0
	}
	return int(n)
}

// end fails unless everything was read.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail(fmt.Errorf("%d bytes too many", len(d.b)))
	}
	return d.err
}
