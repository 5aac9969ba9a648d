package coordinator

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
	"balsa/server/txn"
)

// fakeRaft is a replicated log with any number of state machines, and time between proposal and commit. Everything
// happens in synctest's time.
type fakeRaft struct {
	delay time.Duration

	mu       sync.Mutex
	machines []raft.StateMachine
	current  raft.Leadership
	waiting  []*fakeProposal // not committed yet
	entries  [][]byte        // committed
	refuse   error           // proposals are answered with it
	sizes    []int           // records in each committed entry
	wg       sync.WaitGroup
}

type fakeProposal struct {
	payload batch.Batch
	done    chan struct{}
	err     error
}

func (p *fakeProposal) Done() <-chan struct{} { return p.done }

func (p *fakeProposal) Wait(context.Context) error {
	<-p.done
	return p.err
}

func (p *fakeProposal) settle(err error) {
	p.err = err
	close(p.done)
}

// view is what one node has of the log.
type view struct {
	*fakeRaft
	node raft.NodeID
}

func (v view) Leadership() raft.Leadership { return v.leadership() }

func (f *fakeRaft) leadership() raft.Leadership {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

func (v view) Propose(kind batch.Kind, payload []byte) Proposal {
	p := &fakeProposal{payload: payload, done: make(chan struct{})}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.refuse != nil:
		p.settle(v.refuse)
	case v.current.Leader != v.node:
		p.settle(raft.ErrNotLeader)
	default:
		if kind != batch.KindData {
			panic("coordinators propose data only")
		}
		p.payload.Stamp(0, v.current.Epoch) // as the log does
		v.waiting = append(v.waiting, p)
		v.wg.Go(func() {
			time.Sleep(v.delay)
			v.commit(p)
		})
	}
	return p
}

// commit applies what waits up to and including p.
func (f *fakeRaft) commit(p *fakeProposal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.waiting) > 0 {
		q := f.waiting[0]
		f.waiting = f.waiting[1:]
		f.entries = append(f.entries, q.payload)
		values, err := q.payload.Values()
		if err != nil {
			panic(err)
		}
		f.sizes = append(f.sizes, len(values))
		e := raft.Entry{Index: log.Index(len(f.entries)), Epoch: f.current.Epoch, Kind: batch.KindData, Payload: q.payload}
		for _, m := range f.machines {
			m.Apply([]raft.Entry{e})
		}
		q.settle(nil)
		if q == p {
			return
		}
	}
}

// elect makes node the leader of the next epoch. What was in flight is lost, or, when keep is set, commits.
func (f *fakeRaft) elect(node raft.NodeID, keep bool) {
	f.mu.Lock()
	waiting := f.waiting
	if !keep {
		f.waiting = nil
	}
	f.mu.Unlock()
	if keep && len(waiting) > 0 {
		f.commit(waiting[len(waiting)-1])
		synctest.Wait() // for the old leader to see it
	} else {
		for _, p := range waiting {
			p.settle(raft.ErrLeadershipLost)
		}
	}
	f.mu.Lock()
	f.current = raft.Leadership{Leader: node, Epoch: f.current.Epoch + 1, Ready: true}
	l := f.current
	f.mu.Unlock()
	for _, m := range f.machines {
		told := l
		m.LeadershipChanged(told)
	}
}

func (f *fakeRaft) setRefuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = err
}

// testCluster is nodes 1 to n with one shard, or several.
type testCluster struct {
	t      *testing.T
	image  *cluster.Image
	shards []*fakeRaft
	hosts  map[raft.NodeID]*Host

	wg          sync.WaitGroup
	mu          sync.Mutex
	nextID      int64
	completions []txn.Completion // in the order in which they were asked for
	hold        bool             // completions are not carried out
	shares      *fakeShares
}

func (c *testCluster) Await(context.Context) {}

func (c *testCluster) Take() (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nextID++
	return c.nextID + 4999, true
}

