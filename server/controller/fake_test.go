package controller

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/config"
)

// fakeCluster is controllers over a metadata group that does what the test says: one sequence of entries, delivered to each node
// in order, at once unless the node is held.
type fakeCluster struct {
	t     testing.TB
	nodes []*Controller // node ids are 1, 2, ...

	mu        sync.Mutex
	leader    raft.NodeID
	epoch     log.Epoch
	entries   []raft.Entry
	delivered []int // by node
	held      map[raft.NodeID]bool
	hung      map[raft.NodeID]bool // calls to it are not answered
	proposals int
	// onPropose may settle a proposal instead of the cluster: it returns what Propose returns, and whether the entry is committed. It is
	// called without the lock.
	onPropose func(from raft.NodeID) (err error, commit bool)
}

func newFakeCluster(t testing.TB, n int) *fakeCluster {
	f := &fakeCluster{t: t, leader: raft.NoNode, held: map[raft.NodeID]bool{}, hung: map[raft.NodeID]bool{}, delivered: make([]int, n)}
	for i := 1; i <= n; i++ {
		f.nodes = append(f.nodes, f.newNode(raft.NodeID(i), byte(i), n))
	}
	return f
}

// newNode is a process of node id; incarnation tells it from others.
func (f *fakeCluster) newNode(id raft.NodeID, incarnation byte, n int) *Controller {
	c := config.Default()
	c.NodeID = int32(id)
	for i := 1; i <= n; i++ {
		c.Peers = append(c.Peers, config.Peer{ID: int32(i), Address: fmt.Sprintf("peer%d:1", i)})
	}
	random := rand.New(rand.NewPCG(uint64(id), uint64(incarnation)))
	var nonce sync.Mutex
	nonces := rand.New(rand.NewPCG(uint64(incarnation), uint64(id)))
	return New(Options{
		Broker: cluster.Broker{
			ID: id, Incarnation: [16]byte{incarnation}, Host: "host", Port: 9092, PeerAddress: c.PeerAddress(),
		},
		Machine: cluster.NewMachine(),
		Decider: cluster.NewDecider(&c, func(raft.NodeID) bool { return true }, random),
		Propose: func(_ context.Context, payload []byte) error { return f.propose(id, payload) },
		Call:    f.call,
		Nonce: func() uint64 {
			nonce.Lock()
			defer nonce.Unlock()
			return nonces.Uint64()
		},
		Logger: slog.New(slog.DiscardHandler),
	})
}

func (f *fakeCluster) node(id raft.NodeID) *Controller { return f.nodes[id-1] }

func (f *fakeCluster) propose(from raft.NodeID, payload []byte) error {
	f.mu.Lock()
	isLeader, hook := f.leader == from, f.onPropose
	f.proposals++
	f.mu.Unlock()
	if !isLeader {
		return raft.ErrNotLeader
	}
	if hook != nil {
		err, commit := hook(from)
		if commit {
			f.commit(payload)
		}
		return err
	}
	f.commit(payload)
	return nil
}

func (f *fakeCluster) commit(payload []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries = append(f.entries, raft.Entry{Index: log.Index(len(f.entries) + 1), Payload: payload})
	f.deliver()
}

// deliver brings every node that is not held up to date. The lock is held.
func (f *fakeCluster) deliver() {
	for i, n := range f.nodes {
		if !f.held[raft.NodeID(i+1)] {
			n.Machine.Apply(f.entries[f.delivered[i]:])
			f.delivered[i] = len(f.entries)
		}
	}
}

func (f *fakeCluster) hold(id raft.NodeID, held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[id] = held
	f.deliver()
}

// elect makes a node the leader (NoNode: nobody) and tells everyone.
func (f *fakeCluster) elect(id raft.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.leader = id
	f.epoch++
	for i, n := range f.nodes {
		n.Machine.LeadershipChanged(raft.Leadership{Leader: id, Epoch: f.epoch, Ready: raft.NodeID(i+1) == id})
	}
}

func (f *fakeCluster) call(ctx context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error) {
	if service != Service {
		return nil, fmt.Errorf("service %d", service)
	}
	f.mu.Lock()
	hung := f.hung[to]
	f.mu.Unlock()
	if hung {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return f.node(to).Serve(ctx, 0, payload)
}

// run starts all nodes' Run and returns what stops them.
func (f *fakeCluster) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, n := range f.nodes {
		wg.Go(func() { n.Run(ctx) })
	}
	return func() { cancel(); wg.Wait() }
}

// serving is a cluster of n that is set up, registered and led by node 1, without anything running.
func serving(t *testing.T, n int) *fakeCluster {
	f := newFakeCluster(t, n)
	f.elect(1)
	stop := f.run(t.Context())
	synctest.Wait()
	stop()
	if len(f.node(1).Machine.Image().Brokers) != n {
		t.Fatalf("brokers %v", f.node(1).Machine.Image().Brokers)
	}
	return f
}

func createTopic(name string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, -1
	req.Topics = append(req.Topics, t)
	return req
}
