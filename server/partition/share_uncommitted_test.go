package partition

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"balsa/log"
	"balsa/log/vfs"
	"balsa/server/share"
)

// hold restarts the node and then holds back operations of one kind on segments, until release is called or the test ends.
func (f *fixture) hold(kind vfs.OpKind) (release func()) {
	f.t.Helper()
	f.stop()
	faults := vfs.NewFault(f.fs, nil)
	f.fs = faults
	f.start()
	f.partition()
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	f.t.Cleanup(release)
	faults.SetRule(func(op vfs.Op) vfs.Verdict {
		if op.Kind == kind && strings.HasSuffix(op.Path, ".log") {
			<-held
		}
		return vfs.Verdict{}
	})
	return release
}

// holdCommits lets nothing become durable, and so nothing commit, until release is called or the test ends.
func (f *fixture) holdCommits() (release func()) { return f.hold(vfs.OpSync) }

// holdWrites lets nothing be appended until release is called or the test ends.
func (f *fixture) holdWrites() (release func()) { return f.hold(vfs.OpWrite) }

// write produces records without waiting until they are committed, and returns when they are in the leader's log.
func (f *fixture) write(values ...string) {
	f.t.Helper()
	p := f.partition()
	end := p.plog.NextOffset() + log.Offset(len(values))
	_, err := p.Produce(records(f.t, -1, -1, -1, values...), nil)
	f.must(err)
	for deadline := time.Now().Add(20 * time.Second); p.plog.NextOffset() < end && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// acquire is receive without waiting until it is replicated.
func (f *fixture) acquire(member string, want int) {
	f.t.Helper()
	a, err := f.partition().ShareAcquire(ShareAcquire{Group: group, Member: member, MaxRecords: 9, MaxBytes: 1 << 20, MinOne: true})
	f.must(err)
	n := 0
	if a != nil {
		n, _ = a.Taken()
	}
	if n != want {
		f.t.Fatalf("%d records acquired, want %d", n, want)
	}
}

// TestShareDeadLetterOfUncommitted: a record that is given up before it is committed has its dead letter afterwards.
func TestShareDeadLetterOfUncommitted(t *testing.T) {
	box := &letterBox{c: make(chan struct{}, 10)}
	f := newQueue(t, nil, map[string]string{
		"errors.deadletterqueue.topic.name": "dead", "share.delivery.count.limit": "1",
	})
	release := f.holdCommits()
	p := f.partition()
	p.letters = box
	f.write("a")
	f.acquire("m", 1)
	p.ShareRelease(group, "m") // its connection broke
	select {
	case <-box.c:
		t.Error("the dead letter is there before its record is committed")
	case <-time.After(50 * time.Millisecond): // any time passes if the code is right
	}
	release()
	f.wantHighWatermark(1)
	p.tickShares()
	f.wantStart(1)
	if len(box.got) != 1 {
		t.Errorf("dead letters: %q", box.got)
	}
}

func (f *fixture) wantHighWatermark(want log.Offset) {
	f.t.Helper()
	p := f.partition()
	for deadline := time.Now().Add(20 * time.Second); p.highWatermark() < want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// TestShareKeysOfUncommitted: a group that becomes ordered learns the keys of all that its window has, also of what is not committed.
func TestShareKeysOfUncommitted(t *testing.T) {
	for name, compacted := range map[string]log.Offset{"a hole is an error": 0, "a hole may be of compaction": 1} {
		t.Run(name, func(t *testing.T) {
			f := newQueue(t, nil, nil)
			f.holdCommits()
			p := f.partition()
			p.machine.mu.Lock()
			p.machine.compaction.to = compacted
			p.machine.mu.Unlock()
			f.write("a")
			f.acquire("m", 1)
			p.ShareRelease(group, "m")
			image := *f.image
			image.GroupConfigs = map[string]map[string]string{group: {"share.ordering": "key"}}
			f.manager.image.Store(&image)
			f.acquire("n", 1)
		})
	}
}

// TestShareAcknowledgesTwice: what is decided already is acknowledged when that is replicated, not before.
func TestShareAcknowledgesTwice(t *testing.T) {
	for name, keep := range map[string]bool{"on its way": false, "kept back": true} {
		t.Run(name, func(t *testing.T) {
			f := newQueue(t, nil, nil)
			f.enqueue(value("a"))
			f.want("first", f.receive("m", 1), "a/1")
			release := f.holdCommits()
			var second *ShareChange
			for _, k := range []bool{keep, false} {
				var err error
				second, err = f.partition().ShareAcknowledge(ShareAcknowledge{
					Group: group, Member: "m", Acks: []share.Ack{{Types: []share.AckType{share.Accept}}}, Keep: k,
				})
				f.must(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // any time passes if the code is right
			defer cancel()
			if err := second.Wait(ctx); err == nil {
				t.Error("acknowledged, and may be forgotten")
			}
			release()
			f.must(second.Wait(t.Context()))
		})
	}
}

// TestShareTakesNothingOfAnotherTerm: what was read before the leadership went and came back need not be in the log any more.
func TestShareTakesNothingOfAnotherTerm(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.stop()
	faults := vfs.NewFault(f.fs, nil)
	f.fs = faults
	f.start()
	f.enqueue(value("a"))
	p := f.partition()
	r := acquisition{p: p, args: ShareAcquire{Group: group, Member: "m", MaxRecords: 9, MaxBytes: 1 << 20}, left: 1 << 20}
	r.in = p.Leadership()
	span, err := p.nextShare(&r)
	f.must(err)
	slice, err := p.plog.Read(span.from, span.to, 1<<20, true)
	f.must(err)
	found, err := p.scanShare(slice, span)
	slice.Release()
	f.must(err)

	before := p.Leadership().Epoch
	var once sync.Once
	faults.SetRule(func(op vfs.Op) (v vfs.Verdict) {
		if op.Kind == vfs.OpWrite && strings.HasSuffix(op.Path, ".log") {
			once.Do(func() { v.Err = vfs.ErrNoSpace })
		}
		return v
	})
	if _, err := f.produce(records(t, -1, -1, -1, "x")); err == nil {
		t.Fatal("there was no space")
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if l := p.Leadership(); l.Ready && l.Epoch > before {
			break
		}
	}
	if more, err := r.take(span, &found); more || err == nil || r.out.count != 0 {
		t.Errorf("%d records are taken, more: %v, %v", r.out.count, more, err)
	}
	f.want("it is there for who reads it now", f.receive("m", 9), "a/1")
}
