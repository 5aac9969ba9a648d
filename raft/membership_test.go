package raft

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"balsa/log"
	"balsa/log/vfs"
)

// drive reconciles on whoever leads until the membership is target.
func (c *testCluster) drive(target ...NodeID) {
	c.t.Helper()
	var last string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		leader := c.leader()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		r, err := leader.group.Reconcile(ctx, Target{Voters: target})
		cancel()
		if err == nil && r.Done {
			return
		}
		if last = r.Waiting; err != nil {
			last = err.Error()
		}
		if r.Waiting != "" || err != nil {
			time.Sleep(5 * time.Millisecond) // what is waited for happens on other nodes
		}
	}
	c.t.Fatalf("membership did not become %v: %s", target, last)
}

// wipe makes a stopped node forget everything, as one does that lost its disk.
func (n *testNode) wipe() {
	n.fs, n.dir = vfs.NewMem(), n.c.t.TempDir()
}

// members checks who votes.
func (c *testCluster) members(ids ...NodeID) {
	c.t.Helper()
	got := c.leader().group.Voters()
	slices.Sort(got)
	if !slices.Equal(got, ids) {
		c.t.Errorf("voters %v, want %v", got, ids)
	}
}

func TestReplaceAllMembers(t *testing.T) {
	c := newGrowingCluster(t, 6, 3, everyAppend)
	want := c.write("a", 50)
	c.drive(4, 5, 6)
	c.members(4, 5, 6)
	want = append(want, c.write("b", 50)...)
	for _, n := range c.nodes[:3] {
		n.stop()
	}
	want = append(want, c.write("c", 10)...)
	c.same(want)
	for _, n := range c.nodes[3:] {
		if n.group.Joining() {
			t.Errorf("node %d still joins", n.id)
		}
		n.stop()
		n.start() // with a membership and a vote of its own
	}
	want = append(want, c.write("d", 10)...)
	c.same(want)
}

func TestMembershipGoesBack(t *testing.T) {
	c := newGrowingCluster(t, 4, 3, everyAppend)
	want := c.write("a", 20)
	c.drive(1, 2, 4)
	c.drive(1, 2, 3) // its replica is still there, with all that it promised
	c.members(1, 2, 3)
	c.nodes[3].stop()
	want = append(want, c.write("b", 20)...)
	c.same(want)
}

// A replica that is behind the log start joins at a shipped position.
func TestJoinBehindTheLogStart(t *testing.T) {
	c := newGrowingCluster(t, 4, 3, log.Config{SegmentBytes: 2 << 10, IndexIntervalBytes: 512, FlushEveryAppend: true})
	c.write("a", 200)
	for _, n := range c.nodes[:3] {
		n.group.SetLogStart(150)
		eventually(t, "the log was trimmed", func() bool {
			return errors.Join(n.group.Checkpoint()) == nil && n.plog.FirstOffset() > 0
		})
	}
	c.drive(1, 2, 3, 4)
	if got := c.nodes[3].plog.FirstOffset(); got == 0 {
		t.Error("the new replica starts at offset 0")
	}
	c.write("b", 10)
	leader := c.leader()
	eventually(t, "the new replica has all", func() bool { return c.nodes[3].plog.LastIndex() == leader.plog.LastIndex() })
}