// complete writes markers: to coordinator shards only, since there are no partitions here.
func (c *testCluster) complete(ctx context.Context, _ raft.NodeID, completion txn.Completion, done func()) {
	c.mu.Lock()
	c.completions = append(c.completions, completion)
	hold := c.hold
	c.mu.Unlock()
	if hold {
		return
	}
	for _, p := range completion.Partitions {
		for p.Topic == cluster.CoordinatorTopic {
			leader := c.shards[p.Partition].leadership().Leader
			err := c.hosts[leader].EndTransaction(ctx, p.Partition, group.Marker{
				ProducerID: completion.ProducerID, ProducerEpoch: completion.Epoch, CoordinatorEpoch: completion.CoordinatorEpoch,
				Commit: completion.Commit, TransactionVersion: completion.Version,
			})
			if err == nil || ctx.Err() != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	done()
}

func newTestCluster(t *testing.T, nodes, shards int) *testCluster {
	c := &testCluster{t: t, hosts: map[raft.NodeID]*Host{}, shares: newFakeShares()}
	topic := &cluster.Topic{ID: cluster.TopicID{9}, Name: "t", Partitions: make([]cluster.Partition, 3)}
	coordinators := &cluster.Topic{ID: cluster.CoordinatorTopic, Name: cluster.OffsetsTopic, Partitions: make([]cluster.Partition, shards)}
	c.image = &cluster.Image{
		Version:      1,
		Topics:       map[cluster.TopicID]*cluster.Topic{topic.ID: topic, coordinators.ID: coordinators},
		TopicsByName: map[string]*cluster.Topic{"t": topic},
	}
	for range shards {
		c.shards = append(c.shards, &fakeRaft{delay: time.Millisecond, current: raft.Leadership{Leader: raft.NoNode}})
	}
	for id := raft.NodeID(1); int(id) <= nodes; id++ {
		config := group.DefaultConfig()
		config.InitialRebalanceDelay = 100 * time.Millisecond
		h, err := New(Config{
			Node: id, Group: config, Txn: txn.DefaultConfig(), Image: func() *cluster.Image { return c.image },
			ProducerIDs: c, Complete: func(ctx context.Context, completion txn.Completion, done func()) {
				c.wg.Go(func() { c.complete(ctx, id, completion, done) })
			},
			Shares: c.shares, CommitTimeout: DefaultCommitTimeout, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		c.hosts[id] = h
		for n, s := range c.shards {
			s.machines = append(s.machines, h.Machine(int32(n)))
			h.attach(int32(n), view{s, id})
		}
	}
	for _, s := range c.shards {
		s.elect(1, false)
	}
	return c
}

func (c *testCluster) close() {
	for _, h := range c.hosts {
		h.Close()
	}
	c.wg.Wait()
	for _, s := range c.shards {
		s.wg.Wait()
	}
}

// ask sends a request and waits for the answer.
func (c *testCluster) ask(node raft.NodeID, req kmsg.Request) kmsg.Response {
	return c.hosts[node].Handle(context.Background(), group.Client{ID: "c", Host: "/127.0.0.1"}, req)
}

// start sends a request; the channel gets the answer.
func (c *testCluster) start(node raft.NodeID, req kmsg.Request) <-chan kmsg.Response {
	answer := make(chan kmsg.Response, 1)
	go func() { answer <- c.ask(node, req) }()
	return answer
}

func commitRequest(id string, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version = 8
	req.Group, req.Generation = id, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

func commitCode(r kmsg.Response) int16 {
	return r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode
}

func fetchRequest(version int16, ids ...string) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = version
	if version < fetchGroups {
		req.Group = ids[0]
		t := kmsg.NewOffsetFetchRequestTopic()
		t.Topic, t.Partitions = "t", []int32{0}
		req.Topics = append(req.Topics, t)
		return req
	}
	for _, id := range ids {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = id
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = "t", []int32{0}
		g.Topics = append(g.Topics, t)
		req.Groups = append(req.Groups, g)
	}
	return req
}

func joinRequest(id, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = 3
	req.Group, req.MemberID = id, member
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 60_000
	req.ProtocolType = "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name = "range"
	req.Protocols = append(req.Protocols, p)
	return req
}

func syncRequest(id string, join *kmsg.JoinGroupResponse, members ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 3
	req.Group, req.MemberID, req.Generation = id, join.MemberID, join.Generation
	for _, m := range members {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = m, []byte("of "+m)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func heartbeatRequest(id string, join *kmsg.JoinGroupResponse) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 3
	req.Group, req.MemberID, req.Generation = id, join.MemberID, join.Generation
	return req
}
