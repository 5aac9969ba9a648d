package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errTruncated = errors.New("truncated")

// encoder appends fields to b.
type encoder struct{ b []byte }

func (e *encoder) u8(v byte)        { e.b = append(e.b, v) }
func (e *encoder) u64(v uint64)     { e.b = binary.BigEndian.AppendUint64(e.b, v) }
func (e *encoder) uvarint(v uint64) { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) varint(v int64)   { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) id(v [16]byte)    { e.b = append(e.b, v[:]...) }

func (e *encoder) str(s string) {
	e.uvarint(uint64(len(s)))
	e.b = append(e.b, s...)
}

// decoder takes fields off b. After the first failure it returns zero values, and err says what failed; so a reader checks
// err once at the end. It never panics and never allocates more than a small multiple of the input.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf(format, args...)
	}
	d.b = nil
}

func (d *decoder) take(n uint64) []byte {
	if d.err != nil || n > uint64(len(d.b)) {
		d.fail("%w", errTruncated)
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

func (d *decoder) u64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	return takeVarint(d, v, n)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	return takeVarint(d, v, n)
}

func takeVarint[T uint64 | int64](d *decoder, v T, n int) T {
	if n <= 0 {
		d.fail("bad or truncated varint")
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) i32() int32 {
	v := d.varint()
	if v != int64(int32(v)) {
		d.fail("number %d does not fit in 32 bits", v)
		return 0
	}
	return int32(v)
}

func (d *decoder) id() (v [16]byte) {
	copy(v[:], d.take(16))
	return v
}

func (d *decoder) str() string { return string(d.take(d.uvarint())) }

// count reads the length of a list whose elements take at least least bytes each, so that a lying length cannot make the
// caller allocate more than the input justifies.
func (d *decoder) count(least uint64) int {
	n := d.uvarint()
	if n > uint64(len(d.b))/least {
		d.fail("%w: a list of %d elements in %d bytes", errTruncated, n, len(d.b))
		return 0
	}
	return int(n)
}

// end fails unless everything was read.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) != 0 {
		d.fail("%d bytes too many", len(d.b))
	}
	return d.err
}
