package batch

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/snappy"
)

func bareSnappy(s string) []byte { return snappy.Encode(nil, []byte(s)) }

func seeds(f *testing.F) {
	for c := range codecs {
		b, _ := sample(f, c, 5, 30)
		f.Add([]byte(b))
	}
	f.Add([]byte(Internal(KindShare, []byte("state"))))
	f.Add([]byte(Gap(MaxGap, 1<<20)))
}

func FuzzParseHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if h.Length < HeaderLen || h.Count < 0 || h.LastOffsetDelta < -1 ||
			h.Kind != KindGap && h.IsInternal() != (h.LastOffsetDelta == -1) || h.Entries() < 1 || h.Entries() > MaxGap || h.IsInternal() != Batch(b).IsInternal() {
			t.Fatalf("accepted %+v", h)
		}
	})
}

// FuzzValidate gives every input a right length and CRC first, so that the fuzzer gets to the records.
func FuzzValidate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderLen {
			b = bytes.Clone(b)
			b[posMagic] = Magic
			Batch(b).seal()
		}
		s, err := Validate(b, Limits{MaxInflate: 1 << 20})
		if err != nil {
			return
		}
		r := Batch(b).Records(1 << 20)
		defer r.Close()
		n, largest := int32(0), int64(NoTimestamp)
		for ; r.Next(); n++ {
			if rec := r.Record(); rec.Offset != s.Header.BaseOffset+Offset(n) {
				t.Fatalf("record %d has offset %d", n, rec.Offset)
			}
			largest = max(largest, r.Record().Timestamp)
		}
		if r.Err() != nil || n != s.Header.Count || largest != s.MaxTimestamp {
			t.Fatalf("valid, but %d records of %d, newest %d of %d, %v", n, s.Header.Count, largest, s.MaxTimestamp, r.Err())
		}
	})
}

func FuzzRecords(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := Batch(b).Records(1 << 20)
		defer r.Close()
		for n := 0; r.Next(); n++ {
			if n > len(b)+1<<20 {
				t.Fatal("more records than bytes")
			}
		}
	})
}

func fuzzCodec(f *testing.F, c Codec) {
	for _, s := range []string{"", "hello", string(bytes.Repeat([]byte("records "), 1000))} {
		z, err := Compress(c, []byte(s))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(z)
	}
	f.Add(bareSnappy("bare"))
	const limit = 1 << 20
	f.Fuzz(func(t *testing.T, src []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		out, err := Decompress(c, src, limit)
		runtime.ReadMemStats(&after)
		if len(out) > limit {
			t.Fatalf("%d bytes out", len(out))
		}
		if err != nil && !errors.Is(err, ErrInvalidRecord) && !errors.Is(err, ErrTooLarge) || errors.Is(err, io.EOF) && err == io.EOF {
			t.Fatalf("error %v", err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 8*(limit+maxZstdWindow) {
			t.Fatalf("%d bytes of input took %d bytes of memory", len(src), used)
		}
	})
}

func FuzzGzip(f *testing.F)   { fuzzCodec(f, CodecGzip) }
func FuzzSnappy(f *testing.F) { fuzzCodec(f, CodecSnappy) }
func FuzzLZ4(f *testing.F)    { fuzzCodec(f, CodecLZ4) }
func FuzzZstd(f *testing.F)   { fuzzCodec(f, CodecZstd) }
