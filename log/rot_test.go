package log

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// rotten makes a log of several segments, closed cleanly or killed, and returns its disk and what it holds.
func rotten(t *testing.T, kill bool) (*vfs.Mem, *model, Config) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	c := Config{SegmentBytes: 6000, IndexIntervalBytes: 300, FlushEveryAppend: true}
	fs, m := newMem(t), newModel()
	l, _ := open(t, fs, c)
	for i := range 60 {
		batches := randomBatches(rnd, 3, 200)
		for _, b := range batches {
			m.append(b, Epoch(i/20))
		}
		if err := l.Append(batches, sameEpoch(batches, Epoch(i/20)), FlushAsConfigured); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			if err := l.SaveCheckpoint(Checkpoint{Index: l.LastIndex(), State: []byte("state")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !kill {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return fs.Crash(0), m, c
}

func files(t *testing.T, fs vfs.FS, suffix string) []string {
	t.Helper()
	names, err := fs.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			out = append(out, path.Join(testDir, name))
		}
	}
	return out
}

// flip flips one bit.
func flip(t *testing.T, fs vfs.FS, name string, bit int64) {
	t.Helper()
	f, err := fs.OpenFile(name, false)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], bit/8); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << (bit % 8)
	if _, err := f.WriteAt(b[:], bit/8); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range files(t, fs, "") {
		b, err := fs.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	return out
}

// TestFlippedBitInData flips bits of segments, one at a time. The log must refuse to open, unchanged, or find
// the damage when the entry is read: it must never lose or invent an entry.
func TestFlippedBitInData(t *testing.T) {
	for _, kill := range []bool{false, true} {
		refused, found := 0, 0
		master, m, c := rotten(t, kill)
		for _, name := range files(t, master, dataSuffix) {
			whole, _ := master.ReadFile(name)
			for bit := int64(3); bit < int64(len(whole))*8; bit += 331 {
				fs := master.Crash(0)
				flip(t, fs, name, bit)
				before := content(t, fs)
				l, _, err := Open(testDir, Options{FS: fs, Config: c})
				if err != nil {
					refused++
					if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), name) {
						t.Fatalf("bit %d of %s: %v", bit, name, err)
					}
					if after := content(t, fs); fmt.Sprint(before) != fmt.Sprint(after) {
						t.Fatalf("bit %d of %s: a refused log was changed", bit, name)
					}
					continue
				}
				checkState(t, l, m)
				found += damagedEntries(t, l, m)
			}
		}
		if kill != (refused > 0) || found == 0 { // after a clean shutdown Open reads no data
			t.Errorf("kill %v: %d refused, %d found by reading", kill, refused, found)
		}
		t.Logf("kill %v: %d refused, %d found by reading", kill, refused, found)
	}
}

// damagedEntries reads everything; every entry is right or ErrCorrupt, and at least one is the latter.
func damagedEntries(t *testing.T, l *Log, m *model) int {
	t.Helper()
	damaged := 0
	for k, e := range m.entries {
		b, err := l.Entry(m.first + Index(k))
		switch {
		case errors.Is(err, ErrCorrupt):
			damaged++
		case err != nil:
			t.Fatal(err)
		case string(b) != string(e.raw):
			t.Fatalf("entry %d is wrong, and nobody noticed", m.first+Index(k))
		}
	}
	if damaged == 0 {
		t.Fatal("a flipped bit was not noticed")
	}
	return damaged
}

// TestFlippedBitInIndex flips bits of indexes: the log must be as if nothing were.
func TestFlippedBitInIndex(t *testing.T) {
	for _, kill := range []bool{false, true} {
		master, m, c := rotten(t, kill)
		rebuilt := 0
		for _, name := range files(t, master, indexSuffix) {
			whole, _ := master.ReadFile(name)
			for bit := int64(5); bit < int64(len(whole))*8; bit += 97 {
				fs := master.Crash(0)
				flip(t, fs, name, bit)
				l, _, err := Open(testDir, Options{FS: fs, Config: c})
				if err != nil {
					t.Fatalf("bit %d of %s: %v", bit, name, err)
				}
				checkState(t, l, m)
				checkEntries(t, l, m)
				for from := m.base; from < m.next; from += 9 {
					checkRead(t, l, m, from, m.next, 2000, true)
				}
				rebuilt += l.Recovery().RebuiltIndexes
			}
		}
		if rebuilt == 0 {
			t.Error("no index was rebuilt")
		}
	}
}

func TestMissingIndexIsRebuilt(t *testing.T) {
	master, m, c := rotten(t, false)
	for _, name := range files(t, master, indexSuffix) {
		fs := master.Crash(0)
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		l, _ := open(t, fs, c)
		check(t, l, m)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = open(t, fs.Crash(1), c)
		check(t, l, m)
	}
}

