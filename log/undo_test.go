package log

import (
	"sync/atomic"
	"testing"
	"time"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// TestUndoIsNotBesideSync: a write-back that failed is told to one fsync only, as the system does it. Whichever that is, nothing that is
// lost counts as durable.
func TestUndoIsNotBesideSync(t *testing.T) {
	r := newFaultRun(t, Config{})
	r.mustAppend("first")
	began, goOn := make(chan struct{}), make(chan struct{})
	var syncs atomic.Int32
	r.fs.SetRule(func(op vfs.Op) (v vfs.Verdict) {
		switch {
		case !isData(op):
		case op.Kind == vfs.OpWrite:
			v.Err = vfs.ErrNoSpace
		case op.Kind == vfs.OpSync:
			if syncs.Add(1) > 1 {
				v.Err = errDisk
				break
			}
			close(began)
			<-goOn
		}
		return v
	})
	synced, appended := make(chan error, 1), make(chan error, 1)
	go func() { synced <- r.l.Sync() }()
	<-began
	batches := []batch.Batch{batch.Build([][]byte{[]byte("second")}, 1)}
	go func() { appended <- r.l.Append(batches, sameEpoch(batches, 1), FlushByCaller) }()
	select {
	case err := <-appended:
		t.Errorf("undone (%v) beside the other fsync", err)
	case <-time.After(50 * time.Millisecond): // any time passes if the code is right
	}
	close(goOn)
	if err := <-synced; err != nil {
		t.Error(err)
	}
}
