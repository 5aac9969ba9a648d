package log

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"balsa/log/vfs"
)

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
	c.checkShares(l, c.dropTo)
}

// again finishes what was interrupted.
func (c *compactCrash) again(l *Log) {
	c.t.Helper()
	if _, err := l.Compact(context.Background(), CompactArgs{To: c.to, DropTo: c.dropTo, Buffer: 1 << 20, Share: readShare}); err != nil {
		c.t.Fatalf("crash %d, compact again: %v", c.seed, err)
	}
	sameRecords(c.t, readKeyed(c.t, l, 0, 1<<20), c.records)
	c.checkPlaces(l)
	c.checkShares(l, c.dropTo)
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
	_, err := c.l.Compact(context.Background(), CompactArgs{To: c.to, DropTo: c.dropTo, Buffer: 1 << 20, Share: readShare})
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
