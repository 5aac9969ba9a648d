package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
	"balsa/log/batch"
	"balsa/log/vfs"
)

// Each test here was a bug, found by review or under faults.

// follower returns a running node that does not lead.
func (c *testCluster) follower() *testNode {
	c.t.Helper()
	leader := c.leader()
	for _, n := range c.nodes {
		if n != leader && n.host != nil {
			return n
		}
	}
	c.t.Fatal("no follower runs")
	return nil
}

// A follower that restarts must learn what is committed also when nothing new is written: the leader may not take its
// earlier acknowledgement for the new process's.
func TestRestartedFollowerLearnsCommitWithoutWrites(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	first := map[*testNode][]byte{}
	for _, n := range c.nodes {
		checkpoint, err := n.fs.ReadFile("log/checkpoint")
		if err != nil {
			t.Fatal(err)
		}
		first[n] = checkpoint
	}
	c.same(c.write("a", 5))
	leader := c.leader()
	for _, n := range c.nodes {
		if n == leader {
			continue
		}
		// With its first position it has to be told again that its entries are committed.
		n.stop()
		f, err := n.fs.OpenFile("log/checkpoint", true)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteAt(first[n], 0)
		if err = errors.Join(err, f.Truncate(int64(len(first[n]))), f.Close()); err != nil {
			t.Fatal(err)
		}
		n.start()
		eventually(t, "the follower applied everything again", func() bool { return n.machine.last() == leader.machine.last() })
	}
}

// slowStable is a term store whose write of one term hangs.
type slowStable struct {
	hraft.StableStore
	at       uint64
	hit      chan struct{}
	release  chan struct{}
	hangOnce sync.Once
}

func (s *slowStable) SetUint64(key []byte, v uint64) error {
	if string(key) == "CurrentTerm" && v == s.at {
		s.hangOnce.Do(func() { close(s.hit); <-s.release })
	}
	return s.StableStore.SetUint64(key, v)
}

