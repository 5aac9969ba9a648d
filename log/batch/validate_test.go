package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// edit returns a copy of b with a change and, unless keep, a renewed length and CRC.
func edit(b Batch, keep bool, change func(b Batch) Batch) Batch {
	c := change(bytes.Clone(b))
	if !keep {
		c.seal()
	}
	return c
}

func put16(at int, v uint16) func(Batch) Batch {
	return func(b Batch) Batch { binary.BigEndian.PutUint16(b[at:], v); return b }
}

func put32(at int, v uint32) func(Batch) Batch {
	return func(b Batch) Batch { binary.BigEndian.PutUint32(b[at:], v); return b }
}

func put64(at int, v uint64) func(Batch) Batch {
	return func(b Batch) Batch { binary.BigEndian.PutUint64(b[at:], v); return b }
}

func putByte(at int, v byte) func(Batch) Batch {
	return func(b Batch) Batch { b[at] = v; return b }
}

func appended(tail ...byte) func(Batch) Batch {
	return func(b Batch) Batch { return append(b, tail...) }
}

// withRecords makes a batch of count records out of the bytes of one or more.
func withRecords(count int32, records ...byte) Batch {
	b := make(Batch, HeaderLen, HeaderLen+len(records))
	b = append(b, records...)
	b.putHeader(count, 1000, 1000, BuildOptions{})
	return b
}

