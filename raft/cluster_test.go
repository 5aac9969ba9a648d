package raft

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/log/vfs"
)

// testCluster is a group on several nodes in one process: real TCP on loopback, logs in memory.
type testCluster struct {
	t     *testing.T
	id    GroupID
	nodes []*testNode
	conf  log.Config
	// founders are how many of the nodes found the group; the others join. 0: all.
	founders int
}

type testNode struct {
	c        *testCluster
	id       NodeID
	address  string
	dir      string // terms and votes: bbolt needs a real file
	fs       vfs.FS
	listener net.Listener
	host     *Host
	plog     *log.Log
	group    *Group
	machine  *recorder
	space    atomic.Uint32 // the Space of its disk
}

// recorder is a state machine that remembers what it applied.
type recorder struct {
	mu      sync.Mutex
	applied []appliedEntry
	covered []appliedEntry // given to Reindex since the last Restore
	restore []byte
	// compacted says that the log has lost entries.
	compacted atomic.Bool
}

func (r *recorder) Compacted() bool { return r.compacted.Load() }

func (r *recorder) Reindex(entries []Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		r.covered = append(r.covered, appliedEntry{e.Index, e.Kind, e.Header.BaseOffset, e.Header.NextOffset()})
	}
}

// seen returns what came since the last Restore: covered entries, then others.
func (r *recorder) seen() (covered int, all []appliedEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.covered), append(slices.Clone(r.covered), r.applied...)
}

type appliedEntry struct {
	index log.Index
	kind  batch.Kind
	base  log.Offset
	next  log.Offset
}

func (r *recorder) Apply(entries []Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		r.applied = append(r.applied, appliedEntry{e.Index, e.Kind, e.Header.BaseOffset, e.Header.NextOffset()})
	}
}

func (r *recorder) Snapshot() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.applied) == 0 {
		return r.restore
	}
	return fmt.Appendf(nil, "applied through %d", r.applied[len(r.applied)-1].index)
}

func (r *recorder) Restore(state []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.restore = bytes.Clone(state)
	r.applied, r.covered = nil, nil
	return nil
}

func (r *recorder) LeadershipChanged(Leadership) {}

func (r *recorder) last() log.Index {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.applied) == 0 {
		return 0
	}
	return r.applied[len(r.applied)-1].index
}

// quick are timeouts for tests: short, since everything is on one machine, but not so short that a busy one breaks them.
var quick = Timing{
	Heartbeat: time.Second, Election: time.Second, Lease: 800 * time.Millisecond,
	Commit: 20 * time.Millisecond,
}

func newTestCluster(t *testing.T, size int, conf log.Config) *testCluster {
	t.Helper()
	return newGrowingCluster(t, size, size, conf)
}

