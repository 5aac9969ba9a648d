package log

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"balsa/log/batch"
	"balsa/log/vfs"
)

const testDir = "data/log"

// newMem returns a crashable disk with the directory that the log's directory is made in.
func newMem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t testing.TB, fs vfs.FS, c Config) (*Log, Checkpoint) {
	t.Helper()
	l, ckpt, err := Open(testDir, Options{FS: fs, Config: c})
	if err != nil {
		t.Fatal(err)
	}
	return l, ckpt
}

// entry is one entry as the model knows it, stamped. Those that a gap stands for have its batch each.
type entry struct {
	raw    batch.Batch
	header batch.Header
	nth    int // of its gap, from 0
}

// model is a log in memory.
type model struct {
	first   Index
	entries []entry
	next    Offset
	base    Offset
	prev    Epoch
}

func newModel() *model { return &model{first: 1} }

func (m *model) nextIndex() Index { return m.first + Index(len(m.entries)) }

func (m *model) clone() *model {
	c := *m
	c.entries = append([]entry(nil), m.entries...)
	return &c
}

func (m *model) epoch() Epoch {
	if len(m.entries) == 0 {
		return m.prev
	}
	return m.entries[len(m.entries)-1].header.Epoch
}

func (m *model) append(b batch.Batch, e Epoch) {
	raw := bytes.Clone(b)
	batch.Batch(raw).Stamp(m.next, e)
	h := batch.Batch(raw).Header()
	for n := range int(h.Entries()) {
		m.entries = append(m.entries, entry{raw, h, n})
	}
	m.next = h.NextOffset()
}

// boundary returns the first index from i on that is not within a gap.
func (m *model) boundary(i Index) Index {
	for i < m.nextIndex() && m.entries[i-m.first].nth > 0 {
		i++
	}
	return i
}

func (m *model) truncate(i Index) {
	if i >= m.nextIndex() {
		return
	}
	m.next = m.entries[i-m.first].header.BaseOffset
	m.entries = m.entries[:i-m.first]
}

// trim drops the entries before i.
func (m *model) trim(i Index) {
	if i <= m.first {
		return
	}
	k := int(i - m.first)
	m.prev = m.entries[k-1].header.Epoch
	m.base = m.entries[k-1].header.NextOffset()
	m.entries, m.first = m.entries[k:], i
}

// randomBatches makes an append: mostly data, sometimes internal.
func randomBatches(rnd *rand.Rand, most, size int) []batch.Batch {
	var out []batch.Batch
	for range 1 + rnd.IntN(most) {
		if rnd.IntN(5) == 0 {
			out = append(out, batch.Internal(batch.KindNoop, randomBytes(rnd, rnd.IntN(40))))
			continue
		}
		values := make([][]byte, 1+rnd.IntN(4))
		for i := range values {
			values[i] = randomBytes(rnd, rnd.IntN(size))
		}
		out = append(out, batch.Build(values, 1000+rnd.Int64N(100_000)))
	}
	return out
}

// withGaps puts gaps between batches, sometimes.
func withGaps(rnd *rand.Rand, batches []batch.Batch) []batch.Batch {
	for rnd.IntN(3) == 0 {
		batches = slices.Insert(batches, rnd.IntN(len(batches)+1), batch.Gap(1+rnd.Int64N(9), rnd.Int64N(20)))
	}
	return batches
}

func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + rnd.IntN(255)) // no zeros: a flipped bit must not look like a torn write
	}
	return b
}

func sameEpoch(batches []batch.Batch, e Epoch) []Epoch {
	out := make([]Epoch, len(batches))
	for i := range out {
		out[i] = e
	}
	return out
}

// check compares all that a log answers with the model.
func check(t testing.TB, l *Log, m *model) {
	t.Helper()
	checkState(t, l, m)
	checkEntries(t, l, m)
	checkReads(t, l, m)
	checkTimes(t, l, m)
}

func checkState(t testing.TB, l *Log, m *model) {
	t.Helper()
	got := fmt.Sprintf("first %d last %d offsets %d..%d epochs %d..%d", l.FirstIndex(), l.LastIndex(), l.FirstOffset(),
		l.NextOffset(), l.PrevEpoch(), l.LastEpoch())
	want := fmt.Sprintf("first %d last %d offsets %d..%d epochs %d..%d", m.first, m.nextIndex()-1, m.base, m.next, m.prev, m.epoch())
	if got != want {
		t.Fatalf("log:   %s\nmodel: %s", got, want)
	}
	var epochs []EpochStart
	size := int64(0)
	for i, e := range m.entries {
		if len(epochs) == 0 || epochs[len(epochs)-1].Epoch != e.header.Epoch {
			epochs = append(epochs, EpochStart{e.header.Epoch, m.first + Index(i), e.header.BaseOffset})
		}
		if e.nth == 0 {
			size += int64(len(e.raw))
		}
	}
	if got, want := fmt.Sprint(l.Epochs()), fmt.Sprint(epochs); got != want {
		t.Fatalf("epochs %s, want %s", got, want)
	}
	if l.Size() != size {
		t.Fatalf("size %d, want %d", l.Size(), size)
	}
}

