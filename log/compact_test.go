package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// keyed is a record as a reader sees it; a nil value is a tombstone.
type keyed struct {
	offset Offset
	key    string
	value  []byte
}

func (k keyed) String() string { return fmt.Sprintf("%d:%s=%s", k.offset, k.key, k.value) }

// keyedLog is a log of records with keys, and what is in it.
type keyedLog struct {
	t       testing.TB
	rnd     *rand.Rand
	fs      vfs.FS
	config  Config
	l       *Log
	records []keyed
	terms   []Epoch // of entry i+1
	next    Offset
}

func newKeyedLog(t testing.TB, seed uint64, fs vfs.FS) *keyedLog {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 7))
	k := &keyedLog{t: t, rnd: rnd, fs: fs, config: Config{
		SegmentBytes: int64(600 + rnd.IntN(4000)), IndexIntervalBytes: 100 + rnd.IntN(1000), FlushEveryAppend: true,
	}}
	k.l, _ = open(t, fs, k.config)
	return k
}

// fill appends n batches with records of so many keys.
func (k *keyedLog) fill(n, keys int) {
	k.t.Helper()
	epoch := k.l.LastEpoch()
	for range n {
		if k.rnd.IntN(12) == 0 {
			epoch++
		}
		switch k.rnd.IntN(12) {
		case 0:
			k.append(batch.Internal(batch.KindNoop, nil), epoch)
		case 1, 2:
			k.transaction(keys, epoch)
		default:
			k.append(k.batch(keys, batch.BuildOptions{}), epoch)
		}
	}
}

// transaction appends a transaction of up to two batches, with another batch among them, and its marker. Records of those that
// are aborted are not records: no reader sees them.
func (k *keyedLog) transaction(keys int, epoch Epoch) {
	k.t.Helper()
	e := batch.EndTransaction{ProducerID: int64(k.rnd.IntN(3)), Commit: k.rnd.IntN(2) == 0}
	first, before := k.l.NextOffset(), len(k.records)
	for range 1 + k.rnd.IntN(2) {
		k.append(k.batch(keys, batch.BuildOptions{Transactional: true, Producer: &batch.Producer{ID: e.ProducerID}}), epoch)
	}
	if !e.Commit {
		k.records = k.records[:before]
	}
	if k.rnd.IntN(2) == 0 {
		k.append(k.batch(keys, batch.BuildOptions{}), epoch)
	}
	marker := k.l.NextOffset()
	k.append(e.Build(1000), epoch)
	if !e.Commit {
		k.l.AppendAborted(AbortedTxn{ProducerID: e.ProducerID, First: first, Last: marker, LastStable: marker + 1})
	}
}

// batch makes a batch of up to 4 records, of which one in five deletes its key.
func (k *keyedLog) batch(keys int, options batch.BuildOptions) batch.Batch {
	records := make([]batch.Record, 1+k.rnd.IntN(4))
	for i := range records {
		o := k.l.NextOffset() + Offset(i)
		rec := keyed{offset: o, key: fmt.Sprintf("key-%d", k.rnd.IntN(keys))}
		if k.rnd.IntN(5) > 0 {
			rec.value = fmt.Appendf(nil, "value %d %x", o, randomBytes(k.rnd, k.rnd.IntN(60)))
		}
		k.records = append(k.records, rec)
		records[i] = batch.Record{Timestamp: 1000 + int64(o), Key: []byte(rec.key), Value: rec.value}
	}
	options.Codec = batch.Codec(k.rnd.IntN(5))
	b, err := batch.BuildRecords(records, options)
	if err != nil {
		k.t.Fatal(err)
	}
	return b
}

func (k *keyedLog) append(b batch.Batch, e Epoch) {
	k.t.Helper()
	if err := k.l.Append([]batch.Batch{b}, []Epoch{e}, true); err != nil {
		k.t.Fatal(err)
	}
	k.terms = append(k.terms, e)
	k.next = k.l.NextOffset()
}

// save saves a checkpoint at the end of the log.
func (k *keyedLog) save() {
	k.t.Helper()
	if err := k.l.SaveCheckpoint(Checkpoint{Index: k.l.LastIndex(), State: []byte("state")}); err != nil {
		k.t.Fatal(err)
	}
}

// compact compacts to an offset, in one go.
func (k *keyedLog) compact(to, dropTo Offset) Compacted {
	k.t.Helper()
	done, err := k.l.Compact(context.Background(), CompactArgs{To: to, DropTo: dropTo, Buffer: 1 << 20})
	if err != nil {
		k.t.Fatal(err)
	}
	return done
}

