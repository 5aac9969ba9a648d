package partition

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/share"
)

// ownBox writes dead letters to the partition that they come from.
type ownBox struct{ p *Partition }

func (l ownBox) WriteDeadLetters(ctx context.Context, _ string, _ cluster.TopicPartition, rs []batch.Record) (int, error) {
	b, err := batch.BuildRecords(rs, batch.BuildOptions{})
	if err != nil {
		return 0, err
	}
	a, err := l.p.ProduceDeadLetters(b)
	if err != nil {
		return 0, err
	}
	if _, err = a.Wait(ctx); err != nil {
		return 0, err
	}
	return len(rs), nil
}

// A queue is worked off on a full disk, which is how it gets space back.
func TestShareOnAFullDisk(t *testing.T) {
	f := newQueue(t, nil, map[string]string{"errors.deadletterqueue.topic.name": "dead"})
	p := f.partition()
	p.letters = ownBox{p}
	f.enqueue(value("a"), value("b"), value("c"), value("d"))
	reclaim := func() {
		t.Helper()
		r, ok := p.Reclaimable()
		if !ok {
			t.Fatal("nothing to reclaim")
		}
		p.ReclaimQueue(r, NothingNeeded)
	}

	f.space.Store(uint32(raft.SpaceLow))
	if _, err := f.produce(records(t, -1, 0, 0, "x")); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("produce: %v", err)
	}
	f.want("on a full disk", f.receive("m", 2), "a/1", "b/1")
	f.must(f.acknowledge("m", share.Accept, 0, 0))
	f.must(f.acknowledge("m", share.Reject, 1, 1))
	f.wantStart(2) // the dead letter, at offset 4, is written
	reclaim()
	f.wantLogStart(2)

	f.space.Store(uint32(raft.SpaceScarce))
	f.want("with space for dead letters used up", f.receive("m", 2), "c/1", "d/1")
	f.must(f.acknowledge("m", share.Accept, 3, 3))
	f.space.Store(uint32(raft.SpaceCritical))
	f.want("with space for deliveries used up", f.receive("m", 2))
	f.must(f.acknowledge("m", share.Reject, 2, 2))
	f.wantStart(2)
	if s, err := p.ShareState(group, 0); err != nil || s.DeadLettering != 1 {
		t.Errorf("%d dead letters are due, want 1 (%v)", s.DeadLettering, err)
	}
	f.space.Store(uint32(raft.SpaceLow))
	f.wantStart(4)
	reclaim()
	f.wantLogStart(4)
	f.space.Store(uint32(raft.SpaceAmple))
	f.want("the dead letters", f.receive("m", 2), "b/1", "c/1")
}