// The reason for joiners: a node that forgot what it acknowledged must not help a replica that lacks it into office.
func TestForgetfulNodeDoesNotVote(t *testing.T) {
	c := newGrowingCluster(t, 3, 3, everyAppend)
	c.write("a", 5)
	leader := c.leader()
	lagging, other := c.nodes[int(leader.id)%3], c.nodes[int(leader.id+1)%3]
	lagging.stop()
	want := c.write("b", 5) // on leader and other only
	leader.stop()
	other.stop()
	other.wipe()
	c.founders = int(other.id) - 1 // it joins; should others do so too, their logs say otherwise
	other.start()
	if !other.group.Joining() {
		t.Fatal("a node without memory does not know that it has to join")
	}
	c.founders = 3
	lagging.start()
	for range 20 { // what the lagging one would win if it were given that vote
		lagging.group.Campaign()
		time.Sleep(quick.Election / 20)
		if l := lagging.group.Leadership(); l.Leader == lagging.id {
			t.Fatal("a replica that lacks acknowledged records was elected")
		}
	}
	leader.start()
	eventually(t, "a leader that has everything", func() bool {
		l := leader.group.Leadership()
		return l.Leader == leader.id && l.Ready
	})
	c.drive(1, 2, 3)
	if other.group.Joining() {
		t.Error("the node that lost its disk still joins")
	}
	_, values := other.content()
	for _, v := range want {
		if !slices.Contains(values, v) {
			t.Errorf("%s is missing", v)
		}
	}
}

func TestLeaderIsNotRemoved(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	leader := c.leader()
	if err := leader.group.remove(t.Context(), leader.id); !errors.Is(err, errLeaderLeaves) {
		t.Errorf("remove the leader: %v", err)
	}
}

// A removed replica that nobody told stands for election no more, and the group keeps its leader and its term.
func TestRemovedReplicaDoesNotDisturb(t *testing.T) {
	c := newGrowingCluster(t, 4, 4, everyAppend)
	want := c.write("a", 5)
	leader := c.leader()
	removed := c.follower()
	removed.stop()
	if err := leader.group.remove(t.Context(), removed.id); err != nil {
		t.Fatal(err)
	}
	epoch := leader.group.Leadership().Epoch
	removed.start() // believes to be a voter
	removed.group.Campaign()
	want = append(want, c.write("b", 50)...)
	for range 10 {
		removed.group.Campaign()
		time.Sleep(quick.Election / 10)
	}
	want = append(want, c.write("c", 5)...)
	if got := leader.group.Leadership(); got.Leader != leader.id || got.Epoch != epoch {
		t.Errorf("leadership is %+v, was node %d in epoch %d", got, leader.id, epoch)
	}
	removed.stop()
	c.same(want)
}

func TestJoinSurvivesRestarts(t *testing.T) {
	c := newGrowingCluster(t, 4, 3, everyAppend)
	want := c.write("a", 100)
	joining := c.nodes[3]
	joining.stop()
	joining.start()
	if !joining.group.Joining() {
		t.Fatal("a restart made a joining replica a member")
	}
	leader := c.leader()
	for range 2 { // learner, admitted
		if _, err := leader.group.Reconcile(t.Context(), Target{Voters: []NodeID{1, 2, 3, 4}}); err != nil {
			t.Fatal(err)
		}
	}
	joining.stop()
	joining.start()
	c.drive(1, 2, 3, 4)
	c.same(append(want, c.write("b", 10)...))
	joining.stop()
	joining.fs = vfs.NewMem()
	plog, checkpoint, err := log.Open("log", log.Options{FS: joining.fs, Syncer: NewSyncer(1), Config: c.conf, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	joining.startHost()
	_, err = joining.host.Open(GroupConfig{ID: c.id, Log: plog, Checkpoint: checkpoint, Joins: true, Machine: &recorder{}})
	if !errors.Is(err, ErrLostLog) {
		t.Errorf("a member whose log is gone opens as %v", err)
	}
	joining.plog = plog
}

func TestProgress(t *testing.T) {
	c := newGrowingCluster(t, 3, 3, everyAppend)
	c.write("a", 10)
	leader := c.leader()
	eventually(t, "all have caught up", func() bool {
		for _, p := range leader.group.Progress() {
			if p.Match != leader.plog.LastIndex() || p.Offset != 10 || p.LastCaughtUp.IsZero() || !p.Voter {
				return false
			}
		}
		return true
	})
	stopped := c.follower()
	stopped.stop()
	c.write("b", 10)
	for _, p := range leader.group.Progress() {
		if p.Node == stopped.id && p.Offset > 10 {
			t.Errorf("a stopped member has offset %d", p.Offset)
		}
	}
}