// kept is what of records is left after a compaction to an offset.
func kept(records []keyed, to, dropTo Offset) []keyed {
	last := map[string]Offset{}
	for _, r := range records {
		if r.offset < to {
			last[r.key] = r.offset
		}
	}
	var out []keyed
	for _, r := range records {
		if r.offset >= to || r.offset == last[r.key] && (r.value != nil || r.offset >= dropTo) {
			out = append(out, r)
		}
	}
	return out
}

// latest is what a reader of all records knows in the end.
func latest(records []keyed) map[string]string {
	m := map[string]string{}
	for _, r := range records {
		if r.value == nil {
			delete(m, r.key)
		} else {
			m[r.key] = string(r.value)
		}
	}
	return m
}

// readKeyed returns what a consumer of committed records sees that reads a log from an offset on, in steps.
func readKeyed(t testing.TB, l *Log, from Offset, step int) []keyed {
	t.Helper()
	aborted, err := l.abortedBelow(l.NextOffset())
	if err != nil {
		t.Fatal(err)
	}
	var out []keyed
	for at := from; at < l.NextOffset(); {
		s, err := l.Read(at, l.NextOffset(), step, true)
		if err != nil {
			t.Fatalf("read %d: %v", at, err)
		}
		if s.NextOffset == at {
			return out // nothing but gaps
		}
		raw := sliceBytes(t, &s)
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil || h.IsInternal() || !batch.Batch(raw[:h.Length]).CheckCRC() {
				t.Fatalf("read %d: batch %+v, %v", at, h, err)
			}
			hidden := h.IsControl() || h.IsTransactional() && aborted.has(h.ProducerID, h.BaseOffset)
			if hidden && h.Count > 0 && !h.IsControl() && h.BaseOffset < l.CleanedTo() {
				t.Fatalf("aborted records at %d, compacted to %d", h.BaseOffset, l.CleanedTo())
			}
			for r := batch.Batch(raw[:h.Length]).Records(1 << 20); r.Next(); {
				if rec := r.Record(); rec.Offset >= from && !hidden {
					out = append(out, keyed{rec.Offset, string(rec.Key), bytes.Clone(rec.Value)})
				}
			}
			raw = raw[h.Length:]
		}
		at = s.NextOffset
	}
	return out
}

func sameRecords(t testing.TB, got, want []keyed) {
	t.Helper()
	same := func(a, b keyed) bool {
		return a.offset == b.offset && a.key == b.key && bytes.Equal(a.value, b.value) && (a.value == nil) == (b.value == nil)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Fatalf("records:\n%v\nwant:\n%v", got, want)
	}
}

// checkPlaces checks that every entry still has its index, its term, and its offset, and that what is shipped to a replica is whole.
func (k *keyedLog) checkPlaces(l *Log) {
	k.t.Helper()
	if l.FirstIndex() != 1 || int(l.LastIndex()) != len(k.terms) || l.NextOffset() != k.next {
		k.t.Fatalf("entries %d to %d, next offset %d; want 1 to %d, %d", l.FirstIndex(), l.LastIndex(), l.NextOffset(),
			len(k.terms), k.next)
	}
	size := int64(0)
	for i := Index(1); i <= l.LastIndex(); i++ {
		info, err := l.Info(i)
		if err != nil || info.Header.Epoch != k.terms[i-1] || i < info.First || i >= info.First+Index(info.Header.Entries()) {
			k.t.Fatalf("entry %d: %+v, %v; want epoch %d", i, info, err, k.terms[i-1])
		}
		if i == info.First {
			size += int64(info.Header.Length)
		}
	}
	if l.Size() != size {
		k.t.Fatalf("size %d, want %d", l.Size(), size)
	}
	for first := Index(1); first <= l.LastIndex(); {
		s, last, err := l.ReadEntries(first, l.LastIndex(), 1000)
		if err != nil || last < first {
			k.t.Fatalf("entries from %d: to %d, %v", first, last, err)
		}
		next := first
		for raw := sliceBytes(k.t, &s); len(raw) > 0; {
			h, err := batch.ParseHeader(raw)
			if err != nil || !batch.Batch(raw[:h.Length]).CheckCRC() {
				k.t.Fatal(err)
			}
			next += Index(h.Entries())
			raw = raw[h.Length:]
		}
		if next != last+1 {
			k.t.Fatalf("shipped entries %d to %d, said to %d", first, next-1, last)
		}
		first = next
	}
}

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
				total.SegmentsRead += done.SegmentsRead
				total.SegmentsWritten += done.SegmentsWritten
				if done.To != to || k.l.CleanedTo() != to || done.Rounds == 0 || done.BytesAfter != k.l.Size() {
					t.Fatalf("done %+v, want to %d", done, to)
				}
				sameRecords(t, readKeyed(t, k.l, 0, 1<<20), k.records)
				sameRecords(t, readKeyed(t, k.l, 0, 300), k.records)
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
	if total.Batches < 100 || total.Tombstones < 20 || total.BytesBefore < 10_000 || total.SegmentsWritten == total.SegmentsRead {
		t.Errorf("hardly anything was compacted: %+v", total)
	}
}

