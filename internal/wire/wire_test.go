package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"testing"
)

// every writes one field of each kind; golden is what it gives.
func every(e *Encoder) {
	text := "yes"
	e.U8(7)
	e.U64(1 << 40)
	e.Uvarint(300)
	e.Varint(-2)
	e.Varint(math.MinInt32)
	e.ID([16]byte{15: 0xaa})
	e.Str("abc")
	e.Bytes([]byte{1, 2})
	e.Optional(nil)
	e.Optional(&text)
}

const golden = "07" + "0000010000000000" + "ac02" + "03" + "ffffffff0f" + "000000000000000000000000000000aa" +
	"03616263" + "020102" + "00" + "04796573"

func TestFields(t *testing.T) {
	var e Encoder
	every(&e)
	if got := hex.EncodeToString(e.B); got != golden {
		t.Fatalf("wrote %s\nwant  %s", got, golden)
	}
	d := Decoder{B: e.B}
	if d.U8() != 7 || d.U64() != 1<<40 || d.Uvarint() != 300 || d.Varint() != -2 || d.I32() != math.MinInt32 ||
		d.ID() != [16]byte{15: 0xaa} || d.Str() != "abc" || !bytes.Equal(d.Bytes(), []byte{1, 2}) || d.Optional() != nil {
		t.Errorf("other values come back; %v", d.Err)
	}
	if s := d.Optional(); s == nil || *s != "yes" || d.End() != nil {
		t.Errorf("%v at the end; %v", s, d.Err)
	}
}

// TestTruncated takes every prefix: something must be missing, and everything after it is zero.
func TestTruncated(t *testing.T) {
	var e Encoder
	every(&e)
	for n := range e.B {
		d := Decoder{B: e.B[:n]}
		_, _, _, _, _, _, _, _, _ = d.U8(), d.U64(), d.Uvarint(), d.Varint(), d.I32(), d.ID(), d.Str(), d.Bytes(), d.Optional()
		d.Optional()
		if err := d.End(); !errors.Is(err, ErrTruncated) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if d.U8() != 0 || d.Uvarint() != 0 || d.Str() != "" || d.Count(1) != 0 {
			t.Errorf("%d bytes: values after a failure", n)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		b         []byte
		read      func(d *Decoder)
		truncated bool
	}{
		"bytes left":       {[]byte{1, 2}, func(d *Decoder) { d.U8() }, false},
		"more than 32 bit": {[]byte{0x80, 0x80, 0x80, 0x80, 0x10}, func(d *Decoder) { d.I32() }, false},
		"more than 64 bit": {bytes.Repeat([]byte{0xff}, 11), func(d *Decoder) { d.Uvarint() }, true},
		"lying string":     {[]byte{200, 1, 'a'}, func(d *Decoder) { d.Str() }, true},
		"lying list":       {[]byte{3, 1, 1, 1, 1, 1}, func(d *Decoder) { d.Count(2) }, true},
	} {
		d := Decoder{B: c.b}
		c.read(&d)
		if err := d.End(); err == nil || errors.Is(err, ErrTruncated) != c.truncated {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := Decoder{B: []byte{2, 1, 1, 1, 1}}
	if n := d.Count(2); n != 2 || d.Err != nil {
		t.Errorf("a list that fits exactly: %d, %v", n, d.Err)
	}
}
