package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"balsa/log/batch"
)

// TestCompact compacts random logs in several steps and compares what every reader sees with what is to be left.
func TestCompact(t *testing.T) {
	var total Compacted
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			k := newKeyedLog(t, seed, newMem(t))
			var cleaned Offset
			for round := range 4 {
				k.fill(10+k.rnd.IntN(60), 1+k.rnd.IntN(30))
				k.save()
				to := k.l.NextOffset() - Offset(k.rnd.IntN(3)*k.rnd.IntN(10))
				if to = k.batchStart(to); to <= cleaned {
					continue
				}
				dropTo := Offset(0)
				if round > 1 {
					dropTo = cleaned
				}
				k.records = kept(k.records, to, dropTo)
				done := k.compact(to, dropTo)
				cleaned = to
				total.BytesBefore += done.BytesBefore - done.BytesAfter
				total.Batches += done.Batches
				total.Tombstones += done.Tombstones
				total.Shares += done.Shares
				total.SegmentsRead += done.SegmentsRead
				total.SegmentsWritten += done.SegmentsWritten
				if done.To != to || k.l.CleanedTo() != to || done.Rounds == 0 || done.BytesAfter != k.l.Size() {
					t.Fatalf("done %+v, want to %d", done, to)
				}
				sameRecords(t, readKeyed(t, k.l, 0, 1<<20), k.records)
				sameRecords(t, readKeyed(t, k.l, 0, 300), k.records)
				k.checkShares(k.l, dropTo)
			}
			k.checkEverywhere()
			if err := k.l.Close(); err != nil {
				t.Fatal(err)
			}
			k.l, _ = open(t, k.fs, k.config)
			if k.l.CleanedTo() != cleaned {
				t.Fatalf("cleaned to %d, was %d", k.l.CleanedTo(), cleaned)
			}
			k.checkEverywhere()
			k.checkPlaces(k.l)
			k.fill(5, 3)
			sameRecords(t, readKeyed(t, k.l, 0, 1<<20), k.records)
		})
	}
	if total.Batches < 100 || total.Tombstones < 20 || total.Shares < 100 || total.BytesBefore < 10_000 || total.SegmentsWritten == total.SegmentsRead {
		t.Errorf("hardly anything was compacted: %+v", total)
	}
}

// TestCompactRounds gives the map room for few keys only.
func TestCompactRounds(t *testing.T) {
	k := newKeyedLog(t, 5, newMem(t))
	k.fill(100, 50)
	k.save()
	want := kept(k.records, k.next, 0)
	done, err := k.l.Compact(context.Background(), CompactArgs{To: k.next, Buffer: 10 * mapSlotSize, Share: readShare})
	if err != nil || done.Rounds < 5 || done.Keys > 10 {
		t.Fatalf("%+v, %v", done, err)
	}
	sameRecords(t, readKeyed(t, k.l, 0, 1<<20), want)
	k.checkPlaces(k.l)
	k.checkShares(k.l, 0)
}

// TestCompactWaitsForCheckpoint refuses what a replay may still need.
func TestCompactWaitsForCheckpoint(t *testing.T) {
	k := newKeyedLog(t, 5, newMem(t))
	k.fill(30, 5)
	to := k.next
	args := CompactArgs{To: to, Buffer: 1 << 20}
	if _, err := k.l.Compact(context.Background(), args); !errors.Is(err, ErrNotSaved) {
		t.Fatalf("without a checkpoint: %v", err)
	}
	k.save()
	k.append(k.batch(5, batch.BuildOptions{}), k.l.LastEpoch())
	args.Covered = k.l.LastIndex() // a decision that the saved state does not know
	if _, err := k.l.Compact(context.Background(), args); !errors.Is(err, ErrNotSaved) {
		t.Fatalf("ahead of its state: %v", err)
	}
	args.Covered--
	if _, err := k.l.Compact(context.Background(), args); err != nil {
		t.Fatal(err)
	}
	if _, err := k.l.Compact(context.Background(), CompactArgs{To: k.next + 1, Buffer: 1}); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("beyond the end: %v", err)
	}
}