// newGrowingCluster returns a cluster of which only the first nodes are members of the group; the others wait to join it.
func newGrowingCluster(t *testing.T, size, founders int, conf log.Config) *testCluster {
	t.Helper()
	c := &testCluster{t: t, id: GroupID{Topic: [16]byte{9}, Partition: 1}, conf: conf, founders: founders}
	for i := range size {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.nodes = append(c.nodes, &testNode{
			c: c, id: NodeID(i + 1), address: l.Addr().String(), dir: t.TempDir(), fs: vfs.NewMem(), listener: l,
		})
	}
	for _, n := range c.nodes {
		n.start()
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	return c
}

func (c *testCluster) voters() []NodeID {
	var ids []NodeID
	for _, n := range c.nodes[:c.founders] {
		ids = append(ids, n.id)
	}
	return ids
}

func (n *testNode) start() {
	n.c.t.Helper()
	n.startHost()
	n.open()
}

func (n *testNode) startHost() {
	t := n.c.t
	t.Helper()
	if n.listener == nil {
		l, err := net.Listen("tcp", n.address)
		if err != nil {
			t.Fatal(err)
		}
		n.listener = l
	}
	host, err := NewHost(HostConfig{
		Node: n.id, Dir: n.dir, Listener: n.listener, Logger: slog.New(slog.DiscardHandler), Timing: quick,
		Space: func() Space { return Space(n.space.Load()) },
		Dial: func(ctx context.Context, to NodeID) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", n.c.nodes[to-1].address)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.host, n.listener = host, nil
	host.SetRepairer(n)
	for _, other := range n.c.nodes {
		host.Connect(other.id)
	}
}

func (n *testNode) open() {
	t := n.c.t
	t.Helper()
	plog, checkpoint, err := log.Open("log", log.Options{FS: n.fs, Syncer: NewSyncer(4), Config: n.c.conf, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	n.plog, n.machine = plog, &recorder{}
	n.group, err = n.host.Open(GroupConfig{
		ID: n.c.id, Log: plog, Checkpoint: checkpoint, Voters: n.c.voters(), Machine: n.machine,
		Joins: int(n.id) > n.c.founders,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.group.CampaignIfLeaderless()
}

// stop stops a node in order. It may be started again.
func (n *testNode) stop() {
	if n.host == nil {
		return
	}
	if err := n.host.Close(); err != nil {
		n.c.t.Errorf("stop node %d: %v", n.id, err)
	}
	if err := n.plog.Close(); err != nil && n.plog.Failed() == nil {
		n.c.t.Errorf("close log of node %d: %v", n.id, err)
	}
	n.host = nil
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		time.Sleep(2 * time.Millisecond) // what is waited for happens on other goroutines and real sockets
	}
	t.Fatalf("did not happen: %s", what)
}

func (c *testCluster) leader() *testNode {
	c.t.Helper()
	var leader *testNode
	eventually(c.t, "a leader is ready", func() bool {
		for _, n := range c.nodes {
			if n.host != nil && n.group.Leadership().Ready {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// write appends batches of one record each, once, through whoever leads, and returns their values.
func (c *testCluster) write(prefix string, count int) []string {
	c.t.Helper()
	var values []string
	for i := range count {
		value := fmt.Sprintf("%s-%d", prefix, i)
		for {
			err := c.leader().group.Propose(batch.KindData, batch.Build([][]byte{[]byte(value)}, 1)).Wait(context.Background())
			if err == nil || !errors.Is(err, ErrNotLeader) && c.wrote(value) {
				break
			}
		}
		values = append(values, value)
	}
	return values
}

// wrote says what became of the last proposal when that failed with its outcome unknown: the next leader has it, or nobody ever will.
func (c *testCluster) wrote(value string) bool {
	_, values := c.leader().content()
	return len(values) > 0 && values[len(values)-1] == value
}

// content returns the log's bytes and the values in it by offset.
func (n *testNode) content() (raw []byte, values []string) {
	t := n.c.t
	t.Helper()
	for i := n.plog.FirstIndex(); i <= n.plog.LastIndex(); i++ {
		b, err := n.plog.Entry(i)
		if err != nil {
			t.Fatalf("node %d, entry %d: %v", n.id, i, err)
		}
		raw = append(raw, b...)
		if b.IsInternal() {
			continue
		}
		if got, want := int(b.Header().BaseOffset), int(n.plog.FirstOffset())+len(values); got != want {
			t.Errorf("node %d: offset %d where %d should be", n.id, got, want)
		}
		vs, err := b.Values()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vs {
			values = append(values, string(v))
		}
	}
	return raw, values
}

// same waits until all running nodes have applied everything, and compares their logs byte by byte.
func (c *testCluster) same(want []string) {
	c.t.Helper()
	leader := c.leader()
	reference, values := leader.content()
	if !slices.Equal(values, want) {
		c.t.Errorf("leader has %d values, want %d:\n got %v\nwant %v", len(values), len(want), values, want)
	}
	for _, n := range c.nodes {
		if n.host == nil {
			continue
		}
		eventually(c.t, fmt.Sprintf("node %d has caught up", n.id), func() bool {
			return n.plog.LastIndex() == leader.plog.LastIndex() && n.machine.last() == leader.machine.last()
		})
		if raw, _ := n.content(); !bytes.Equal(raw, reference) {
			c.t.Errorf("log of node %d differs from the leader's (node %d)", n.id, leader.id)
		}
	}
}

var everyAppend = log.Config{SegmentBytes: 1 << 20, IndexIntervalBytes: 4096, FlushEveryAppend: true}

func TestFirstOffsetIsZeroAfterTenElections(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	for range 10 {
		leader := c.leader()
		to := c.nodes[int(leader.id)%len(c.nodes)]
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := leader.group.TransferLeadership(ctx, to.id); err != nil {
			t.Logf("transfer: %v", err)
		}
		cancel()
	}
	leader := c.leader()
	if got := leader.plog.LastIndex(); got < 10 {
		t.Fatalf("only %d entries: the elections left no trace", got)
	}
	if got := leader.plog.NextOffset(); got != 0 {
		t.Errorf("elections took %d offsets", got)
	}
	want := c.write("v", 20)
	c.same(want)
}

func TestLeaderStopsAndReturns(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	want := c.write("a", 50)
	old := c.leader()
	old.stop()
	want = append(want, c.write("b", 50)...)
	old.start()
	want = append(want, c.write("c", 50)...)
	c.same(want)
}

func TestRestartOfAll(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	want := c.write("a", 100)
	c.same(want)
	for _, n := range c.nodes {
		n.stop()
	}
	for _, n := range c.nodes {
		n.start()
	}
	leader := c.leader()
	if n := len(leader.machine.applied); n > 0 {
		t.Errorf("%d entries were applied again after a clean stop", n)
	}
	if got := string(leader.machine.restore); got == "" {
		t.Error("the state machine was not restored")
	}
	want = append(want, c.write("b", 10)...)
	_, values := leader.content()
	if !slices.Equal(values, want) {
		t.Errorf("got %v, want %v", values, want)
	}
}

// trimAll lets the running nodes forget everything before the active segment.
func (c *testCluster) trimAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		if n.host == nil {
			continue
		}
		n.group.SetLogStart(n.plog.NextOffset())
		if err := n.group.Checkpoint(); err != nil {
			c.t.Fatal(err)
		}
		if n.plog.FirstIndex() <= 1 {
			c.t.Fatalf("node %d: nothing was trimmed", n.id)
		}
	}
}

func TestFollowerBehindLogStart(t *testing.T) {
	conf := everyAppend
	conf.SegmentBytes = 4096
	c := newTestCluster(t, 3, conf)
	c.write("a", 20)
	var behind *testNode
	for _, n := range c.nodes {
		if n != c.leader() {
			behind = n
		}
	}
	behind.stop()
	c.write("b", 200)
	c.trimAll()
	behind.start()
	c.write("c", 5)
	leader := c.leader()
	eventually(t, "the follower caught up", func() bool { return behind.plog.LastIndex() == leader.plog.LastIndex() })
	if behind.plog.FirstIndex() <= 1 {
		t.Error("the follower did not restart at the log start")
	}
	if behind.machine.restore == nil {
		t.Error("the follower's state machine was not restored")
	}
	for i := max(leader.plog.FirstIndex(), behind.plog.FirstIndex()); i <= leader.plog.LastIndex(); i++ {
		a, errA := leader.plog.Entry(i)
		b, errB := behind.plog.Entry(i)
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Fatalf("entry %d differs (%v, %v)", i, errA, errB)
		}
	}
	// The leader's state covers the first entries that the follower gets: they are for its index, the others for its state.
	var covered int
	var all []appliedEntry
	eventually(t, "the follower applied everything", func() bool {
		covered, all = behind.machine.seen()
		return len(all) > 0 && all[len(all)-1].next == leader.plog.NextOffset()
	})
	if covered == 0 {
		t.Error("no covered entry came for the index")
	}
	next := behind.plog.FirstOffset()
	for _, e := range all {
		if e.kind == batch.KindData && e.base != next {
			t.Errorf("entry %d begins at offset %d, want %d", e.index, e.base, next)
		}
		next = e.next
	}
}

// A follower whose log ends beyond the leader's log start, in entries that lost an election: the library never lowers its
// idea of the last entry after installing a snapshot, and repeated the installation for ever.
func TestDivergedFollowerBehindLogStart(t *testing.T) {
	conf := everyAppend
	conf.SegmentBytes = 4096
	c := newTestCluster(t, 3, conf)
	c.write("a", 3)
	var diverged *testNode
	for _, n := range c.nodes {
		if n != c.leader() {
			diverged = n
		}
	}
	eventually(t, "the follower has all", func() bool { return diverged.plog.LastIndex() == c.leader().plog.LastIndex() })
	diverged.stop()
	// Entries that no other node has, of a term that nobody won, up to beyond what will be the log start.
	plog, _, err := log.Open("log", log.Options{FS: diverged.fs, Syncer: NewSyncer(1), Config: conf, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		b := batch.Build([][]byte{[]byte("lost")}, 1)
		if err := plog.Append([]batch.Batch{b}, []log.Epoch{plog.LastEpoch()}, log.FlushNow); err != nil {
			t.Fatal(err)
		}
	}
	if err := plog.Close(); err != nil {
		t.Fatal(err)
	}
	leader := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, n := range c.nodes {
		if n != leader && n != diverged {
			_ = leader.group.TransferLeadership(ctx, n.id) // for a term beyond the lost entries'
		}
	}
	c.write("b", 200)
	c.trimAll()
	diverged.start()
	c.write("c", 5)
	eventually(t, "the diverged follower caught up", func() bool {
		return diverged.plog.LastIndex() == c.leader().plog.LastIndex()
	})
	if _, values := diverged.content(); slices.Contains(values, "lost") {
		t.Error("a lost entry survived")
	}
}

func TestProposeOnFollower(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	leader := c.leader()
	for _, n := range c.nodes {
		if n == leader {
			continue
		}
		err := n.group.Propose(batch.KindData, batch.Build([][]byte{[]byte("x")}, 1)).Wait(context.Background())
		if err != ErrNotLeader {
			t.Errorf("node %d: err = %v, want ErrNotLeader", n.id, err)
		}
	}
}

func TestCallBetweenNodes(t *testing.T) {
	c := newTestCluster(t, 2, everyAppend)
	c.leader()
	c.nodes[1].host.Handle(7, func(_ context.Context, from NodeID, payload []byte) ([]byte, error) {
		if string(payload) == "fail" {
			return nil, fmt.Errorf("as told by %d", from)
		}
		return append(payload, '!'), nil
	})
	got, err := c.nodes[0].host.Call(context.Background(), 2, 7, []byte("hello"))
	if err != nil || string(got) != "hello!" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := c.nodes[0].host.Call(context.Background(), 2, 7, []byte("fail")); err == nil {
		t.Error("the service's error was lost")
	}
}