func TestValidateRefuses(t *testing.T) {
	good := Build([][]byte{[]byte("one"), []byte("two")}, 1000)
	zipped, _ := sample(t, CodecGzip, 50, 20)
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrCorrupt},
		{"half a header", good[:40], ErrCorrupt},
		{"half a batch", good[:len(good)-1], ErrCorrupt},
		{"two batches", append(bytes.Clone(good), good...), ErrCorrupt},
		{"flipped bit", edit(good, true, putByte(len(good)-2, 'X')), ErrCorrupt},
		{"negative length", edit(good, true, put32(posLength, 1<<31)), ErrCorrupt},
		{"largest length", edit(good, true, put32(posLength, 1<<31-1)), ErrCorrupt},
		{"length of a header less one", edit(good, true, put32(posLength, HeaderLen-prefixLen-1)), ErrCorrupt},
		{"magic 0", edit(good, true, putByte(posMagic, 0)), ErrUnsupportedFormat},
		{"magic 1", edit(good, true, putByte(posMagic, 1)), ErrUnsupportedFormat},
		{"magic 3", edit(good, true, putByte(posMagic, 3)), ErrUnsupportedFormat},
		{"control", edit(good, false, put16(posAttributes, AttrControl)), ErrInvalidRecord},
		{"internal", Internal(KindNoop, nil), ErrInvalidRecord},
		{"internal bit", edit(good, false, put16(posAttributes, AttrInternal)), ErrInvalidRecord},
		{"delete horizon", edit(good, false, put16(posAttributes, AttrDeleteHorizon)), ErrInvalidRecord},
		{"unknown attribute", edit(good, false, put16(posAttributes, 1<<9)), ErrInvalidRecord},
		{"codec 5", edit(good, false, put16(posAttributes, 5)), ErrUnsupportedCodec},
		{"log append time", edit(good, false, put16(posAttributes, AttrLogAppendTime)), ErrInvalidTimestamp},
		{"no records", withRecords(0), ErrInvalidRecord},
		{"negative count", edit(good, false, put32(posCount, 1<<31)), ErrInvalidRecord},
		{"count too large", edit(good, false, put32(posCount, 3)), ErrInvalidRecord},
		{"count and delta too large", edit(good, false, func(b Batch) Batch {
			return put32(posCount, 1<<31-1)(put32(posLastOffsetDelta, 1<<31-2)(b))
		}), ErrInvalidRecord},
		{"last offset delta", edit(good, false, put32(posLastOffsetDelta, 5)), ErrInvalidRecord},
		{"negative offset delta", edit(good, false, put32(posLastOffsetDelta, ^uint32(0))), ErrInvalidRecord},
		{"base timestamp", edit(good, false, put64(posBaseTimestamp, 1<<63)), ErrInvalidTimestamp},
		{"producer without sequence", edit(good, false, put64(posProducerID, 7)), ErrInvalidRecord},
		{"producer -2", edit(good, false, put64(posProducerID, ^uint64(1))), ErrInvalidRecord},
		{"transactional without producer", edit(good, false, put16(posAttributes, AttrTransactional)), ErrInvalidRecord},
		{"bytes after the records", edit(good, false, appended(0)), ErrInvalidRecord},
		{"not compressed", edit(good, false, put16(posAttributes, uint16(CodecGzip))), ErrInvalidRecord},
		{"not zstd", edit(good, false, put16(posAttributes, uint16(CodecZstd))), ErrInvalidRecord},
		{"not lz4", edit(good, false, put16(posAttributes, uint16(CodecLZ4))), ErrInvalidRecord},
		{"not snappy", edit(good, false, put16(posAttributes, uint16(CodecSnappy))), ErrInvalidRecord},
		{"compressed and cut", edit(zipped, false, func(b Batch) Batch { return b[:len(b)-30] }), ErrInvalidRecord},
		{"compressed and more", edit(zipped, false, appended(1, 2, 3)), ErrInvalidRecord},
		{"compressed, one record less", edit(zipped, false, func(b Batch) Batch {
			return put32(posCount, 49)(put32(posLastOffsetDelta, 48)(b))
		}), ErrInvalidRecord},
		{"compressed, one record more", edit(zipped, false, func(b Batch) Batch {
			return put32(posCount, 51)(put32(posLastOffsetDelta, 50)(b))
		}), ErrInvalidRecord},
		// length, attributes, timestamp delta, offset delta, key, value, headers
		{"wrong offset delta", withRecords(1, 12, 0, 0, 2, 1, 1, 0), ErrInvalidRecord},
		{"record too long", withRecords(1, 14, 0, 0, 0, 1, 1, 0), ErrInvalidRecord},
		{"record too short", withRecords(1, 10, 0, 0, 0, 1, 1, 0), ErrInvalidRecord},
		{"negative record length", withRecords(1, 1, 0, 0, 0, 1, 1, 0), ErrInvalidRecord},
		{"key beyond the record", withRecords(1, 12, 0, 0, 0, 20, 1, 0), ErrInvalidRecord},
		{"key of length -2", withRecords(1, 12, 0, 0, 0, 3, 1, 0), ErrInvalidRecord},
		{"headers that are not there", withRecords(1, 12, 0, 0, 0, 1, 1, 2), ErrInvalidRecord},
		{"negative headers", withRecords(1, 12, 0, 0, 0, 1, 1, 1), ErrInvalidRecord},
		{"header with a null key", withRecords(1, 16, 0, 0, 0, 1, 1, 2, 1, 1), ErrInvalidRecord},
		{"endless varint", withRecords(1, bytes.Repeat([]byte{0xff}, 30)...), ErrInvalidRecord},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Validate(tc.b, Limits{}); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	for name, b := range map[string]Batch{"good": good, "by hand": withRecords(1, 12, 0, 0, 0, 1, 1, 0)} {
		if _, err := Validate(b, Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateTimestamps(t *testing.T) {
	for _, tc := range []struct {
		first, second int64
		want          error
	}{
		{1000, 500, nil},
		{1000, -1, nil},
		{-1, -1, nil},
		{1000, -2, ErrInvalidTimestamp},
		{1 << 62, -1 << 63, ErrInvalidTimestamp},
	} {
		b, err := BuildRecords([]Record{{Timestamp: tc.first}, {Timestamp: tc.second}}, BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Validate(b, Limits{})
		if !errors.Is(err, tc.want) || err == nil && s.MaxTimestamp != max(tc.first, tc.second) {
			t.Errorf("%d, %d: %+v, %v", tc.first, tc.second, s, err)
		}
	}
}

func TestLimits(t *testing.T) {
	b, _ := sample(t, CodecZstd, 100, 1000)
	inflated := int64(0)
	for r := b.Records(1 << 30); r.Next(); {
		inflated += int64(len(appendRecord(nil, r.Record(), r.Record().Timestamp-1000, int32(r.Record().Offset))))
	}
	for _, tc := range []struct {
		limits Limits
		want   error
	}{
		{Limits{MaxBytes: len(b)}, nil},
		{Limits{MaxBytes: len(b) - 1}, ErrTooLarge},
		{Limits{MaxRecords: 100}, nil},
		{Limits{MaxRecords: 99}, ErrTooLarge},
		{Limits{MaxInflate: inflated}, nil},
		{Limits{MaxInflate: inflated - 1}, ErrTooLarge},
	} {
		if _, err := Validate(b, tc.limits); !errors.Is(err, tc.want) {
			t.Errorf("%+v: %v", tc.limits, err)
		}
	}
}

// TestBombs inflates little input that claims to be, or is, enormous.
func TestBombs(t *testing.T) {
	const limit = 1 << 20
	zeros := make([]byte, 16<<20)
	for c := CodecGzip; c < codecs; c++ {
		bomb, err := Compress(c, zeros)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Decompress(c, bomb, limit); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("%s: %v", c, err)
		}
		runtime.ReadMemStats(&after)
		allocated := after.TotalAlloc - before.TotalAlloc
		if allocated > 8*limit+maxZstdWindow {
			t.Errorf("%s: %d bytes allocated for a limit of %d", c, allocated, limit)
		}
		if got, err := Decompress(c, bomb, int64(len(zeros))); err != nil || len(got) != len(zeros) {
			t.Errorf("%s: %d bytes, %v", c, len(got), err)
		}
	}
	liar := binary.AppendUvarint(nil, 1<<31)
	if _, err := Decompress(CodecSnappy, append(liar, 0, 0), 1<<40); !errors.Is(err, ErrInvalidRecord) {
		t.Errorf("a snappy block that claims 2 GiB: %v", err)
	}
}

func TestSnappyFramings(t *testing.T) {
	want := strings.Repeat("snappy ", 20_000)
	framed := xerial([]byte(want))
	for name, src := range map[string][]byte{"xerial": framed, "bare": bareSnappy(want)} {
		got, err := Decompress(CodecSnappy, src, 1<<20)
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for _, cut := range []int{17, 19, 100, len(framed) - 1} {
		if _, err := Decompress(CodecSnappy, framed[:cut], 1<<20); !errors.Is(err, ErrInvalidRecord) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestCodecNames(t *testing.T) {
	for c := range codecs {
		if got, err := ParseCodec(c.String()); got != c || err != nil {
			t.Errorf("%s: %v, %v", c, got, err)
		}
	}
	if _, err := ParseCodec("brotli"); !errors.Is(err, ErrUnsupportedCodec) {
		t.Errorf("brotli: %v", err)
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20} {
		for _, record := range []int{100, 1024} {
			values := make([][]byte, size/record)
			for i := range values {
				values[i] = bytes.Repeat([]byte("v"), record-8)
			}
			batch := Build(values, 1)
			b.Run(fmt.Sprintf("%dKiB/%dB", size>>10, record), func(b *testing.B) {
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := Validate(batch, Limits{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkValidateCompressed(b *testing.B) {
	for c := CodecGzip; c < codecs; c++ {
		batch, _ := sample(b, c, 1000, 1000)
		b.Run(c.String(), func(b *testing.B) {
			b.SetBytes(1_000_000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(batch, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