// TestCompactStops is told to stop in the middle, and goes on later.
func TestCompactStops(t *testing.T) {
	k := newKeyedLog(t, 6, newMem(t))
	k.fill(100, 20)
	k.save()
	before := k.records
	want := kept(k.records, k.next, 0)
	for stop := 1; k.l.CleanedTo() < k.next; stop++ {
		ctx, cancel := context.WithCancel(context.Background())
		calls := 0
		_, err := k.l.Compact(ctx, CompactArgs{To: k.next, Buffer: 1 << 20, Throttle: func(ctx context.Context, _ int) error {
			if calls++; calls == stop {
				cancel()
			}
			return ctx.Err()
		}})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		got := readKeyed(t, k.l, 0, 1<<20)
		subset(t, got, before)
		subset(t, want, got)
	}
	sameRecords(t, readKeyed(t, k.l, 0, 1<<20), want)
}

// TestCompactDamaged never writes damaged data anew: it would get a right CRC.
func TestCompactDamaged(t *testing.T) {
	mem := newMem(t)
	k := newKeyedLog(t, 8, mem)
	k.fill(60, 5)
	k.save()
	s := k.l.segments[1]
	f, err := mem.OpenFile(s.data.path, false)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], s.size/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], s.size/2); err != nil {
		t.Fatal(err)
	}
	if _, err := k.l.Compact(context.Background(), CompactArgs{To: k.next, Buffer: 1 << 20}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("compacting damaged data: %v", err)
	}
	if k.l.Failed() != nil || k.l.CleanedTo() != 0 {
		t.Errorf("failed %v, cleaned to %d", k.l.Failed(), k.l.CleanedTo())
	}
}

// TestCompactWhileReading reads all the time, by offset and as replication does, while the log grows and is compacted under it.
func TestCompactWhileReading(t *testing.T) {
	k := newKeyedLog(t, 11, newMem(t))
	k.fill(50, 20)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for n := range 3 {
		readers.Go(func() {
			for rnd := rand.New(rand.NewPCG(uint64(n), 1)); ; {
				select {
				case <-done:
					return
				default:
				}
				if err := readOn(k.l, Offset(rnd.Int64N(int64(k.l.NextOffset()))), 100+rnd.IntN(5000)); err != nil {
					t.Error(err)
					return
				}
				if err := shipOn(k.l, Index(1+rnd.IntN(int(k.l.LastIndex()))), 100+rnd.IntN(5000)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 30 {
		k.fill(20, 20)
		k.save()
		k.records = kept(k.records, k.next, k.l.CleanedTo())
		k.compact(k.next, k.l.CleanedTo())
	}
	close(done)
	readers.Wait()
	sameRecords(t, readKeyed(t, k.l, 0, 1<<20), k.records)
}

// readOn reads batches from an offset to the end: their offsets rise, and they are whole.
func readOn(l *Log, at Offset, step int) error {
	for end := l.NextOffset(); at < end; {
		s, err := l.Read(at, end, step, true)
		if err != nil {
			return err
		}
		raw, err := s.AppendTo(nil)
		s.Release()
		if err != nil || s.NextOffset == at {
			return err // or nothing but a gap is left
		}
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil || h.IsInternal() || h.NextOffset() <= at || !batch.Batch(raw[:h.Length]).CheckCRC() {
				return fmt.Errorf("read at %d: batch %+v, %w", at, h, err)
			}
			at, raw = h.NextOffset(), raw[h.Length:]
		}
	}
	return nil
}

// shipOn reads entries from one on to the end: there is one for each index.
func shipOn(l *Log, next Index, step int) error {
	for end := l.LastIndex(); next <= end; {
		s, last, err := l.ReadEntries(next, end, step)
		if err != nil {
			return err
		}
		raw, err := s.AppendTo(nil)
		s.Release()
		if err != nil {
			return err
		}
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil || !batch.Batch(raw[:h.Length]).CheckCRC() {
				return fmt.Errorf("ship entry %d: batch %+v, %w", next, h, err)
			}
			next, raw = next+Index(h.Entries()), raw[h.Length:]
		}
		if next != last+1 {
			return fmt.Errorf("shipped up to entry %d, said %d", next-1, last)
		}
	}
	return nil
}
