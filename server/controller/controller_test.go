package controller

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// create asks node id for a topic and returns the topic's error code.
func (f *fakeCluster) create(ctx context.Context, id raft.NodeID, name string) (int16, error) {
	resp, err := f.node(id).Do(ctx, createTopic(name))
	if err != nil {
		return -1, err
	}
	return resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode, nil
}

func (f *fakeCluster) mustCreate(id raft.NodeID, name string) {
	f.t.Helper()
	if code, err := f.create(f.t.Context(), id, name); code != 0 || err != nil {
		f.t.Fatalf("create %s on node %d: code %d, %v", name, id, code, err)
	}
	if f.node(id).Machine.Image().TopicsByName[name] == nil {
		f.t.Fatalf("node %d does not have topic %s", id, name)
	}
}

func TestClusterComesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeCluster(t, 3)
		stop := f.run(t.Context())
		defer stop()
		synctest.Wait()
		f.elect(2)
		for _, n := range f.nodes {
			if err := n.WaitRegistered(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		img := f.node(1).Machine.Image()
		if img.ClusterID == "" || len(img.Brokers) != 3 || len(img.Topics[cluster.CoordinatorTopic].Partitions) != cluster.CoordinatorShards {
			t.Errorf("image %+v", img)
		}
		for _, n := range f.nodes[1:] {
			if !reflect.DeepEqual(n.Machine.Image(), img) {
				t.Errorf("node %d has another image", n.Broker.ID)
			}
		}
		// Another leader finds all done, and does nothing.
		f.mu.Lock()
		before := f.proposals
		f.mu.Unlock()
		f.elect(3)
		synctest.Wait()
		if f.proposals != before {
			t.Errorf("the next leader proposed %d entries", f.proposals-before)
		}
	})
}

func TestDoOnEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.mustCreate(1, "on-the-leader")
		f.mustCreate(2, "forwarded")
		if code, err := f.create(t.Context(), 3, "forwarded"); code != kerr.TopicAlreadyExists.Code || err != nil {
			t.Errorf("again: code %d, %v", code, err)
		}
		if _, err := f.node(2).Do(t.Context(), kmsg.NewPtrMetadataRequest()); !errors.Is(err, cluster.ErrNotServed) {
			t.Errorf("Metadata: %v", err)
		}
	})
}

// TestAnswerWaitsForTheLocalImage: a client that created a topic through a node finds it there.
func TestAnswerWaitsForTheLocalImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.hold(3, true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.mustCreate(3, "t")
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("answered before the topic was here")
		default:
		}
		if f.node(1).Machine.Image().TopicsByName["t"] == nil {
			t.Fatal("the leader has not created the topic")
		}
		f.hold(3, false)
		<-done
	})
}

// TestSlowImageTimesOut: with the change made but not here, the outcome cannot be vouched for.
func TestSlowImageTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.hold(3, true)
		if _, err := f.create(t.Context(), 3, "t"); !errors.Is(err, kerr.RequestTimedOut) {
			t.Errorf("%v", err)
		}
	})
}

func TestElectionIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.elect(raft.NoNode)
		time.AfterFunc(2*time.Second, func() { f.elect(2) })
		start := time.Now()
		f.mustCreate(3, "t")
		if waited := time.Since(start); waited != 2*time.Second {
			t.Errorf("answered after %v; the election took 2s", waited)
		}
	})
}

func TestNoLeaderInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.elect(raft.NoNode)
		start := time.Now()
		_, err := f.create(t.Context(), 3, "t")
		if !errors.Is(err, kerr.NotController) {
			t.Errorf("%v", err)
		}
		if waited := time.Since(start); waited != defaultTimeout {
			t.Errorf("gave up after %v", waited)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.create(ctx, 3, "t"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's error", err)
		}
	})
}

// TestStaleLeaderIsRefused: who is asked by mistake says so, and the asker finds the right one.
func TestStaleLeaderIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		// Node 3 has not heard yet that node 2 leads.
		f.mu.Lock()
		f.leader = 2
		f.mu.Unlock()
		for _, id := range []raft.NodeID{1, 2} {
			f.node(id).Machine.LeadershipChanged(raft.Leadership{Leader: 2, Ready: id == 2})
		}
		time.AfterFunc(time.Second, func() { f.node(3).Machine.LeadershipChanged(raft.Leadership{Leader: 2}) })
		f.mustCreate(3, "t")
	})
}