func checkEntries(t testing.TB, l *Log, m *model) {
	t.Helper()
	for k, e := range m.entries {
		i := m.first + Index(k)
		info, err := l.Info(i)
		if err != nil || info.Header != e.header {
			t.Fatalf("info of %d: %+v, %v; want %+v", i, info, err, e.header)
		}
		b, err := l.Entry(i)
		if err != nil || !bytes.Equal(b, e.raw) {
			t.Fatalf("entry %d differs (%v)", i, err)
		}
	}
	if len(m.entries) == 0 {
		return
	}
	for _, first := range []int{0, len(m.entries) / 3, len(m.entries) - 1} {
		for _, most := range []int{1, 700, 1 << 30} {
			s, last, err := l.ReadEntries(m.first+Index(first), m.nextIndex()-1, most)
			if err != nil {
				t.Fatal(err)
			}
			var want []byte
			wantLast := m.first + Index(first)
			for k := first; k < len(m.entries); {
				e := m.entries[k]
				if len(want) > 0 && len(want)+len(e.raw) > most {
					break
				}
				want = append(want, e.rest()...)
				k += int(e.header.Entries()) - e.nth
				wantLast = m.first + Index(k) - 1
			}
			if got := sliceBytes(t, &s); last != wantLast || !bytes.Equal(got, want) {
				t.Fatalf("entries from %d, at most %d bytes: last %d, want %d; %d bytes, want %d",
					int(m.first)+first, most, last, wantLast, len(got), len(want))
			}
		}
	}
}

// rest is what is shipped of an entry's batch when the entries before it are not wanted.
func (e entry) rest() []byte {
	if e.nth == 0 {
		return e.raw
	}
	b := batch.Gap(e.header.Entries()-int64(e.nth), int64(e.header.LastOffsetDelta)+1)
	b.Stamp(e.header.BaseOffset, e.header.Epoch)
	return b
}

func sliceBytes(t testing.TB, s *Slice) []byte {
	t.Helper()
	got, err := s.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(got)) != s.Bytes {
		t.Fatalf("slice says %d bytes, has %d", s.Bytes, len(got))
	}
	s.Release()
	return got
}

func checkReads(t testing.TB, l *Log, m *model) {
	t.Helper()
	step := max(1, (m.next-m.base)/7)
	for from := m.base; from <= m.next; from += step {
		for _, limit := range []Offset{m.next, from + step, from + 2} {
			for _, most := range []int{0, 300, 5000, 1 << 30} {
				for _, minOne := range []bool{true, false} {
					checkRead(t, l, m, from, limit, most, minOne)
				}
			}
		}
	}
}

func checkRead(t testing.TB, l *Log, m *model, from, limit Offset, most int, minOne bool) {
	t.Helper()
	s, err := l.Read(from, limit, most, minOne)
	if err != nil {
		t.Fatalf("read %d to %d: %v", from, limit, err)
	}
	var want []byte
	next := from
	for _, e := range m.entries {
		h := e.header
		if h.IsInternal() || h.NextOffset() <= from || from >= limit {
			continue
		}
		if h.BaseOffset >= limit || len(want)+len(e.raw) > most && (len(want) > 0 || !minOne) {
			break
		}
		want = append(want, e.raw...)
		next = h.NextOffset()
	}
	if got := sliceBytes(t, &s); !bytes.Equal(got, want) || s.NextOffset != next {
		t.Fatalf("read %d to %d, at most %d (%v): %d bytes and next %d, want %d and %d",
			from, limit, most, minOne, len(got), s.NextOffset, len(want), next)
	}
}

func checkTimes(t testing.TB, l *Log, m *model) {
	t.Helper()
	middle := (m.base + m.next) / 2
	for _, bounds := range [][2]Offset{{0, m.next}, {0, middle}, {middle, m.next}, {(m.base + middle) / 2, middle}} {
		from, limit := bounds[0], bounds[1]
		var best *TimestampedOffset
		for _, ts := range []int64{0, 20_000, 60_000, 100_900, 1 << 40} {
			var want *TimestampedOffset
			best = nil
			for _, e := range m.entries {
				for r := e.raw.Records(1 << 30); r.Next(); {
					rec := r.Record()
					at := TimestampedOffset{rec.Timestamp, rec.Offset, e.header.Epoch}
					if rec.Offset < from {
						continue
					}
					if want == nil && rec.Timestamp >= ts && rec.Offset < limit {
						want = &at
					}
					if rec.Offset < limit && (best == nil || rec.Timestamp > best.Timestamp) {
						best = &at
					}
				}
			}
			got, ok, err := l.OffsetForTime(ts, from, limit)
			if err != nil || ok != (want != nil) || ok && got != *want {
				t.Fatalf("offset for time %d in [%d,%d): %+v %v %v, want %+v", ts, from, limit, got, ok, err, want)
			}
		}
		got, ok, err := l.MaxTimestamp(from, limit)
		if err != nil || ok != (best != nil) || ok && got != *best {
			t.Fatalf("max timestamp in [%d,%d): %+v %v %v, want %+v", from, limit, got, ok, err, best)
		}
	}
}

func at(ms int64) time.Time { return time.UnixMilli(ms) }

// flushOf picks when an append becomes durable.
func flushOf(rnd *rand.Rand) Flush {
	return []Flush{FlushAsConfigured, FlushAsConfigured, FlushByCaller, FlushNow}[rnd.IntN(4)]
}
