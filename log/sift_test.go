package log

import (
	"fmt"
	"testing"

	"balsa/log/batch"
)

// siftedLog is a compacted log in which a gap is before each of n batches; first is the size of the first one.
func siftedLog(t *testing.T, memory *Memory, n, first int) (l *Log, bytes int64) {
	t.Helper()
	l, _, err := Open("log", Options{FS: newMem(t), Memory: memory, Config: Config{SegmentBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	add := func(key string, value []byte) {
		t.Helper()
		b, err := batch.BuildRecords([]batch.Record{{Timestamp: 1, Key: []byte(key), Value: value}}, batch.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append([]batch.Batch{b}, []Epoch{1}, FlushAsConfigured); err != nil {
			t.Fatal(err)
		}
		if key != "superseded" {
			bytes += int64(len(b))
		}
	}
	for i := range n {
		add("superseded", nil)
		add(fmt.Sprint("key ", i), make([]byte, 100+first))
		first = 0
	}
	b, err := l.Entry(1)
	if err != nil {
		t.Fatal(err)
	}
	bytes += int64(len(b)) // the last record of that key stays
	if err := l.roll(); err != nil {
		t.Fatal(err)
	}
	if err := l.SaveCheckpoint(Checkpoint{Index: l.LastIndex()}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Compact(t.Context(), CompactArgs{To: l.NextOffset(), Buffer: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	return l, bytes
}

// readAll reads a log from its beginning, and returns the bytes of its data, and in how many reads and pieces they came.
func readAll(t *testing.T, l *Log, step int) (bytes int64, reads, ranges int) {
	t.Helper()
	for o := Offset(0); o < l.NextOffset(); reads++ {
		s, err := l.Read(o, l.NextOffset(), step, true)
		if err != nil {
			t.Fatal(err)
		}
		if s.NextOffset <= o {
			t.Fatalf("a read from offset %d does not get on", o)
		}
		o, bytes, ranges = s.NextOffset, bytes+s.Bytes, ranges+len(s.Ranges)
		s.Release()
	}
	return bytes, reads, ranges
}

func TestScatteredReadIsOnePiece(t *testing.T) {
	memory := NewMemory(2 * siftBytes)
	l, want := siftedLog(t, memory, 9000, 0)
	bytes, reads, ranges := readAll(t, l, 4<<20)
	if bytes != want || reads != 2 || ranges != 2 {
		t.Errorf("%d bytes in %d reads of %d pieces, want %d bytes in 2", bytes, reads, ranges, want)
	}
	if free := memory.free.Load(); free != 2*siftBytes {
		t.Errorf("%d bytes of memory are free, want all %d", free, 2*siftBytes)
	}
}

// Without memory it is pieces, a bounded number of them.
func TestScatteredReadWithoutMemory(t *testing.T) {
	memory := NewMemory(siftBytes + 1000)
	l, want := siftedLog(t, memory, 3000, 0)
	held, err := l.Read(0, l.NextOffset(), 1<<20, true)
	if err != nil || len(held.Ranges) != 1 {
		t.Fatalf("%d pieces, %v", len(held.Ranges), err)
	}
	bytes, reads, ranges := readAll(t, l, 4<<20)
	if bytes != want || ranges != 2999 || reads != 6 {
		t.Errorf("%d bytes in %d reads of %d pieces, want %d bytes in 6 of 2999", bytes, reads, ranges, want)
	}
	held.Release()
	if _, _, ranges := readAll(t, l, 4<<20); ranges != 1 {
		t.Errorf("%d pieces after memory was given back", ranges)
	}
}

// A first batch that is larger than what is sifted otherwise comes all the same.
func TestScatteredReadBeginsWithLargeBatch(t *testing.T) {
	l, want := siftedLog(t, nil, 500, siftBytes+5000)
	if bytes, _, _ := readAll(t, l, 8<<20); bytes != want {
		t.Errorf("%d bytes, want %d", bytes, want)
	}
	if bytes, _, _ := readAll(t, l, 1000); bytes != want {
		t.Errorf("in small reads %d bytes, want %d", bytes, want)
	}
}
