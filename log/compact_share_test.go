package log

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"balsa/log/batch"
)

// In these tests an entry about a share group is an operation, a letter for the group and a value: "+" appends the value to the
// group's state, "=" replaces the state, "-" deletes it.
type shareModel map[string]string

func (m shareModel) apply(payload []byte) {
	group, value := string(payload[1:2]), string(payload[2:])
	switch payload[0] {
	case '+':
		m[group] += value
	case '=':
		m[group] = value
	case '-':
		delete(m, group)
	}
}

func readShare(payload []byte) (ShareEntry, bool) {
	if len(payload) < 2 || payload[0] == '?' {
		return ShareEntry{}, false
	}
	return ShareEntry{Group: string(payload[1:2]), Replaces: payload[0] != '+', Deletes: payload[0] == '-'}, true
}

// share appends an entry about a share group.
func (k *keyedLog) share(entry string, e Epoch) {
	k.t.Helper()
	k.append(batch.Internal(batch.KindShare, []byte(entry)), e)
	k.shares.apply([]byte(entry))
	k.shareHistory = append(k.shareHistory, shareState{k.l.LastIndex(), maps.Clone(k.shares)})
}

// shareState is the state after an entry.
type shareState struct {
	at    Index
	state shareModel
}

// randomShare appends an update of one of few groups, a replacement by the same state, or a deletion.
func (k *keyedLog) randomShare(e Epoch) {
	group := string(rune('a' + k.rnd.IntN(4)))
	switch k.rnd.IntN(8) {
	case 0:
		k.share("-"+group, e)
	case 1, 2:
		k.share("="+group+k.shares[group], e)
	default:
		k.share(fmt.Sprint("+", group, k.rnd.IntN(10)), e)
	}
}

// sharesIn returns the entries about share groups that a log has, and where they are.
func sharesIn(t testing.TB, l *Log) (entries []string, at []Index) {
	t.Helper()
	for i := l.FirstIndex(); i <= l.LastIndex(); {
		info, err := l.Info(i)
		if err != nil {
			t.Fatal(err)
		}
		if info.Header.Kind == batch.KindShare {
			b, err := l.Entry(i)
			if err != nil {
				t.Fatal(err)
			}
			entries, at = append(entries, string(b.InternalPayload())), append(at, i)
		}
		i = info.First + Index(info.Header.Entries())
	}
	return entries, at
}

// checkShares checks that what a log has left leads to the right states: from its start, and from where any replica may be that has
// applied what lies below dropTo.
func (k *keyedLog) checkShares(l *Log, dropTo Offset) {
	k.t.Helper()
	least := Index(0)
	if dropTo > 0 {
		v, err := l.view()
		if err != nil {
			k.t.Fatal(err)
		}
		at, err := l.locateOffset(&v, dropTo-1)
		if err != nil {
			k.t.Fatal(err)
		}
		least = at.index
	}
	entries, at := sharesIn(k.t, l)
	replay := func(from Index, state shareModel) {
		k.t.Helper()
		for n, entry := range entries {
			if at[n] > from {
				state.apply([]byte(entry))
			}
		}
		if !maps.Equal(state, k.shares) {
			k.t.Fatalf("from entry %d on the log leads to %v, not to %v", from, state, k.shares)
		}
	}
	replay(0, shareModel{})
	for _, h := range k.shareHistory {
		if h.at >= least {
			replay(h.at, maps.Clone(h.state))
		}
	}
}

// TestCompactShares removes what later entries about the same share group supersede, in every segment, and nothing else.
func TestCompactShares(t *testing.T) {
	k := newKeyedLog(t, 1, newMem(t))
	record := func() { k.append(k.batch(1000, batch.BuildOptions{}), 1) }
	rounds := func(n int, entries ...string) {
		for range n {
			for _, entry := range entries {
				k.share(entry, 1)
			}
			record()
		}
	}
	compact := func(dropTo Offset, want ...string) {
		t.Helper()
		k.save()
		k.records = kept(k.records, k.next, dropTo)
		k.compact(k.next, dropTo)
		if got, _ := sharesIn(t, k.l); !slices.Equal(got, want) {
			t.Fatalf("left are %q, want %q", got, want)
		}
		k.checkShares(k.l, dropTo)
		k.checkPlaces(k.l)
		sameRecords(t, readKeyed(t, k.l, 0, 1<<20), k.records)
	}
	k.share("?unknown", 1)
	rounds(50, "+a1", "+b2")
	k.share("=a"+k.shares["a"], 1)
	last := "=a" + k.shares["a"]
	rounds(1, "+a7", "-b", "+c1")
	compact(0, "?unknown", last, "+a7", "-b", "+c1")

	rounds(1, "+b5")
	compact(0, "?unknown", last, "+a7", "-b", "+c1", "+b5")
	before := k.l.CleanedTo()
	rounds(40, "=afresh", "+a1")
	compact(before, "?unknown", "+c1", "+b5", "=afresh", "+a1")

	if _, err := k.l.Compact(context.Background(), CompactArgs{To: k.next, Buffer: 1 << 20}); err != nil {
		t.Fatal(err) // who cannot read them keeps them
	}
	before = k.l.CleanedTo()
	rounds(1, "-a", "-b", "-c", "-d")
	compact(before, "?unknown", "-a", "-b", "-c", "-d")
	before = k.l.CleanedTo()
	rounds(1)
	compact(before, "?unknown")
}