// batchStart returns the base offset of the batch that holds o.
func (k *keyedLog) batchStart(o Offset) Offset {
	if o == k.l.NextOffset() {
		return o
	}
	v, err := k.l.view()
	if err != nil {
		k.t.Fatal(err)
	}
	at, err := k.l.locateOffset(&v, o)
	if err != nil {
		k.t.Fatal(err)
	}
	return at.header.BaseOffset
}

// checkEverywhere reads from every offset, also from those that are gone.
func (k *keyedLog) checkEverywhere() {
	k.t.Helper()
	for from := Offset(k.rnd.IntN(7)); from < k.l.NextOffset(); from += 7 {
		at := slices.IndexFunc(k.records, func(r keyed) bool { return r.offset >= from })
		if at < 0 {
			at = len(k.records)
		}
		sameRecords(k.t, readKeyed(k.t, k.l, from, 1500), k.records[at:])
	}
	for _, r := range k.records {
		found, ok, err := k.l.OffsetForTime(1000+int64(r.offset), 0, k.l.NextOffset())
		if err != nil || !ok || found.Offset != r.offset {
			k.t.Fatalf("offset for the time of %v: %+v, %v, %v", r, found, ok, err)
		}
	}
}

// compactCrash runs one compaction, cuts the power before each operation that changes something, and opens what is left.
type compactCrash struct {
	*keyedLog
	mem    *vfs.Mem
	before []keyed
	to     Offset
	dropTo Offset
	seed   uint64
	points int
}

// TestCompactCrash proves that a crash at any moment of a compaction leaves a log in which the last record of each key is
// there, nothing that was superseded before comes back, and every entry has its place; and that the next compaction
// finishes the work.
func TestCompactCrash(t *testing.T) {
	points := 0
	for seed := range uint64(*crashTraces) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mem := newMem(t)
			armed := false
			var c *compactCrash
			fault := vfs.NewFault(mem, func(op vfs.Op) vfs.Verdict {
				switch op.Kind {
				case vfs.OpWrite, vfs.OpSync, vfs.OpTruncate, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir:
					if armed {
						c.crash()
					}
				}
				return vfs.Verdict{}
			})
			c = &compactCrash{keyedLog: newKeyedLog(t, seed, fault), mem: mem, seed: seed << 20}
			for range 3 {
				c.fill(30, 12)
				c.save()
				c.before, c.dropTo, c.to = c.records, c.to, c.l.NextOffset()
				c.records = kept(c.records, c.to, c.dropTo)
				armed = true
				c.compact(c.to, c.dropTo)
				armed = false
				sameRecords(t, readKeyed(t, c.l, 0, 1<<20), c.records)
			}
			points += c.points
		})
	}
	if points < 100**crashTraces {
		t.Errorf("only %d crashes: the test proves nothing", points)
	}
	t.Logf("%d crashes", points)
}

func (c *compactCrash) crash() {
	c.t.Helper()
	c.points++
	c.seed++
	after := c.mem.Crash(c.seed)
	l, saved, err := Open(testDir, Options{FS: after, Config: c.config})
	if err != nil {
		c.t.Fatalf("crash %d: %v", c.seed, err)
	}
	if string(saved.State) != "state" || saved.Index != Index(len(c.terms)) {
		c.t.Fatalf("crash %d: checkpoint %+v", c.seed, saved)
	}
	c.inspect(l)
	c.again(l)
	if err := l.Close(); err != nil {
		c.t.Fatalf("crash %d: %v", c.seed, err)
	}
	c.noLitter(after)
}

// inspect checks what a reader sees of a half compacted log.
func (c *compactCrash) inspect(l *Log) {
	c.t.Helper()
	got := readKeyed(c.t, l, 0, 1<<20)
	if fmt.Sprint(latest(got)) != fmt.Sprint(latest(c.before)) {
		c.t.Fatalf("crash %d: a reader knows\n%v\nbut should\n%v", c.seed, latest(got), latest(c.before))
	}
	subset(c.t, got, c.before)
	subset(c.t, c.records, got)
	c.checkPlaces(l)
}

