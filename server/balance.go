package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"balsa/raft"
	"balsa/server/cluster"
)

const (
	// balanceInterval is how often a broker looks for leaderships that belong elsewhere
	// (leader.imbalance.check.interval.seconds is 300 in Kafka; a transfer here costs milliseconds).
	balanceInterval = 5 * time.Second
	// settleTime is how long the preferred leader must have been connected before it gets its leaderships back.
	settleTime = 3 * time.Second
	// transferConcurrency bounds how many groups change hands at once.
	transferConcurrency = 4
	transferTimeout     = 5 * time.Second
	// transferPause follows a failed transfer, which stopped the group's producers in vain.
	transferPause = time.Minute
)

// balancer moves leadership: back to the preferred leaders, so that a restarted node gets its share, and away from this
// node before it stops.
type balancer struct {
	node   raft.NodeID
	host   *raft.Host
	groups func() []*raft.Group
	image  func() *cluster.Image
	logger *slog.Logger

	mu sync.Mutex // elections that are asked for run beside the balance
	// notBefore is when a group whose transfer failed may be tried again.
	notBefore map[raft.GroupID]time.Time
}

// resting says whether a group is left alone because a transfer failed a moment ago.
func (b *balancer) resting(id raft.GroupID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return now.Before(b.notBefore[id])
}

// run hands leaderships to their preferred leaders until ctx ends.
func (b *balancer) run(ctx context.Context) {
	ticker := time.NewTicker(balanceInterval)
	defer ticker.Stop()
	seen := map[raft.NodeID]time.Time{} // since when a node has been alive
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case now = <-ticker.C:
		}
		settled := map[raft.NodeID]bool{}
		for n := range b.image().Brokers {
			switch {
			case !b.host.Accepts(n):
				delete(seen, n)
			case seen[n].IsZero():
				seen[n] = now
			default:
				settled[n] = now.Sub(seen[n]) >= settleTime
			}
		}
		moved := b.transfer(ctx, func(id raft.GroupID, replicas []raft.NodeID) raft.NodeID {
			if len(replicas) == 0 || replicas[0] == b.node || !settled[replicas[0]] || b.resting(id, now) {
				return raft.NoNode
			}
			return replicas[0]
		})
		if moved > 0 {
			b.logger.Info("handed leaderships to their preferred leaders", "partitions", moved)
		}
	}
}

// handOver moves all leaderships away from this node.
func (b *balancer) handOver(ctx context.Context) {
	moved := b.transfer(ctx, func(id raft.GroupID, replicas []raft.NodeID) raft.NodeID {
		var others []raft.NodeID
		for _, n := range replicas {
			if n != b.node && b.host.Accepts(n) {
				others = append(others, n)
			}
		}
		if len(others) == 0 {
			return raft.NoNode
		}
		return others[int(id.Partition)%len(others)]
	})
	if moved > 0 {
		b.logger.Info("handed over leaderships before stopping", "partitions", moved)
	}
}

// transfer hands every group that this node leads to the node that target chooses, if any, and returns how many moved.
func (b *balancer) transfer(ctx context.Context, target func(raft.GroupID, []raft.NodeID) raft.NodeID) int {
	slots := make(chan struct{}, transferConcurrency)
	image := b.image()
	var wg sync.WaitGroup
	moved := 0
	for _, g := range b.groups() {
		if l := g.Leadership(); l.Leader != b.node || !l.Ready {
			continue
		}
		topic := image.Topics[g.ID().Topic]
		if topic == nil || int(g.ID().Partition) >= len(topic.Partitions) {
			continue
		}
		to := target(g.ID(), topic.Partitions[g.ID().Partition].Replicas)
		// Proposals stop during a transfer, so one that cannot succeed is not tried. A replica that is being added has no vote yet.
		if to == raft.NoNode || !slices.Contains(g.Voters(), to) || !g.CaughtUp(to) || ctx.Err() != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, transferTimeout)
			defer cancel()
			if err := g.TransferLeadership(ctx, to); err != nil {
				b.logger.Debug("leadership stays", "group", g.ID(), "to", to, "err", err)
				b.mu.Lock()
				defer b.mu.Unlock()
				b.notBefore[g.ID()] = time.Now().Add(transferPause)
				return
			}
			b.mu.Lock()
			defer b.mu.Unlock()
			moved++
			delete(b.notBefore, g.ID())
		})
	}
	wg.Wait()
	return moved
}