func TestMissingFilesAreNoticed(t *testing.T) {
	master, _, c := rotten(t, false)
	for _, name := range files(t, master, dataSuffix)[1:] { // without its first segment a log looks trimmed
		fs := master.Crash(0)
		if err := fs.Remove(name); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(testDir, Options{FS: fs, Config: c}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestShortFilesAreNoticed(t *testing.T) {
	master, _, c := rotten(t, false)
	for _, name := range files(t, master, dataSuffix) {
		fs := master.Crash(0)
		f, err := fs.OpenFile(name, false)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		if err := f.Truncate(size - 1); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Open(testDir, Options{FS: fs, Config: c}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s without its last byte: %v", name, err)
		}
	}
}

func TestFlippedBitInCheckpoint(t *testing.T) {
	master, _, c := rotten(t, false)
	name := testDir + "/" + checkpointName
	whole, _ := master.ReadFile(name)
	for bit := range int64(len(whole)) * 8 {
		fs := master.Crash(0)
		flip(t, fs, name, bit)
		if _, _, err := Open(testDir, Options{FS: fs, Config: c}); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
}

// TestTornTail writes what a crash can leave of the last append, and what it cannot.
func TestTornTail(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(tail []byte) []byte
		torn   bool
	}{
		"cut within a header":         {func(b []byte) []byte { return b[:30] }, true},
		"cut within the records":      {func(b []byte) []byte { return b[:700] }, true},
		"zeros at the start":          {func(b []byte) []byte { clear(b[:1200]); return b }, true},
		"a hole before a valid batch": {func(b []byte) []byte { clear(b[600:1800]); return b }, true},
		"all zeros":                   {func(b []byte) []byte { clear(b); return b }, true},
		"a flipped bit":               {func(b []byte) []byte { b[800] ^= 4; return b }, false},
		"a flipped bit at the end":    {func(b []byte) []byte { b[len(b)-1] ^= 4; return b }, false},
		"a flipped offset":            {func(b []byte) []byte { b[7] ^= 4; return b }, false},
		"a longer length":             {func(b []byte) []byte { b[9] ^= 4; return b }, false},
		"a shorter length":            {func(b []byte) []byte { b[10] ^= 4; return b }, false},
		"a sector of garbage":         {func(b []byte) []byte { copy(b[600:], strings.Repeat("?", 1200)); return b }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFaultRun(t, Config{FlushEveryAppend: true})
			r.mustAppend("first", strings.Repeat("second", 100))
			var tail []byte
			m := r.m.clone()
			for _, v := range []string{strings.Repeat("third", 300), strings.Repeat("fourth", 200), "fifth"} {
				m.append(batch.Build([][]byte{[]byte(v)}, 1), 1)
				tail = append(tail, m.entries[len(m.entries)-1].raw...)
			}
			f, err := r.mem.OpenFile(segmentName{}.dataFile(testDir), false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(tc.damage(tail), r.l.Size()); err != nil {
				t.Fatal(err)
			}
			l, _, err := Open(testDir, Options{FS: r.mem})
			if !tc.torn {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("open answers %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			check(t, l, r.m)
			if l.Recovery().CutBytes == 0 {
				t.Error("nothing was cut")
			}
		})
	}
}

// TestLostIndexBehindCheckpoint empties the index of a segment in which the checkpoint knows two epochs, as a power cut
// does: the scan from the segment's start must not take the first epoch for a fall behind the second.
func TestLostIndexBehindCheckpoint(t *testing.T) {
	fs, m, rnd := newMem(t), newModel(), rand.New(rand.NewPCG(7, 8))
	c := Config{SegmentBytes: 1 << 20, IndexIntervalBytes: 4096}
	l, _ := open(t, fs, c)
	for epoch := Epoch(1); epoch <= 2; epoch++ {
		batches := randomBatches(rnd, 5, 500)
		for _, b := range batches {
			m.append(b, epoch)
		}
		if err := l.Append(batches, sameEpoch(batches, epoch), FlushNow); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SaveCheckpoint(Checkpoint{Index: l.LastIndex()}); err != nil {
		t.Fatal(err)
	}
	after := fs.Crash(0)
	for _, name := range files(t, after, indexSuffix) {
		f, err := after.OpenFile(name, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(0); err != nil {
			t.Fatal(err)
		}
	}
	l, _ = open(t, after, c)
	check(t, l, m)
}

// TestStaleMarkIsNoEntry puts a mark where the entry of an internal batch belongs, as a power cut can that loses the write
// which replaced one by the other: readers must not be given the internal batch.
func TestStaleMarkIsNoEntry(t *testing.T) {
	master, m, c := rotten(t, false)
	stale := 0
	for _, name := range files(t, master, indexSuffix) {
		whole, _ := master.ReadFile(name)
		stem := strings.TrimSuffix(path.Base(name), indexSuffix)
		id, _ := parseName(stem)
		for slot := 0; slot < len(whole)/entrySize-1; slot++ {
			e, ok := decodeEntry(whole[slot*entrySize:], id.offset, slot)
			if !ok || !e.internal {
				continue
			}
			fs := master.Crash(0)
			e.mark, e.internal = true, false
			var b [entrySize]byte
			e.encode(b[:], id.offset, slot)
			f, err := fs.OpenFile(name, false)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(b[:], int64(slot)*entrySize); err != nil {
				t.Fatal(err)
			}
			l, _ := open(t, fs, c)
			checkReads(t, l, m)
			stale++
		}
	}
	if stale == 0 {
		t.Error("no internal batch has an entry")
	}
}
