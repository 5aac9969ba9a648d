package log

import (
	"context"
	"errors"
	"fmt"
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
		if err := l.Append(batches, epochs, FlushAsConfigured); err != nil {
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
		if err := l.Append(batches, epochs, FlushAsConfigured); err != nil {
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

// BenchmarkReadThrough reads a log from its beginning to its end, 1 MiB at a time, as a consumer that starts at offset 0 does: of a
// compacted log, in which one batch in ten is left, and of one that always had only those.
func BenchmarkReadThrough(b *testing.B) {
	for _, size := range []int{200, 2000, 20000} {
		for _, compacted := range []bool{false, true} {
			b.Run(fmt.Sprintf("batch=%d/compacted=%v", size, compacted), func(b *testing.B) {
				l := oneInTen(b, size, 32<<20/size, compacted)
				end, buf := l.NextOffset(), make([]byte, 0, 2<<20)
				b.ReportAllocs()
				reads, bytes := 0, int64(0)
				for b.Loop() {
					for o := Offset(0); o < end; reads++ {
						s, err := l.Read(o, end, 1<<20, true)
						if err != nil || s.Bytes == 0 {
							b.Fatal(s.Bytes, err)
						}
						if buf, err = s.AppendTo(buf[:0]); err != nil {
							b.Fatal(err)
						}
						s.Release()
						o, bytes = s.NextOffset, bytes+s.Bytes
					}
				}
				b.SetBytes(bytes / int64(b.N))
				b.ReportMetric(float64(reads)/float64(b.N), "reads/op")
			})
		}
	}
}

// oneInTen makes a log of n batches of about so many bytes, with nine others before each that are compacted away.
func oneInTen(b *testing.B, size, n int, compacted bool) *Log {
	b.Helper()
	l, _, err := Open(b.TempDir(), Options{Config: Config{SegmentBytes: 64 << 20, FlushBytes: 1 << 40}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	value := randomBytes(rand.New(rand.NewPCG(1, 1)), size-100)
	add := func(key string) {
		batches, err := batch.BuildRecords([]batch.Record{{Timestamp: 1, Key: []byte(key), Value: value}}, batch.BuildOptions{})
		if err == nil {
			err = l.Append([]batch.Batch{batches}, []Epoch{1}, FlushAsConfigured)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		for range 9 {
			if compacted {
				add("superseded")
			}
		}
		add(fmt.Sprint("key ", i))
	}
	if err := errors.Join(l.Sync(), l.SaveCheckpoint(Checkpoint{Index: l.LastIndex()})); err != nil {
		b.Fatal(err)
	}
	if compacted {
		args := CompactArgs{To: l.NextOffset(), Buffer: 128 << 20}
		if _, err := l.Compact(context.Background(), args); err != nil {
			b.Fatal(err)
		}
	}
	return l
}
