package log

import (
	"math/rand/v2"
	"testing"

	"balsa/log/batch"
)

func benchLog(b *testing.B, fill int) (*Log, []batch.Batch, []Epoch) {
	b.Helper()
	l, _, err := Open(b.TempDir(), Options{Config: Config{SegmentBytes: 256 << 20}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	rnd := rand.New(rand.NewPCG(1, 1))
	values := make([][]byte, 16)
	for i := range values {
		values[i] = randomBytes(rnd, 1000)
	}
	batches, epochs := []batch.Batch{batch.Build(values, 1)}, []Epoch{1}
	for range fill {
		if err := l.Append(batches, epochs, false); err != nil {
			b.Fatal(err)
		}
	}
	return l, batches, epochs
}

// BenchmarkAppend appends batches of 16 KiB, without an fsync each.
func BenchmarkAppend(b *testing.B) {
	l, batches, epochs := benchLog(b, 0)
	b.SetBytes(int64(len(batches[0])))
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Append(batches, epochs, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadTail finds the last batch, which is what a consumer that keeps up does.
func BenchmarkReadTail(b *testing.B) {
	l, _, _ := benchLog(b, 4000)
	end := l.NextOffset()
	b.ReportAllocs()
	for b.Loop() {
		s, err := l.Read(end-16, end, 1<<20, true)
		if err != nil || s.Bytes == 0 {
			b.Fatal(s.Bytes, err)
		}
		s.Release()
	}
}

// BenchmarkReadCold finds 1 MiB at a random place behind the ring's reach.
func BenchmarkReadCold(b *testing.B) {
	l, _, _ := benchLog(b, 8000)
	if err := l.Sync(); err != nil {
		b.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	end := l.NextOffset()
	b.ReportAllocs()
	for b.Loop() {
		s, err := l.Read(Offset(rnd.Int64N(int64(end)/2)), end, 1<<20, true)
		if err != nil || s.Bytes == 0 {
			b.Fatal(s.Bytes, err)
		}
		s.Release()
	}
}
