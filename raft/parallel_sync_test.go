package raft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// holdSyncs holds back fsyncs of segments until the function that it returns is called, or the test ends.
func holdSyncs(t *testing.T, faults ...*vfs.Fault) (release func()) {
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	for _, f := range faults {
		f.SetRule(func(op vfs.Op) vfs.Verdict {
			if op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, ".log") {
				<-held
			}
			return vfs.Verdict{}
		})
	}
	return release
}

func proposeValue(n *testNode, value string) *Proposal {
	return n.group.Propose(batch.KindData, batch.Build([][]byte{[]byte(value)}, 1))
}

// staysPending fails if an entry is committed that the leader's disk does not have.
func staysPending(t *testing.T, p *Proposal) {
	t.Helper()
	select {
	case <-p.Done():
		t.Errorf("it is committed (%v) before the leader's disk has it", p.Err())
	case <-time.After(100 * time.Millisecond): // any time passes if the code is right
	}
}

// TestLeaderSyncsBesideReplication: the followers get an entry while the leader makes it durable, and it counts only when it is.
func TestLeaderSyncsBesideReplication(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	c.write("a", 3)
	leader := c.leader()
	release := holdSyncs(t, faults[leader.id-1])
	before := leader.plog.LastIndex()
	p := proposeValue(leader, "slow")
	eventually(t, "the followers have it", func() bool {
		return !slices.ContainsFunc(c.nodes, func(n *testNode) bool { return n.plog.DurableIndex() <= before && n != leader })
	})
	staysPending(t, p)
	for _, n := range c.nodes {
		if _, values := n.content(); len(values) != 4 {
			t.Errorf("node %d has %v", n.id, values)
		}
		if applied := n.machine.last(); applied >= leader.plog.LastIndex() {
			t.Errorf("node %d has applied it", n.id)
		}
	}
	release()
	if err := p.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestFormerLeaderAcknowledgesWhatIsDurable: what a replica wrote as the leader is no more durable for its being asked again.
func TestFormerLeaderAcknowledgesWhatIsDurable(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	c.write("a", 3)
	former := c.leader()
	release := holdSyncs(t, faults[former.id-1])
	before := former.plog.LastIndex()
	p := proposeValue(former, "slow")
	others := slices.DeleteFunc(slices.Clone(c.nodes), func(n *testNode) bool { return n == former })
	eventually(t, "the others have it", func() bool {
		return former.plog.LastIndex() > before && others[0].plog.LastIndex() > before && others[1].plog.LastIndex() > before
	})
	others[0].group.Campaign()
	var next *testNode
	eventually(t, "the leadership changed", func() bool {
		i := slices.IndexFunc(others, func(n *testNode) bool { return n.group.Leadership().Ready })
		if i >= 0 {
			next = others[i]
		}
		return i >= 0
	})
	if durable := former.plog.DurableIndex(); durable > before {
		t.Errorf("entry %d is durable on a disk that stands still", durable)
	}
	// The next leader asks for what the former one has already.
	info, err := next.plog.Info(before + 1)
	if err != nil {
		t.Fatal(err)
	}
	req := &hraft.AppendEntriesRequest{Entries: []*hraft.Log{{Index: uint64(before) + 1, Term: uint64(info.Header.Epoch)}}}
	asked := make(chan error, 1)
	go func() { asked <- former.host.ownDurable(c.id, req, &hraft.AppendEntriesResponse{Success: true}) }()
	select {
	case err := <-asked:
		t.Fatalf("an entry is acknowledged (%v) that is not durable", err)
	case <-time.After(100 * time.Millisecond):
	}
	release()
	if err := <-asked; err != nil {
		t.Error(err)
	}
	<-p.Done()
	c.same([]string{"a-0", "a-1", "a-2", "slow"})
}

// TestOnlyVoterSyncsFirst: nobody else's acknowledgement can be held back.
func TestOnlyVoterSyncsFirst(t *testing.T) {
	c, faults := withFaults(t, 1, everyAppend)
	c.write("a", 3)
	leader := c.leader()
	release := holdSyncs(t, faults[0])
	p := proposeValue(leader, "slow")
	staysPending(t, p)
	release()
	if err := p.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestAppendedIsToldBeforeCommit: who waits for records learns of them when the leader has written them.
func TestAppendedIsToldBeforeCommit(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	c.write("a", 1)
	leader := c.leader()
	told := make(chan int64, 10)
	leader.group.state.store.appended = func(n int64) { told <- n }
	release := holdSyncs(t, faults...)
	b := batch.Build([][]byte{[]byte("x")}, 1)
	size := int64(len(b))
	p := leader.group.Propose(batch.KindData, b)
	if n := <-told; n != size {
		t.Errorf("%d bytes were appended, want %d", n, size)
	}
	release()
	if err := p.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestPowerCut cuts the power of all nodes at once, again and again, while the disks of some are slow: what was acknowledged is there
// afterwards.
func TestPowerCut(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 5
	}
	random := rand.New(rand.NewPCG(1, 2))
	c := newTestCluster(t, 3, everyAppend)
	disks := make([]*vfs.Mem, len(c.nodes))
	for i, n := range c.nodes {
		n.stop()
		disks[i], _ = n.fs.(*vfs.Mem)
	}
	var acknowledged []string
	for round := range rounds {
		var slow [3]time.Duration // what an fsync takes
		for i, n := range c.nodes {
			slow[i] = time.Duration(random.IntN(4)) * time.Millisecond
			fault := vfs.NewFault(disks[i], func(op vfs.Op) vfs.Verdict {
				if op.Kind == vfs.OpSync {
					time.Sleep(slow[i])
				}
				return vfs.Verdict{}
			})
			n.fs = fault
			n.start()
		}
		leader := c.leader()
		var mu sync.Mutex
		var writers sync.WaitGroup
		stop := make(chan struct{})
		for w := range 4 {
			writers.Go(func() {
				for i := 0; ; i++ {
					value := fmt.Sprintf("%d-%d-%d", round, w, i)
					if err := proposeValue(leader, value).Wait(context.Background()); err != nil {
						return
					}
					mu.Lock()
					select {
					case <-stop:
					default:
						acknowledged = append(acknowledged, value)
					}
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(20+random.IntN(60)) * time.Millisecond) // load has no other end
		mu.Lock()
		close(stop) // what is acknowledged from now on, nobody is told
		for i := range disks {
			disks[i] = disks[i].Crash(random.Uint64())
		}
		mu.Unlock()
		for _, n := range c.nodes {
			n.stop()
		}
		writers.Wait()
	}
	for i, n := range c.nodes {
		n.fs = disks[i]
		n.start()
	}
	_, values := c.leader().content()
	kept := map[string]bool{}
	for _, v := range values {
		kept[v] = true
	}
	for _, v := range acknowledged {
		if !kept[v] {
			t.Errorf("%s was acknowledged and is lost", v)
		}
	}
	if len(acknowledged) < 10*rounds {
		t.Errorf("only %d values were acknowledged: the test proves little", len(acknowledged))
	}
}

// TestStalledReplicaIsNotElected: a former leader whose disk hangs stays out of the way of those that work.
func TestStalledReplicaIsNotElected(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	c.write("a", 3)
	former := c.leader()
	holdSyncs(t, faults[former.id-1])
	proposeValue(former, "slow")
	parallel := former.group.state.store.parallel
	eventually(t, "the fsync is under way", func() bool { return parallel.syncing.Load() != 0 })
	parallel.syncing.Store(time.Now().Add(-2 * stallLimit).UnixNano())
	eventually(t, "it stepped down", func() bool { return former.group.raft.State() != hraft.Leader })
	for _, n := range c.nodes {
		req := &hraft.RequestPreVoteRequest{Term: former.group.raft.CurrentTerm() + 1}
		err := former.group.trans.RequestPreVote(hraft.ServerID(n.id.server()), "", req, &hraft.RequestPreVoteResponse{})
		if !errors.Is(err, errStalled) {
			t.Errorf("it asks node %d for its vote: %v", n.id, err)
		}
	}
	eventually(t, "another leads", func() bool {
		former.group.Campaign() // it is always the first to stand
		if former.group.raft.State() == hraft.Leader {
			t.Error("the replica whose disk hangs was elected")
			return true
		}
		return slices.ContainsFunc(c.nodes, func(n *testNode) bool { return n.group.Leadership().Ready && n != former })
	})
}
