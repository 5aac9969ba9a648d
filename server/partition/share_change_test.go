package partition

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/server/share"
)

// keepBack acknowledges as a fetch does, which nobody waits for yet.
func (f *fixture) keepBack(member string, typ share.AckType, first, last log.Offset) *ShareChange {
	f.t.Helper()
	c, err := f.partition().ShareAcknowledge(ShareAcknowledge{
		Group: group, Member: member, Acks: []share.Ack{{First: first, Last: last, Types: []share.AckType{typ}}}, Keep: true,
	})
	f.must(err)
	return c
}

func (f *fixture) shareStart() log.Offset {
	f.t.Helper()
	s, err := f.partition().ShareState(group, 0)
	f.must(err)
	return s.Start
}

// TestShareAcknowledgementsGoWithAcquisitions: what a fetch acknowledges and what it acquires is one entry.
func TestShareAcknowledgementsGoWithAcquisitions(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"), value("c"), value("d"))
	f.want("first", f.receive("m", 3), "a/1", "b/1", "c/1")
	before := f.partition().plog.LastIndex()
	a := f.keepBack("m", share.Accept, 0, 0)
	b := f.keepBack("m", share.Release, 1, 1)
	c := f.keepBack("m", share.Accept, 2, 2)
	f.want("what was released is there at once", f.receive("n", 9), "b/2", "d/1")
	if n := f.partition().plog.LastIndex() - before; n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
	for _, change := range []*ShareChange{a, b, c} {
		f.must(change.Wait(t.Context()))
	}
	if start := f.shareStart(); start != 1 {
		t.Errorf("the share partition starts at %d", start)
	}
}

func TestShareKeptDecisionIsReplicated(t *testing.T) {
	for name, await := range map[string]func(*fixture, *ShareChange){
		"when it is waited for": func(f *fixture, c *ShareChange) { f.must(c.Wait(t.Context())) },
		"after a while": func(f *fixture, _ *ShareChange) {
			for deadline := time.Now().Add(20 * time.Second); f.shareStart() == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond) // a real timer
			}
		},
		"before what replaces the state": func(f *fixture, c *ShareChange) {
			f.must(f.partition().ShareReset(t.Context(), group, share.Epoch{}, 1))
			f.must(c.Wait(t.Context()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newQueue(t, nil, nil)
			f.enqueue(value("a"), value("b"))
			f.want("first", f.receive("m", 1), "a/1")
			await(f, f.keepBack("m", share.Accept, 0, 0))
			if start := f.shareStart(); start != 1 {
				t.Errorf("the share partition starts at %d", start)
			}
			f.restart()
			f.want("it is not forgotten", f.receive("m", 9), "b/1")
		})
	}
}

// TestShareKeptDecisionOfAFormerLeader: whoever waits for it learns that it is not known.
func TestShareKeptDecisionOfAFormerLeader(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"))
	f.want("first", f.receive("m", 1), "a/1")
	s := &f.partition().shares
	c := f.keepBack("m", share.Accept, 0, 0)
	s.mu.Lock()
	s.leading.Epoch--
	s.mu.Unlock()
	f.want("it is locked still", f.receive("n", 1))
	if err := c.Wait(t.Context()); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("the acknowledgement: %v", err)
	}
	f.must(f.acknowledge("m", share.Accept, 0, 0))
}

// TestShareAcquiresBeforeCommit: a record is acquired when it is in the leader's log; the client gets it when all of it is durable.
func TestShareAcquiresBeforeCommit(t *testing.T) {
	f := newQueue(t, nil, nil)
	release := f.holdCommits()
	p := f.partition()
	a, err := p.Produce(records(t, -1, -1, -1, "x"), nil)
	f.must(err)
	var taken *ShareAcquiring
	for deadline := time.Now().Add(20 * time.Second); taken == nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		taken, err = p.ShareAcquire(ShareAcquire{Group: group, Member: "m", MaxRecords: 9, MaxBytes: 1 << 20})
		f.must(err)
	}
	if n, _ := taken.Taken(); n != 1 || p.highWatermark() != 0 {
		t.Errorf("%d records acquired, the high watermark is %d", n, p.highWatermark())
	}
	select {
	case <-taken.proposals[0].Done():
		t.Error("the client gets a record that is not durable")
	default:
	}
	release()
	got, err := taken.Wait(t.Context())
	f.must(err)
	if len(got.Acquired) != 1 || p.highWatermark() != 1 {
		t.Errorf("%+v, the high watermark is %d", got.Acquired, p.highWatermark())
	}
	_, err = a.Wait(t.Context())
	f.must(err)
}
