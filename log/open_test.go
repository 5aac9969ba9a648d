package log

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// TestOpenReadsLittle opens a log of some 40 MB after a kill, after a clean shutdown, and after a power cut, and counts the
// bytes that are read. With segments of the usual size the share is smaller still: it is the tail that is read.
func TestOpenReadsLittle(t *testing.T) {
	mem := newMem(t)
	c := Config{SegmentBytes: 4 << 20, FlushEveryAppend: true}
	l, _ := open(t, mem, c)
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 2500 {
		b := []batch.Batch{batch.Build([][]byte{randomBytes(rnd, 16<<10)}, int64(i))}
		if err := l.Append(b, []Epoch{Epoch(i / 500)}, FlushAsConfigured); err != nil {
			t.Fatal(err)
		}
		if i == 2300 {
			if err := l.SaveCheckpoint(Checkpoint{Index: l.LastIndex()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	last, size := l.LastIndex(), l.Size()
	reads := func(name string, disk vfs.FS, most int64) {
		fs := vfs.NewFault(disk, nil)
		fs.Reset(nil)
		l, _ := open(t, fs, c)
		if l.LastIndex() != last || l.Size() != size || len(l.Epochs()) != 5 {
			t.Fatalf("%s: last entry %d, size %d, epochs %v", name, l.LastIndex(), l.Size(), l.Epochs())
		}
		if got := fs.Count(vfs.OpRead); got.Bytes > most {
			t.Errorf("%s: read %d bytes of %d, expected at most %d", name, got.Bytes, size, most)
		} else {
			t.Logf("%s: read %d bytes of %d", name, got.Bytes, size)
		}
	}
	reads("killed", mem, 40<<10)
	reads("power cut, the index lost", mem.Crash(3), 5<<20) // the unsynced index of one segment
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	reads("clean", mem, 40<<10)
}

// TestIdleLogIsSmall opens many logs, uses them, lets them rest, and weighs them.
func TestIdleLogIsSmall(t *testing.T) {
	const n = 200
	dir := t.TempDir()
	now := at(1_000_000)
	logs := make([]*Log, n)
	weigh := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, goroutines := weigh(), runtime.NumGoroutine()
	for i := range logs {
		l, _, err := Open(dir+"/"+segmentName{offset: Offset(i)}.String(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			b := batch.Build([][]byte{[]byte(strings.Repeat("x", 100))}, 1)
			if err := l.Append([]batch.Batch{b}, []Epoch{1}, FlushAsConfigured); err != nil {
				t.Fatal(err)
			}
		}
		logs[i] = l
	}
	for range 4 {
		now = now.Add(idleAfter)
		for _, l := range logs {
			if err := l.Tick(now); err != nil {
				t.Fatal(err)
			}
		}
	}
	each := int64(weigh()-before) / n
	t.Logf("%d bytes for an idle log", each)
	if each > 10<<10 {
		t.Errorf("an idle log takes %d bytes", each)
	}
	if g := runtime.NumGoroutine(); g > goroutines {
		t.Errorf("%d goroutines, %d before", g, goroutines)
	}
	for _, l := range logs {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