// again finishes what was interrupted.
func (c *compactCrash) again(l *Log) {
	c.t.Helper()
	if _, err := l.Compact(context.Background(), CompactArgs{To: c.to, DropTo: c.dropTo, Buffer: 1 << 20}); err != nil {
		c.t.Fatalf("crash %d, compact again: %v", c.seed, err)
	}
	sameRecords(c.t, readKeyed(c.t, l, 0, 1<<20), c.records)
	c.checkPlaces(l)
}

// noLitter checks that no file is left that is not part of the log.
func (c *compactCrash) noLitter(fs *vfs.Mem) {
	c.t.Helper()
	l, _, err := Open(testDir, Options{FS: fs, Config: c.config})
	if err != nil {
		c.t.Fatalf("crash %d, opened again: %v", c.seed, err)
	}
	files := 2*len(l.segments) + 1
	for _, s := range l.segments {
		if s.txns.exists {
			files++
		}
	}
	names, err := fs.ReadDir(testDir)
	if err != nil || len(names) != files {
		c.t.Fatalf("crash %d: %d segments, files %v, %v", c.seed, len(l.segments), names, err)
	}
}

// subset checks that all of some is in all, as it is there.
func subset(t testing.TB, some, all []keyed) {
	t.Helper()
	for _, r := range some {
		k, ok := slices.BinarySearchFunc(all, r.offset, func(a keyed, o Offset) int { return int(a.offset - o) })
		if !ok || all[k].key != r.key || !bytes.Equal(all[k].value, r.value) {
			t.Fatalf("record %v is not in %v", r, all)
		}
	}
}

// TestCompactFault fails every operation of a compaction in turn: what the log shows stays right, in this process and the next, and
// where the failure left the log usable the next compaction finishes the work.
func TestCompactFault(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpOpen, vfs.OpRead, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir} {
		t.Run(kind.String(), func(t *testing.T) {
			failed := 0
			for n := 0; ; n++ {
				if !failCompaction(t, kind, n) {
					break
				}
				failed++
			}
			if failed == 0 {
				t.Error("nothing failed")
			}
		})
	}
}

// failCompaction fails the n-th operation of a kind; false when there are fewer.
func failCompaction(t *testing.T, kind vfs.OpKind, n int) bool {
	t.Helper()
	mem := newMem(t)
	fault := vfs.NewFault(mem, nil)
	c := &compactCrash{keyedLog: newKeyedLog(t, 3, fault), mem: mem}
	c.fill(40, 12)
	c.save()
	c.compact(c.batchStart(c.next/2), 0)
	c.fill(20, 12)
	c.save()
	c.before, c.to, c.dropTo = readKeyed(t, c.l, 0, 1<<20), c.next, c.l.CleanedTo()
	c.records = kept(c.records, c.to, c.dropTo)
	left, hit := n, false
	fault.SetRule(func(op vfs.Op) vfs.Verdict {
		if op.Kind != kind {
			return vfs.Verdict{}
		}
		if left--; left != -1 {
			return vfs.Verdict{}
		}
		hit = true
		return vfs.Verdict{Err: errDisk, Written: n % 100}
	})
	_, err := c.l.Compact(context.Background(), CompactArgs{To: c.to, DropTo: c.dropTo, Buffer: 1 << 20})
	fault.SetRule(nil)
	if err == nil && hit && kind != vfs.OpRemove && kind != vfs.OpSyncDir && kind != vfs.OpOpen {
		t.Fatalf("%s %d failed, and nobody noticed", kind, n)
	}
	if c.l.Failed() == nil {
		c.inspect(c.l)
		c.again(c.l)
	}
	l, _, err := Open(testDir, Options{FS: mem.Crash(uint64(n)), Config: c.config})
	if err != nil {
		t.Fatalf("%s %d: %v", kind, n, err)
	}
	c.inspect(l)
	c.again(l)
	return hit
}

// TestCompactRounds gives the map room for few keys only.
func TestCompactRounds(t *testing.T) {
	k := newKeyedLog(t, 5, newMem(t))
	k.fill(100, 50)
	k.save()
	want := kept(k.records, k.next, 0)
	done, err := k.l.Compact(context.Background(), CompactArgs{To: k.next, Buffer: 10 * mapSlotSize})
	if err != nil || done.Rounds < 5 || done.Keys > 10 {
		t.Fatalf("%+v, %v", done, err)
	}
	sameRecords(t, readKeyed(t, k.l, 0, 1<<20), want)
	k.checkPlaces(k.l)
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
	k.fill(1, 5)
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
