package log

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
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
	// shares is what all entries about share groups lead to, shareHistory what they led to after each.
	shares       shareModel
	shareHistory []shareState
}

func newKeyedLog(t testing.TB, seed uint64, fs vfs.FS) *keyedLog {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 7))
	k := &keyedLog{t: t, rnd: rnd, fs: fs, shares: shareModel{}, config: Config{
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
		switch k.rnd.IntN(16) {
		case 0:
			k.append(batch.Internal(batch.KindNoop, nil), epoch)
		case 1, 2:
			k.transaction(keys, epoch)
		case 3, 4, 5, 6:
			k.randomShare(epoch)
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
	if err := k.l.Append([]batch.Batch{b}, []Epoch{e}, FlushNow); err != nil {
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
	done, err := k.l.Compact(context.Background(), CompactArgs{To: to, DropTo: dropTo, Buffer: 1 << 20, Share: readShare})
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
