package log

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// txnRun is a log in which every third record is the marker of an aborted transaction of a producer of its own, whose
// first record lies up to 20 offsets before it.
type txnRun struct {
	t     testing.TB
	fs    vfs.FS
	rnd   *rand.Rand
	l     *Log
	saved Checkpoint
}

func markerAt(o Offset) (AbortedTxn, bool) {
	first := max(o-1-(o*7)%20, 0)
	return AbortedTxn{ProducerID: int64(o), First: first, Last: o, LastStable: max(o-25, 0)}, o > 0 && o%3 == 0
}

func (r *txnRun) open() {
	r.t.Helper()
	r.l, r.saved = open(r.t, r.fs, Config{SegmentBytes: 700, FlushEveryAppend: true})
	// What a state machine does: it applies again what its saved state does not cover.
	for i := max(r.saved.Index+1, r.l.FirstIndex()); i <= r.l.LastIndex(); i++ {
		r.apply(i)
	}
}

func (r *txnRun) apply(i Index) {
	o, err := r.l.OffsetOf(i)
	if err != nil {
		r.t.Fatal(err)
	}
	if txn, ok := markerAt(o); ok {
		r.l.AppendAborted(txn)
	}
}

func (r *txnRun) append() {
	b := batch.Build([][]byte{[]byte("v")}, 1)
	if err := r.l.Append([]batch.Batch{b}, []Epoch{1}, FlushNow); err != nil {
		r.t.Fatal(err)
	}
	r.apply(r.l.LastIndex())
}

// check compares with what the offsets say, for ranges within the log.
func (r *txnRun) check() {
	r.t.Helper()
	first, next := r.l.FirstOffset(), r.l.NextOffset()
	for range 4 {
		from := first + Offset(r.rnd.Int64N(int64(next-first)+1))
		to := from + Offset(r.rnd.Int64N(int64(next-from)+1))
		got, err := r.l.AbortedTxns(from, to)
		if err != nil {
			r.t.Fatal(err)
		}
		var want []AbortedTxn
		for o := from; o < next; o++ {
			if txn, ok := markerAt(o); ok && txn.First < to {
				want = append(want, txn)
			}
		}
		if !slices.Equal(got, want) {
			r.t.Fatalf("aborted in %d..%d of %d..%d:\n%v, want\n%v", from, to, first, next, got, want)
		}
	}
}

func (r *txnRun) step() {
	r.t.Helper()
	switch n := r.rnd.IntN(20); {
	case n < 14:
		r.append()
	case n < 18:
		c := Checkpoint{Index: max(r.saved.Index, r.l.LastIndex()-min(Index(r.rnd.IntN(3)), r.l.LastIndex())), State: []byte("s")}
		if err := r.l.SaveCheckpoint(c); err != nil {
			r.t.Fatal(err)
		}
		r.saved = c
	case n < 19:
		if _, err := r.l.TrimPrefix(r.l.NextOffset()-min(30, r.l.NextOffset()), r.saved.Index); err != nil {
			r.t.Fatal(err)
		}
	default:
		if err := r.l.Close(); err != nil {
			r.t.Fatal(err)
		}
		r.open()
	}
	r.check()
}

// TestAbortedTxnsSurviveCrashes cuts the power before every change on disk: what is found afterwards, from the files and
// from what is applied again, is exactly what was.
func TestAbortedTxnsSurviveCrashes(t *testing.T) {
	crashes := 0
	for seed := range uint64(8) {
		mem := newMem(t)
		r := &txnRun{t: t, rnd: rand.New(rand.NewPCG(seed, 5))}
		r.fs = vfs.NewFault(mem, func(op vfs.Op) vfs.Verdict {
			switch op.Kind {
			case vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir:
				crashes++
				after := &txnRun{t: t, rnd: rand.New(rand.NewPCG(seed, uint64(crashes))), fs: mem.Crash(uint64(crashes))}
				after.open()
				after.check()
				after.append()
				after.check()
				_ = after.l.Close()
			}
			return vfs.Verdict{}
		})
		r.open()
		for range 60 {
			r.step()
		}
	}
	if crashes < 1000 {
		t.Errorf("only %d crashes", crashes)
	}
}

// The format of FORMAT.md.
func TestTxnIndexGolden(t *testing.T) {
	got := encodeTxns(0x123, []AbortedTxn{{ProducerID: 1, First: 0x124, Last: 0x130, LastStable: 0x131}, {ProducerID: -2, First: 0x131, Last: 0x140, LastStable: 0x135}})
	want := "62616c736174786e" + "00000001" + "00000002" + "dcb0c349" +
		"0000000000000001" + "0000000000000124" + "0000000000000130" + "0000000000000131" + "1a0c8a8c" +
		"fffffffffffffffe" + "0000000000000131" + "0000000000000140" + "0000000000000135" + "97197870"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

// Damage is said, never passed over: what a reader would see instead are the records of an aborted transaction.
func TestDamagedTxnIndexIsRefused(t *testing.T) {
	mem := newMem(t)
	r := &txnRun{t: t, fs: mem, rnd: rand.New(rand.NewPCG(1, 1))}
	r.open()
	for range 12 {
		r.append()
	}
	if err := r.l.SaveCheckpoint(Checkpoint{Index: r.l.LastIndex()}); err != nil {
		t.Fatal(err)
	}
	if err := r.l.Close(); err != nil {
		t.Fatal(err)
	}
	name := path.Join(testDir, segmentName{}.String()+txnSuffix)
	whole, err := mem.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	damage := func(b []byte) error {
		f, err := mem.OpenFile(name, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := errors.Join(f.Truncate(0), f.Sync()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		l, _, err := Open(testDir, Options{FS: mem})
		if err != nil {
			return err
		}
		defer l.Close()
		_, err = l.AbortedTxns(0, 12)
		return err
	}
	if err := damage(whole); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		if err := damage(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: %v", i, err)
		}
		if err := damage(whole[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
	}
}

// A full disk at a checkpoint costs nothing but the checkpoint.
func TestTxnIndexThatCannotBeWritten(t *testing.T) {
	mem := newMem(t)
	full := false
	r := &txnRun{t: t, rnd: rand.New(rand.NewPCG(1, 2))}
	r.fs = vfs.NewFault(mem, func(op vfs.Op) vfs.Verdict {
		if full && op.Kind == vfs.OpWrite && path.Ext(op.Path) == tempSuffix {
			return vfs.Verdict{Err: os.ErrInvalid}
		}
		return vfs.Verdict{}
	})
	r.open()
	for range 50 {
		r.append()
	}
	full = true
	if err := r.l.SaveCheckpoint(Checkpoint{Index: r.l.LastIndex()}); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("checkpoint on a full disk: %v", err)
	}
	r.check()
	full = false
	if err := r.l.SaveCheckpoint(Checkpoint{Index: r.l.LastIndex()}); err != nil {
		t.Error(err)
	}
	r.check()
	if len(r.l.aborted) > 0 {
		t.Errorf("%d transactions stay in memory", len(r.l.aborted))
	}
	r.open()
	r.check()
}

func FuzzReadTxnIndex(f *testing.F) {
	f.Add(encodeTxns(7, []AbortedTxn{{1, 7, 9, 10}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := newMem(t)
		file, err := mem.OpenFile("data/x", true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(b, 0); err != nil {
			t.Fatal(err)
		}
		var x txnIndex
		x.init(mem, "data/x", 7)
		x.exists = true
		txns, err := x.all()
		if err == nil && !bytes.Equal(encodeTxns(7, txns), b) {
			t.Fatalf("%x was read as %v", b, txns)
		}
	})
}
