package coordinator

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
)

// Host answers requests about groups and transactional ids with the shards of one node. All methods are safe for concurrent use.
type Host struct {
	config Config
	env    environments

	mu     sync.Mutex
	shards map[int32]*shard
	image  *cluster.Image // as TopicsDeleted saw it last; nil at first
	closed bool
}

// New returns a host without shards.
func New(c Config) (*Host, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Host{config: c, env: c.environments(), shards: map[int32]*shard{}}, nil
}

// Machine returns a new state machine for a shard, to open its Raft group with (NeedPayload). Attach must follow. A
// machine that the host had for the shard before is detached.
func (h *Host) Machine(id int32) raft.StateMachine {
	s := newShard(id, h.config, h.env)
	h.mu.Lock()
	old := h.shards[id]
	h.shards[id] = s
	h.mu.Unlock()
	if old != nil {
		old.close()
	}
	return s
}

// Attach gives a shard the Raft group that was opened with its Machine. The shard serves from then on, while it leads.
func (h *Host) Attach(id int32, g *raft.Group) { h.attach(id, raftGroup{g}) }

func (h *Host) attach(id int32, g Group) {
	h.mu.Lock()
	s := h.shards[id]
	closed := h.closed
	h.mu.Unlock()
	if s != nil && !closed {
		s.start(g)
	}
}

// Detach stops a shard and forgets it; call it before closing its Raft group. What waits is answered with NOT_COORDINATOR.
func (h *Host) Detach(id int32) {
	h.mu.Lock()
	s := h.shards[id]
	delete(h.shards, id)
	h.mu.Unlock()
	if s != nil {
		s.close()
	}
}

// TopicsDeleted is to be called when the image has changed: the shards that this node leads forget the offsets of topics
// that are gone. It is cheap when none is. What a call misses, because leadership moves, is found at the next retention
// check.
func (h *Host) TopicsDeleted() {
	h.mu.Lock()
	before, now := h.image, h.config.Image()
	h.image = now
	h.mu.Unlock()
	if before != nil && !anyDeleted(before, now) {
		return
	}
	for _, s := range h.all() {
		s.decide(func(l *group.Leader, now time.Time) { l.DeleteOrphans(now) })
	}
}

func anyDeleted(before, now *cluster.Image) bool {
	for id := range before.Topics {
		if now.Topics[id] == nil {
			return true
		}
	}
	return false
}

// Close detaches all shards.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	shards := h.shards
	h.shards = map[int32]*shard{}
	h.mu.Unlock()
	for _, s := range shards {
		s.close()
	}
}

// Shard implements handler.Coordinator. It returns -1 while the number of shards is unknown, that is, before the cluster
// metadata has arrived.
func (h *Host) Shard(key string) int32 {
	t := h.config.Image().Topics[cluster.CoordinatorTopic]
	if t == nil || len(t.Partitions) == 0 {
		return -1
	}
	return shardOf(key, int32(len(t.Partitions)))
}

// Handle implements handler.Coordinator. It returns when the answer is known, which for JoinGroup and SyncGroup may take
// as long as a rebalance, or when ctx ends. A client that goes away while it is parked stays in its group until its
// session ends, as in Kafka: it may come back.
func (h *Host) Handle(ctx context.Context, client group.Client, req kmsg.Request) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.OffsetFetchRequest:
		return h.fetchOffsets(ctx, client, req)
	case *kmsg.ListGroupsRequest:
		return h.listGroups(ctx, client, req)
	case *kmsg.DescribeGroupsRequest:
		return h.describeGroups(ctx, client, req)
	case *kmsg.DeleteGroupsRequest:
		return h.deleteGroups(ctx, client, req)
	case *kmsg.ConsumerGroupDescribeRequest:
		return h.describeConsumerGroups(ctx, client, req)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		return h.one(ctx, client, req.Group, req)
	case *kmsg.ShareGroupHeartbeatRequest, *kmsg.ShareGroupDescribeRequest, *kmsg.DescribeShareGroupOffsetsRequest,
		*kmsg.AlterShareGroupOffsetsRequest, *kmsg.DeleteShareGroupOffsetsRequest:
		return h.handleShare(ctx, client, req)
	case *kmsg.OffsetCommitRequest:
		return h.one(ctx, client, req.Group, req)
	case *kmsg.OffsetDeleteRequest:
		return h.one(ctx, client, req.Group, req)
	case *kmsg.JoinGroupRequest:
		return h.one(ctx, client, req.Group, req)
	case *kmsg.SyncGroupRequest:
		return h.one(ctx, client, req.Group, req)
	case *kmsg.HeartbeatRequest:
		return h.one(ctx, client, req.Group, req)
	case *kmsg.LeaveGroupRequest:
		return h.one(ctx, client, req.Group, req)
	}
	return h.handleTransactional(ctx, client, req)
}

// one answers a request about one group.
func (h *Host) one(ctx context.Context, client group.Client, id string, req kmsg.Request) kmsg.Response {
	return h.send(client, id, req).wait(ctx, h.config.CommitTimeout)
}

// send hands a request to the shard of a group.
func (h *Host) send(client group.Client, id string, req kmsg.Request) *call {
	c := newCall(req)
	if _, s, err := h.shardOf(id); err != nil {
		c.fail(err)
	} else {
		s.handle(client, c)
	}
	return c
}

// shardOf returns the shard of a group.
func (h *Host) shardOf(id string) (int32, *shard, *kerr.Error) {
	n := h.Shard(id)
	h.mu.Lock()
	s := h.shards[n]
	h.mu.Unlock()
	switch {
	case n < 0:
		return n, nil, kerr.CoordinatorNotAvailable
	case s == nil:
		return n, nil, kerr.NotCoordinator
	}
	return n, s, nil
}

func (h *Host) all() []*shard {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.shards))
}
