package log

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// TestConcurrentReaders appends, truncates, trims, checkpoints and ticks while readers follow what is committed: what
// they read must be whole batches with right CRCs and consecutive offsets, from open slices also after the files went.
func TestConcurrentReaders(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"mem": newMem(t), "os": nil} {
		t.Run(name, func(t *testing.T) {
			dir := testDir
			if fs == nil {
				dir = t.TempDir()
			}
			l, _, err := Open(dir, Options{FS: fs, Config: Config{SegmentBytes: 60_000, IndexIntervalBytes: 500, FlushBytes: 20_000}})
			if err != nil {
				t.Fatal(err)
			}
			var committed, stop atomic.Int64
			var readers sync.WaitGroup
			for r := range 4 {
				readers.Go(func() { follow(t, l, uint64(r), &committed, &stop) })
			}
			write(t, l, &committed)
			stop.Store(1)
			readers.Wait()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Read(0, 1, 1, true); !errors.Is(err, ErrClosed) {
				t.Errorf("read of a closed log answers %v", err)
			}
		})
	}
}

func write(t *testing.T, l *Log, committed *atomic.Int64) {
	rnd := rand.New(rand.NewPCG(3, 3))
	must := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	now := time.Now()
	for i := range 1500 {
		batches := randomBatches(rnd, 5, 400)
		must(l.Append(batches, sameEpoch(batches, Epoch(i/100)), flushOf(rnd)))
		if i%3 == 0 {
			committed.Store(int64(l.NextOffset()))
		}
		switch {
		case i%50 == 49: // what is not committed is overwritten
			first, err := l.view()
			must(err)
			at, err := l.locateOffset(&first, Offset(committed.Load())-1)
			must(err)
			must(l.TruncateSuffix(at.index + 1))
		case i%70 == 69:
			must(l.Sync())
			must(l.SaveCheckpoint(Checkpoint{Index: l.LastIndex()}))
			committed.Store(int64(l.NextOffset()))
			_, err := l.TrimPrefix(l.NextOffset()-2000, l.LastIndex())
			must(err)
		case i%20 == 19:
			now = now.Add(time.Minute)
			must(l.Tick(now))
		}
	}
}

// follow reads everything committed, again and again, with reads of all sizes.
func follow(t *testing.T, l *Log, seed uint64, committed, stop *atomic.Int64) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	next := Offset(0)
	for stop.Load() == 0 {
		limit := Offset(committed.Load())
		if next >= limit {
			next = l.FirstOffset() + Offset(rnd.Int64N(int64(limit-l.FirstOffset())+1))
			continue
		}
		s, err := l.Read(next, limit, rnd.IntN(20_000), true)
		if errors.Is(err, ErrOffsetOutOfRange) {
			next = l.FirstOffset()
			continue
		}
		if err != nil {
			t.Error(err)
			return
		}
		b, err := s.AppendTo(nil)
		if err != nil {
			t.Error(err)
			return
		}
		after := s.NextOffset
		s.Release()
		if !consecutive(t, b, next, after) {
			return
		}
		next = after
		if _, err := l.Info(l.LastIndex()); err != nil && !errors.Is(err, ErrIndexNotFound) {
			t.Error(err)
			return
		}
	}
}

// consecutive checks that b is whole batches that hold `from` and end at `after`.
func consecutive(t *testing.T, b []byte, from, after Offset) bool {
	next := Offset(-1)
	for len(b) > 0 {
		h, err := batch.ParseHeader(b)
		if err != nil || !batch.Batch(b[:h.Length]).CheckCRC() || h.IsInternal() {
			t.Errorf("a read from %d has a bad batch: %+v, %v", from, h, err)
			return false
		}
		if next >= 0 && h.BaseOffset != next || next < 0 && (h.BaseOffset > from || h.NextOffset() <= from) {
			t.Errorf("a read from %d has a batch at %d after %d", from, h.BaseOffset, next)
			return false
		}
		next = h.NextOffset()
		b = b[h.Length:]
	}
	if next != after {
		t.Errorf("a read from %d ends at %d, not %d", from, next, after)
		return false
	}
	return true
}

// TestSliceOutlivesItsFile reads slices after their segments were deleted and the log closed.
func TestSliceOutlivesItsFile(t *testing.T) {
	l, _, err := Open(t.TempDir(), Options{Config: Config{SegmentBytes: 300}})
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	for range 10 {
		b := batch.Build([][]byte{bytes.Repeat([]byte("x"), 100)}, 1)
		if err := l.Append([]batch.Batch{b}, []Epoch{1}, FlushNow); err != nil {
			t.Fatal(err)
		}
		want = append(want, b...)
	}
	s, err := l.Read(0, 10, 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Ranges) < 3 || vfs.OSFile(s.Ranges[0].File) == nil {
		t.Fatalf("%d ranges", len(s.Ranges))
	}
	if err := l.SaveCheckpoint(Checkpoint{Index: 10}); err != nil {
		t.Fatal(err)
	}
	if freed, err := l.TrimPrefix(8, 10); err != nil || freed == 0 {
		t.Fatalf("freed %d bytes, %v", freed, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := sliceBytes(t, &s); !bytes.Equal(got, want) {
		t.Error("the slice changed")
	}
}
