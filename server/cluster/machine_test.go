package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"balsa/log"
	"balsa/raft"
)

func entryAt(index uint64, e Entry) raft.Entry {
	return raft.Entry{Index: log.Index(index), Payload: e.Encode()}
}

func TestMachineAppliesInOrder(t *testing.T) {
	m := NewMachine()
	m.Apply([]raft.Entry{
		entryAt(3, Entry{Base: 0, Records: []Record{ClusterIDSet{"c"}}}),
		entryAt(7, Entry{Base: 3, Records: []Record{ProducerIDsAllocated{1000}}}),
	})
	img := m.Image()
	if img.Version != 7 || img.ClusterID != "c" || img.NextProducer != 1000 {
		t.Errorf("image %+v", img)
	}
}

// TestStaleDecisionHasNoEffect: an entry that was decided from an older image is left out, and its proposer is told.
func TestStaleDecisionHasNoEffect(t *testing.T) {
	m := NewMachine()
	won, lost := m.Expect(1), m.Expect(2)
	m.Apply([]raft.Entry{
		entryAt(5, Entry{Base: 0, Nonce: 1, Records: []Record{ClusterIDSet{"first"}}}),
		entryAt(6, Entry{Base: 0, Nonce: 2, Records: []Record{ClusterIDSet{"second"}}}),
	})
	if img := m.Image(); img.ClusterID != "first" || img.Version != 5 {
		t.Errorf("image %+v, want the first entry's", img)
	}
	if o := <-won; o != (Outcome{Applied: true, Version: 5}) {
		t.Errorf("the first one's outcome: %+v", o)
	}
	if o := <-lost; o != (Outcome{Applied: false, Version: 5}) {
		t.Errorf("the second one's outcome: %+v", o)
	}
	if len(m.outcomes) != 0 {
		t.Errorf("%d outcomes are still expected", len(m.outcomes))
	}
}

func TestForgottenOutcomeIsNotKept(t *testing.T) {
	m := NewMachine()
	m.Expect(1)
	m.Forget(1)
	m.Apply([]raft.Entry{entryAt(1, Entry{Nonce: 1, Records: []Record{ClusterIDSet{"c"}}})})
	if len(m.outcomes) != 0 {
		t.Error("a forgotten outcome is kept")
	}
}

func TestMachineDiesRatherThanSkip(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an unreadable entry was skipped")
		}
	}()
	NewMachine().Apply([]raft.Entry{{Index: 1, Payload: []byte("nonsense")}})
}

// TestMachineKeepsNothingOfThePayload: Raft reuses it after Apply.
func TestMachineKeepsNothingOfThePayload(t *testing.T) {
	m := NewMachine()
	e := entryAt(1, Entry{Records: []Record{
		ClusterIDSet{"cluster"},
		TopicCreated{Topic{ID: TopicID{1}, Name: "topic", Partitions: []Partition{{Replicas: []raft.NodeID{1}}}}},
	}})
	m.Apply([]raft.Entry{e})
	before := string(m.Snapshot())
	clear(e.Payload)
	if string(m.Snapshot()) != before {
		t.Error("the image changed with the payload")
	}
}

func TestWaitVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMachine()
		var got *Image
		go func() { got, _ = m.WaitVersion(t.Context(), 6) }()
		synctest.Wait()
		m.Apply([]raft.Entry{entryAt(5, Entry{Base: 0, Records: []Record{ClusterIDSet{"c"}}})})
		synctest.Wait()
		if got != nil {
			t.Fatal("did not wait for the version")
		}
		m.Apply([]raft.Entry{entryAt(9, Entry{Base: 5, Records: []Record{ProducerIDsAllocated{1}}})})
		synctest.Wait()
		if got == nil || got.Version != 9 {
			t.Fatalf("got %+v, want version 9", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.WaitVersion(ctx, 10); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}

func TestRestoreReplacesTheImage(t *testing.T) {
	from, to := NewMachine(), NewMachine()
	from.Apply([]raft.Entry{entryAt(4, Entry{Records: []Record{ClusterIDSet{"c"}}})})
	_, changed := to.Watch()
	if err := to.Restore(from.Snapshot()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
	default:
		t.Error("watchers were not told")
	}
	if img := to.Image(); img.ClusterID != "c" || img.Version != 4 {
		t.Errorf("restored %+v", img)
	}
	if err := to.Restore(nil); err != nil || to.Image().Version != 0 || to.Image().ClusterID != "" {
		t.Errorf("nil restored %+v, %v, want the empty image", to.Image(), err)
	}
	if err := to.Restore([]byte("nonsense")); err == nil {
		t.Error("nonsense was restored")
	}
}

func TestLeadershipIsWatched(t *testing.T) {
	m := NewMachine()
	l, changed := m.WatchLeadership()
	if l.Leader != raft.NoNode {
		t.Errorf("leader %d at first", l.Leader)
	}
	m.LeadershipChanged(raft.Leadership{Leader: 3, Epoch: 2})
	<-changed
	if l, _ := m.WatchLeadership(); l.Leader != 3 || l.Epoch != 2 {
		t.Errorf("leadership %+v", l)
	}
}