// TestHangingLeaderIsLeft: a leader that was paused does not hold up requests once there is another.
func TestHangingLeaderIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.mu.Lock()
		f.hung[1] = true
		f.mu.Unlock()
		time.AfterFunc(2*time.Second, func() { f.elect(2) })
		start := time.Now()
		f.mustCreate(3, "t")
		if waited := time.Since(start); waited > 3*time.Second {
			t.Errorf("answered after %v", waited)
		}
	})
}

func TestHangingLeaderTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.mu.Lock()
		f.hung[1] = true
		f.mu.Unlock()
		if _, err := f.create(t.Context(), 3, "t"); !errors.Is(err, kerr.RequestTimedOut) {
			t.Errorf("%v, want that the outcome is unknown", err)
		}
	})
}

// TestLostLeadershipAfterCommit: the proposer lost its leadership, but its entry survived. The new leader would say that the topic exists
// already; the client gets the answer to what it did.
func TestLostLeadershipAfterCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.onPropose = func(raft.NodeID) (error, bool) {
			f.onPropose = nil
			f.elect(2)
			return raft.ErrLeadershipLost, true
		}
		f.mustCreate(1, "t")
		n := 0
		for _, topic := range f.node(1).Machine.Image().TopicsByName {
			if !topic.Internal() {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d topics", n)
		}
	})
}

// TestLostLeadershipAndLateCommit: the proposer learns only after the new leader's answer that its own entry was committed.
func TestLostLeadershipAndLateCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.onPropose = func(raft.NodeID) (error, bool) {
			f.onPropose = nil
			f.hold(1, true)
			f.elect(2)
			return raft.ErrLeadershipLost, true
		}
		time.AfterFunc(time.Second, func() { f.hold(1, false) })
		f.mustCreate(1, "t")
	})
}

// TestLostLeadershipBeforeCommit: the entry is gone, so the new leader does the work.
func TestLostLeadershipBeforeCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.onPropose = func(raft.NodeID) (error, bool) {
			f.onPropose = nil
			f.elect(2)
			return raft.ErrLeadershipLost, false
		}
		f.mustCreate(1, "t")
	})
}

// TestLostLeadershipOfTheServingNode: the same for a forwarded request.
func TestLostLeadershipOfTheServingNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.onPropose = func(raft.NodeID) (error, bool) {
			f.onPropose = nil
			f.elect(2)
			return raft.ErrLeadershipLost, false
		}
		f.mustCreate(3, "t")
	})
}

// TestOutdatedDecisionIsMadeAgain: another entry gets in between decision and commit.
func TestOutdatedDecisionIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.onPropose = func(raft.NodeID) (error, bool) {
			f.onPropose = nil
			img := f.node(1).Machine.Image()
			f.commit(cluster.Entry{Base: img.Version, Nonce: 1, Records: []cluster.Record{cluster.ProducerIDsAllocated{Next: 1000}}}.Encode())
			return nil, true
		}
		req := kmsg.NewPtrAllocateProducerIDsRequest()
		resp, err := f.node(1).Do(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if start := resp.(*kmsg.AllocateProducerIDsResponse).ProducerIDStart; start != 1000 {
			t.Errorf("block from %d, want 1000: the one from 0 is taken", start)
		}
	})
}

// TestOneOfManyWins: the same topic asked for through all nodes at once is created once.
func TestOneOfManyWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		var mu sync.Mutex
		codes := map[int16]int{}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				code, err := f.create(t.Context(), raft.NodeID(1+i%3), "t")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
			})
		}
		wg.Wait()
		if codes[0] != 1 || codes[kerr.TopicAlreadyExists.Code] != 29 {
			t.Errorf("codes %v", codes)
		}
	})
}

// TestProducerIDsAreUnique under leaders that come and go and lose their entries or not.
func TestProducerIDsAreUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		n := 0
		f.onPropose = func(from raft.NodeID) (error, bool) {
			f.mu.Lock()
			n++
			turn := n
			f.mu.Unlock()
			switch turn % 5 {
			case 0:
				f.elect(from%3 + 1)
				return raft.ErrLeadershipLost, true
			case 2:
				f.elect(from%3 + 1)
				return raft.ErrLeadershipLost, false
			}
			return nil, true
		}
		var mu sync.Mutex
		seen := map[int64]bool{}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				resp, err := f.node(raft.NodeID(1+i%3)).Do(t.Context(), kmsg.NewPtrAllocateProducerIDsRequest())
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				start := resp.(*kmsg.AllocateProducerIDsResponse).ProducerIDStart
				if seen[start] {
					t.Errorf("the block from %d was given twice", start)
				}
				seen[start] = true
			})
		}
		wg.Wait()
		if len(seen) < 30 {
			t.Errorf("only %d of 60 were answered", len(seen))
		}
	})
}

