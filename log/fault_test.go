package log

import (
	"errors"
	"strings"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

var errDisk = errors.New("disk error")

func isData(op vfs.Op) bool { return strings.HasSuffix(op.Path, dataSuffix) }

// failing fails the n-th operation of a kind on data files, once, after some bytes of it landed.
func failing(kind vfs.OpKind, n, written int, err error) vfs.Rule {
	return func(op vfs.Op) vfs.Verdict {
		if op.Kind != kind || !isData(op) {
			return vfs.Verdict{}
		}
		if n--; n != -1 {
			return vfs.Verdict{}
		}
		return vfs.Verdict{Err: err, Written: written}
	}
}

type faultRun struct {
	t   *testing.T
	mem *vfs.Mem
	fs  *vfs.Fault
	l   *Log
	m   *model
}

func newFaultRun(t *testing.T, c Config) *faultRun {
	mem := newMem(t)
	r := &faultRun{t: t, mem: mem, fs: vfs.NewFault(mem, nil), m: newModel()}
	r.l, _ = open(t, r.fs, c)
	return r
}

// append appends values as one batch each, and tells the model if it worked.
func (r *faultRun) append(values ...string) error {
	var batches []batch.Batch
	for i, v := range values {
		batches = append(batches, batch.Build([][]byte{[]byte(v)}, int64(1000+i)))
	}
	err := r.l.Append(batches, sameEpoch(batches, 1), FlushAsConfigured)
	if err == nil {
		for _, b := range batches {
			r.m.append(b, 1)
		}
	}
	return err
}

func (r *faultRun) mustAppend(values ...string) {
	r.t.Helper()
	if err := r.append(values...); err != nil {
		r.t.Fatal(err)
	}
}

// reopen opens the log after a crash that keeps everything in the page cache.
func (r *faultRun) reopen() {
	r.t.Helper()
	l, _, err := Open(testDir, Options{FS: r.mem})
	if err != nil {
		r.t.Fatal(err)
	}
	r.l = l
}

func TestFailedWriteIsUndone(t *testing.T) {
	for _, written := range []int{0, 1, 60, 75, 200} {
		for _, cause := range []error{vfs.ErrNoSpace, errDisk} {
			r := newFaultRun(t, Config{FlushEveryAppend: true})
			r.mustAppend("first", "second")
			r.fs.SetRule(failing(vfs.OpWrite, 0, written, cause))
			if err := r.append("lost", "lost too", "and this"); !errors.Is(err, cause) || errors.Is(err, ErrFailed) {
				t.Fatalf("append answers %v", err)
			}
			check(t, r.l, r.m)
			r.mustAppend("third")
			check(t, r.l, r.m)
			r.reopen()
			check(t, r.l, r.m)
		}
	}
}

func TestFailedUndoLatches(t *testing.T) {
	for _, kind := range []vfs.OpKind{vfs.OpTruncate, vfs.OpSync} {
		r := newFaultRun(t, Config{})
		r.mustAppend("first")
		write, undo := failing(vfs.OpWrite, 0, 10, vfs.ErrNoSpace), failing(kind, 0, 0, errDisk)
		r.fs.SetRule(func(op vfs.Op) vfs.Verdict {
			if v := write(op); v.Err != nil {
				return v
			}
			return undo(op)
		})
		if err := r.append("lost"); !errors.Is(err, ErrFailed) || !errors.Is(err, errDisk) {
			t.Fatalf("append answers %v", err)
		}
		if err := r.append("refused"); !errors.Is(err, ErrFailed) {
			t.Fatalf("append to a failed log answers %v", err)
		}
		check(t, r.l, r.m) // reading goes on
		r.reopen()
		check(t, r.l, r.m)
	}
}

func TestFailedFsyncLatchesForGood(t *testing.T) {
	r := newFaultRun(t, Config{FlushEveryAppend: true})
	r.mustAppend("first")
	r.fs.SetRule(failing(vfs.OpSync, 0, 0, errDisk))
	if err := r.append("in doubt"); !errors.Is(err, ErrFailed) {
		t.Fatalf("append answers %v", err)
	}
	r.fs.SetRule(nil) // a retried fsync would lie
	if r.l.DurableIndex() != 1 {
		t.Errorf("durable index %d", r.l.DurableIndex())
	}
	for name, err := range map[string]error{
		"append": r.append("refused"), "sync": r.l.Sync(), "failed": r.l.Failed(), "truncate": r.l.TruncateSuffix(2),
		"checkpoint": r.l.SaveCheckpoint(Checkpoint{Index: 1}), "reset": r.l.Reset(5, 5, 5, nil), "close": r.l.Close(),
	} {
		if !errors.Is(err, ErrFailed) {
			t.Errorf("%s answers %v", name, err)
		}
	}
}

func TestBackgroundFlush(t *testing.T) {
	r := newFaultRun(t, Config{FlushBytes: 1})
	release := make(chan struct{})
	r.fs.SetRule(func(op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpSync && isData(op) {
			<-release
			return vfs.Verdict{Err: errDisk}
		}
		return vfs.Verdict{}
	})
	r.mustAppend("one")
	r.mustAppend("two") // although the fsync hangs
	check(t, r.l, r.m)
	close(release)
	r.l.background.Wait()
	if err := r.append("three"); !errors.Is(err, ErrFailed) {
		t.Errorf("after a failed background fsync append answers %v", err)
	}
}

func TestFailedRollLeavesTheLogUsable(t *testing.T) {
	for _, suffix := range []string{dataSuffix, indexSuffix} {
		for _, kind := range []vfs.OpKind{vfs.OpOpen, vfs.OpWrite} {
			r := newFaultRun(t, Config{SegmentBytes: 200, FlushEveryAppend: true})
			r.mustAppend("first", "second")
			fail := true
			r.fs.SetRule(func(op vfs.Op) vfs.Verdict {
				if fail && op.Kind == kind && strings.HasSuffix(op.Path, suffix) {
					return vfs.Verdict{Err: vfs.ErrNoSpace}
				}
				return vfs.Verdict{}
			})
			if err := r.append("third"); err == nil || errors.Is(err, ErrFailed) {
				t.Fatalf("%s of %s fails: append answers %v", kind, suffix, err)
			}
			check(t, r.l, r.m)
			fail = false
			r.mustAppend("third")
			r.mustAppend("fourth")
			check(t, r.l, r.m)
			r.reopen()
			check(t, r.l, r.m)
		}
	}
}

func TestEveryByteIsWrittenOnce(t *testing.T) {
	r := newFaultRun(t, Config{SegmentBytes: 4000, FlushEveryAppend: true})
	r.fs.Reset(isData)
	appends := int64(0)
	for range 40 {
		r.mustAppend(strings.Repeat("x", 300), strings.Repeat("y", 200), "z")
		appends++
	}
	if got := r.fs.Count(vfs.OpWrite); got.Bytes != r.l.Size() || got.Ops != appends {
		t.Errorf("%d writes of %d bytes for %d appends of %d bytes", got.Ops, got.Bytes, appends, r.l.Size())
	}
	if got := r.fs.Count(vfs.OpSync); got.Ops != appends {
		t.Errorf("%d fsyncs for %d appends", got.Ops, appends)
	}
	if got := r.fs.Count(vfs.OpRead); got.Ops != 0 {
		t.Errorf("%d reads", got.Ops)
	}
}

func TestTailReadsDoNoIO(t *testing.T) {
	r := newFaultRun(t, Config{})
	for range 100 {
		r.mustAppend("a", "b", "c")
	}
	r.fs.Reset(nil)
	for o := Offset(200); o < 300; o++ {
		s, err := r.l.Read(o, 300, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		s.Release()
		if _, err := r.l.Info(Index(o) + 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.fs.Count(vfs.OpRead); got.Ops != 0 {
		t.Errorf("%d reads", got.Ops)
	}
}