// The library's fast path for heartbeats set the term beside the main loop: a vote granted meanwhile was undone, and the
// voter went on to acknowledge the deposed leader's entries.
func TestTermNeverFalls(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.same(c.write("a", 3))
	for _, n := range c.nodes[1:] {
		n.stop()
	}
	n := c.nodes[0]
	n.stop()
	slow := quick
	slow.Heartbeat, slow.Election = 30*time.Second, 30*time.Second // nobody stands for election by himself
	host, err := NewHost(HostConfig{
		Node: 1, Dir: n.dir, Logger: slog.New(slog.DiscardHandler), Timing: slow,
		Dial: func(context.Context, NodeID) (net.Conn, error) { return nil, errors.New("no network here") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	plog, checkpoint, err := log.Open("log", log.Options{FS: n.fs, Syncer: NewSyncer(1), Config: c.conf})
	if err != nil {
		t.Fatal(err)
	}
	defer plog.Close()
	inner, err := host.stable.group(c.id)
	if err != nil {
		t.Fatal(err)
	}
	term, err := inner.GetUint64([]byte("CurrentTerm"))
	if err != nil {
		t.Fatal(err)
	}
	stable := &slowStable{StableStore: inner, at: term + 1, hit: make(chan struct{}), release: make(chan struct{})}
	g := host.newGroup(c.id, &recorder{})
	store, err := g.prepare(GroupConfig{ID: c.id, Log: plog, Checkpoint: checkpoint, Machine: g.machine})
	if err != nil {
		t.Fatal(err)
	}
	if err := host.startGroup(g, host.timing.config(false), store, stable, g.snaps); err != nil {
		t.Fatal(err)
	}
	beat := make(chan hraft.RPCResponse, 1)
	g.trans.heartbeat(2, term+1, beat)
	<-stable.hit
	vote := make(chan hraft.RPCResponse, 1)
	g.trans.requests <- hraft.RPC{
		Command: &hraft.RequestVoteRequest{
			RPCHeader: rpcHeader(3), Term: term + 2, LastLogIndex: 1000, LastLogTerm: term, LeadershipTransfer: true,
		},
		RespChan: vote,
	}
	close(stable.release)
	<-beat
	if v, ok := (<-vote).Response.(*hraft.RequestVoteResponse); !ok || !v.Granted {
		t.Fatalf("the vote was not granted: %+v", v)
	}
	entry := make(chan hraft.RPCResponse, 1)
	var last hraft.Log
	if err := store.GetLog(uint64(plog.LastIndex()), &last); err != nil {
		t.Fatal(err)
	}
	g.trans.requests <- hraft.RPC{
		Command: &hraft.AppendEntriesRequest{
			RPCHeader: rpcHeader(2), Term: term + 1, PrevLogEntry: last.Index, PrevLogTerm: last.Term,
			Entries: []*hraft.Log{{Index: last.Index + 1, Term: term + 1, Type: hraft.LogNoop}},
		},
		RespChan: entry,
	}
	if a, ok := (<-entry).Response.(*hraft.AppendEntriesResponse); !ok || a.Success {
		t.Errorf("entries of term %d were acknowledged after a vote in term %d", term+1, term+2)
	}
	if now := g.raft.CurrentTerm(); now < term+2 {
		t.Errorf("the term is %d after a vote in %d", now, term+2)
	}
}

// A replicator that outlives its leader's term (it waits for a link) finds a later leader's entries under the indexes that it
// was told to send. They must not pass for its own leader's.
func TestEntriesOfALaterTermAreRefused(t *testing.T) {
	b := batch.Build([][]byte{[]byte("v")}, 1)
	b.Stamp(0, 7)
	body := append(appendHeader{term: 5, prevIndex: 4, prevTerm: 5, count: 1, batches: true}.appendTo(nil), b...)
	if _, _, err := decodeAppend(1, body); !errors.Is(err, errFrame) {
		t.Errorf("err = %v, want a refusal", err)
	}
}

// A replica that lost its log but not its vote helped to elect a leader without acknowledged records.
func TestReplicaThatLostItsLogStaysOut(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.write("a", 3)
	n := c.follower()
	n.stop()
	n.fs = vfs.NewMem()
	n.startHost()
	plog, checkpoint, err := log.Open("log", log.Options{FS: n.fs, Syncer: NewSyncer(4), Config: c.conf})
	if err != nil {
		t.Fatal(err)
	}
	n.plog = plog
	_, err = n.host.Open(GroupConfig{ID: c.id, Log: plog, Checkpoint: checkpoint, Voters: c.voters(), Machine: &recorder{}})
	if !errors.Is(err, ErrLostLog) {
		t.Errorf("err = %v, want ErrLostLog", err)
	}
}

// divergedBehind stops a follower and gives it entries that no other node has.
func (c *testCluster) divergedBehind(entries int) *testNode {
	t := c.t
	t.Helper()
	d := c.follower()
	eventually(t, "the follower has all", func() bool { return d.plog.LastIndex() == c.leader().plog.LastIndex() })
	d.stop()
	plog, _, err := log.Open("log", log.Options{FS: d.fs, Syncer: NewSyncer(1), Config: c.conf})
	if err != nil {
		t.Fatal(err)
	}
	for range entries {
		b := batch.Build([][]byte{[]byte("lost")}, 1)
		if err := plog.Append([]batch.Batch{b}, []log.Epoch{plog.LastEpoch()}, log.FlushNow); err != nil {
			t.Fatal(err)
		}
	}
	if err := plog.Close(); err != nil {
		t.Fatal(err)
	}
	// A term beyond the lost entries'.
	leader := c.leader()
	for _, n := range c.nodes {
		if n != leader && n != d {
			_ = leader.group.TransferLeadership(context.Background(), n.id)
		}
	}
	return d
}

// The library truncates a conflicting suffix and then appends. When the append failed it went on believing in the entries
// that were gone, and the follower was stuck.
func TestFailedAppendAfterTruncation(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.write("a", 3)
	d := c.divergedBehind(5)
	c.write("b", 20)
	f := vfs.NewFault(d.fs, nil)
	var writes atomic.Int32
	f.SetRule(func(op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpWrite && strings.HasSuffix(op.Path, ".log") && writes.Add(1) == 1 {
			return vfs.Verdict{Err: vfs.ErrNoSpace}
		}
		return vfs.Verdict{}
	})
	d.fs = f
	d.start()
	c.write("c", 5)
	eventually(t, "the follower caught up", func() bool { return d.plog.LastIndex() == c.leader().plog.LastIndex() })
	if writes.Load() < 2 {
		t.Error("the fault did not fire")
	}
}

// A disk that hangs says nothing. Its leader must fall silent, or nothing could be written for as long as it hangs.
func TestLeaderWithAHangingDiskIsReplaced(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	c.write("a", 3)
	stuck := c.leader()
	hang := make(chan struct{})
	faults[stuck.id-1].SetRule(func(op vfs.Op) vfs.Verdict {
		if op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, ".log") {
			<-hang
		}
		return vfs.Verdict{}
	})
	stuck.group.Propose(batch.KindData, batch.Build([][]byte{[]byte("x")}, 1))
	eventually(t, "another node leads", func() bool {
		for _, n := range c.nodes {
			if n != stuck && n.group.Leadership().Ready {
				return true
			}
		}
		return false
	})
	close(hang)
}

// flakyListener fails one Accept, as when a process runs out of file descriptors.
type flakyListener struct {
	net.Listener
	failed atomic.Bool
}

func (f *flakyListener) Accept() (net.Conn, error) {
	if f.failed.CompareAndSwap(false, true) {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

func TestPeerListenerSurvivesAFailedAccept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHost(HostConfig{
		Node: 1, Dir: t.TempDir(), Listener: &flakyListener{Listener: l}, Logger: slog.New(slog.DiscardHandler), Timing: quick,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	c := newConn(nc, &buffers{})
	if err := c.write(frameHello, 0, hello{from: 2, to: 1, incarnation: 1}.appendTo(nil), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := readFrame(nc, c.pool); err != nil {
		t.Errorf("no answer to hello: %v", err)
	}
}

// The preferred leader of a group that it does not know yet (made while it was down) deposed whoever led it.
func TestReturningPreferredLeaderDoesNotDepose(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.write("a", 3)
	for c.leader().id == 1 {
		_ = c.leader().group.TransferLeadership(context.Background(), 2)
	}
	leader := c.leader()
	epoch := leader.group.Leadership().Epoch
	preferred := c.nodes[0].group
	if !preferred.ledElsewhere(context.Background(), c.voters()) {
		t.Error("the other voters do not tell who leads")
	}
	preferred.leadership.Store(&Leadership{Leader: NoNode}) // as when it just started
	done := make(chan struct{})
	go func() {
		defer close(done)
		preferred.campaignInTurn(c.voters(), 0)
	}()
	time.Sleep(100 * time.Millisecond) // it must find out before it would stand
	preferred.leadership.Store(&Leadership{Leader: leader.id, Epoch: epoch})
	<-done
	c.write("b", 3)
	if now := c.leader(); now != leader || now.group.Leadership().Epoch != epoch {
		t.Errorf("node %d led in epoch %d; now node %d leads in epoch %d", leader.id, epoch, now.id, now.group.Leadership().Epoch)
	}
}

// A transfer stops produce until the library gives up, so one to a replica that is out must not be tried.
func TestCaughtUpKnowsReplicasThatAreOut(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.write("a", 3)
	leader, out := c.leader(), c.follower()
	eventually(t, "the follower counts as caught up", func() bool { return leader.group.CaughtUp(out.id) })
	out.stop()
	out.startHost() // its node lives, the replica does not
	eventually(t, "the leader notices that the replica is out, while its node is alive", func() bool {
		return leader.host.Alive(out.id) && !leader.group.CaughtUp(out.id)
	})
}

// What a node decided in an epoch is not written in a later one, although it leads in both: it may have been out of office in
// between, and another leader may have written what the decision would have depended on.
func TestDecisionsOfAnEarlierEpochAreRefused(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	want := c.write("a", 3)
	leader := c.leader()
	old := leader.group.Leadership().Epoch
	other := c.nodes[int(leader.id)%3]
	for _, to := range []NodeID{other.id, leader.id} { // out of office, and back in
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		eventually(t, "handed over", func() bool {
			return c.leader().id == to || c.leader().group.TransferLeadership(ctx, to) == nil && c.leader().id == to
		})
		cancel()
		want = append(want, c.write(fmt.Sprintf("of %d", to), 1)...)
	}
	now := leader.group.Leadership()
	if now.Leader != leader.id || now.Epoch == old {
		t.Fatalf("leadership is %+v, was of epoch %d", now, old)
	}
	for _, kind := range []batch.Kind{batch.KindData, batch.KindLogStart} {
		payload := []byte("12345678")
		if kind == batch.KindData {
			payload = batch.Build([][]byte{[]byte("stale")}, 1)
		}
		if err := leader.group.ProposeIn(old, kind, payload).Wait(context.Background()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("kind %d of an earlier epoch: %v", kind, err)
		}
	}
	fresh := batch.Build([][]byte{[]byte("fresh")}, 1)
	if err := leader.group.ProposeIn(now.Epoch, batch.KindData, fresh).Wait(context.Background()); err != nil {
		t.Errorf("an entry of this epoch: %v", err)
	}
	if after := leader.group.Leadership(); after != now {
		t.Errorf("leadership is %+v, was %+v: a refused entry is no reason to step down", after, now)
	}
	c.same(append(want, "fresh"))
}