// TestRestartedBrokerRegistersAgain, with its new incarnation.
func TestRestartedBrokerRegistersAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		again := f.newNode(3, 99, 3)
		f.mu.Lock()
		again.Machine.Apply(f.entries)
		f.nodes[2] = again
		f.mu.Unlock()
		again.Machine.LeadershipChanged(raft.Leadership{Leader: 1})
		stop := f.run(t.Context())
		defer stop()
		if err := again.WaitRegistered(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.node(1).Machine.Image().Brokers[3].Incarnation[0]; got != 99 {
			t.Errorf("incarnation %d", got)
		}
	})
}

// TestRemovedBrokerStaysAway until it is started again.
func TestRemovedBrokerStaysAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		stop := f.run(t.Context())
		synctest.Wait()
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = 3
		resp, err := f.node(2).Do(t.Context(), req)
		if err != nil || resp.(*kmsg.UnregisterBrokerResponse).ErrorCode != 0 {
			t.Fatalf("%+v, %v", resp, err)
		}
		time.Sleep(time.Minute) // of the test's clock
		stop()
		if img := f.node(1).Machine.Image(); !img.Unregistered[3] || len(img.Brokers) != 2 {
			t.Fatalf("brokers %+v", img.Brokers)
		}
		again := f.newNode(3, 99, 3)
		f.mu.Lock()
		again.Machine.Apply(f.entries)
		f.nodes[2] = again
		f.mu.Unlock()
		again.Machine.LeadershipChanged(raft.Leadership{Leader: 1})
		stop = f.run(t.Context())
		defer stop()
		if err := again.WaitRegistered(t.Context()); err != nil || f.node(1).Machine.Image().Unregistered[3] {
			t.Errorf("after a restart: %v", err)
		}
	})
}

// TestTwoProcessesWithOneID take turns slowly, not in a busy loop.
func TestTwoProcessesWithOneID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 2)
		// The impostor shares node 2's image and place, so that both see each other's registration.
		impostor := f.newNode(2, 99, 2)
		impostor.Machine = f.node(2).Machine
		f.mu.Lock()
		before := f.proposals
		f.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		stop := f.run(ctx)
		var wg sync.WaitGroup
		wg.Go(func() { impostor.Run(ctx) })
		time.Sleep(time.Minute) // of the test's clock
		cancel()
		stop()
		wg.Wait()
		if n := f.proposals - before; n < 2 || n > 20 {
			t.Errorf("%d registrations in a minute", n)
		}
	})
}

// TestRefusedAsAWhole: nobody tries again, neither on the leader nor where it was forwarded from.
func TestRefusedAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 2)
		huge := createTopic("t")
		list := strings.Repeat(" ", 32_000) + "*"
		key := "leader.replication.throttled.replicas"
		for i := range 300 {
			topic := createTopic(fmt.Sprint("t", i)).Topics[0]
			topic.Configs = []kmsg.CreateTopicsRequestTopicConfig{{Name: key, Value: &list}}
			huge.Topics = append(huge.Topics, topic)
		}
		for id := raft.NodeID(1); id <= 2; id++ {
			start := time.Now()
			if _, err := f.node(id).Do(t.Context(), huge); !errors.Is(err, kerr.PolicyViolation) {
				t.Errorf("node %d: %v", id, err)
			}
			if time.Since(start) != 0 {
				t.Errorf("node %d tried again", id)
			}
		}
	})
}

func TestCancelledRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 3)
		f.elect(raft.NoNode)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := f.create(ctx, 2, "t"); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestClosedGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := serving(t, 1)
		f.onPropose = func(raft.NodeID) (error, bool) { return raft.ErrClosed, false }
		start := time.Now()
		if _, err := f.create(t.Context(), 1, "t"); !errors.Is(err, raft.ErrClosed) {
			t.Errorf("%v", err)
		}
		if time.Since(start) != 0 {
			t.Error("waited for a group that is closed")
		}
	})
}