// An entry whose group nobody knows how to tell stays, whatever else there is.
func TestCompactSharesUnread(t *testing.T) {
	k := newKeyedLog(t, 2, newMem(t))
	var all []string
	for n := range 30 {
		entry := fmt.Sprint("=a", n)
		all = append(all, entry)
		k.share(entry, 1)
		k.append(k.batch(3, batch.BuildOptions{}), 1)
	}
	k.save()
	if _, err := k.l.Compact(context.Background(), CompactArgs{To: k.next, Buffer: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if got, _ := sharesIn(t, k.l); !slices.Equal(got, all) {
		t.Fatalf("left are %q", got)
	}
}

// TestCompactSharesBounded: of a group that is busy for ever, what is left does not grow.
func TestCompactSharesBounded(t *testing.T) {
	k := newKeyedLog(t, 3, newMem(t))
	var most int64
	for round := range 12 {
		for range 60 {
			k.share("+a1", 1)
			k.append(k.batch(3, batch.BuildOptions{}), 1)
		}
		k.shares["a"] = ""
		k.share("=a", 1)
		k.append(k.batch(3, batch.BuildOptions{}), 1)
		k.save()
		k.compact(k.next, 0)
		if round == 2 {
			most = k.l.Size()
		}
	}
	if k.l.Size() > most+most/2 {
		t.Errorf("%d bytes after 12 rounds, %d after 3", k.l.Size(), most)
	}
	if got, _ := sharesIn(t, k.l); len(got) != 1 || !bytes.Equal([]byte(got[0]), []byte("=a")) {
		t.Errorf("left are %q", got)
	}
}

// TestCompactSharesForDeletion removes what a deletion supersedes even where nothing else goes: once the deletion is gone as well, a
// replica that copies the log would else make the state again.
func TestCompactSharesForDeletion(t *testing.T) {
	k := newKeyedLog(t, 4, newMem(t))
	record := func() { // alone in a segment, and with a key of its own
		key, value := fmt.Append(nil, k.next), make([]byte, k.config.SegmentBytes*2/3)
		b, err := batch.BuildRecords([]batch.Record{{Key: key, Value: value}}, batch.BuildOptions{})
		if err != nil {
			t.Fatal(err)
		}
		k.append(b, 1)
	}
	k.share("+a1", 1)
	record()
	k.share("-a", 1)
	record()
	record()
	for round, want := range [][]string{{"-a"}, nil} {
		k.save()
		dropTo := k.l.CleanedTo()
		k.compact(k.next, dropTo)
		if got, _ := sharesIn(t, k.l); !slices.Equal(got, want) {
			t.Fatalf("round %d: left are %q, want %q", round, got, want)
		}
		k.checkShares(k.l, dropTo)
		record()
	}
}

// TestDirtyCountsShares: entries about share groups that came while no record did are dirty, not clean, so that the next record has them
// compacted.
func TestDirtyCountsShares(t *testing.T) {
	k := newKeyedLog(t, 5, newMem(t))
	dirty := func() Dirty {
		t.Helper()
		d, err := k.l.Dirty(k.next, 0, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	seal := func() {
		t.Helper()
		if err := k.l.roll(); err != nil {
			t.Fatal(err)
		}
	}
	k.append(k.batch(3, batch.BuildOptions{}), 1)
	seal()
	k.save()
	k.compact(k.next, 0)
	clean := dirty()
	if clean.Bytes != 0 || clean.CleanBytes == 0 {
		t.Fatalf("just compacted: %+v", clean)
	}
	for range 1000 {
		k.share("+a1", 1)
	}
	k.share("=a"+k.shares["a"], 1)
	if d := dirty(); d.To != k.next || d.CleanBytes != clean.CleanBytes || d.Bytes < 50_000 || d.Ratio() < 0.9 {
		t.Fatalf("without a record: %+v, were %+v", d, clean)
	}
	k.append(k.batch(3, batch.BuildOptions{}), 1)
	seal()
	if d := dirty(); d.To != k.next || d.CleanBytes != clean.CleanBytes || d.Ratio() < 0.9 {
		t.Fatalf("with one: %+v, were %+v", d, clean)
	}
	k.save()
	k.compact(k.next, 0)
	if got, _ := sharesIn(t, k.l); len(got) != 1 || k.l.Size() > 5000 {
		t.Fatalf("%d entries are left, %d bytes", len(got), k.l.Size())
	}
	k.checkShares(k.l, 0)
}
