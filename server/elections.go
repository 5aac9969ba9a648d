package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// electionsService is the number under which a broker hands leaderships over that another asks it to.
const electionsService uint8 = 6

// electionTimeout bounds a request to elect the preferred leaders of any number of partitions.
const electionTimeout = time.Minute

// elections holds the elections that administrators ask for: it has those who lead hand over to the preferred leaders.
type elections struct {
	node     raft.NodeID
	image    func() *cluster.Image
	leader   func(raft.GroupID) raft.Leadership
	balancer *balancer
	call     callFunc
}

// ElectPreferred implements handler.Elections.
func (e *elections) ElectPreferred(ctx context.Context, partitions []cluster.TopicPartition) []error {
	ctx, cancel := context.WithTimeout(ctx, electionTimeout)
	defer cancel()
	byLeader := map[raft.NodeID][]raft.GroupID{}
	for _, p := range partitions {
		id := raft.GroupID{Topic: p.Topic, Partition: p.Partition}
		leader := e.leader(id).Leader
		byLeader[leader] = append(byLeader[leader], id)
	}
	var mu sync.Mutex
	outcomes := map[raft.GroupID]error{}
	var wg sync.WaitGroup
	for leader, groups := range byLeader {
		wg.Go(func() {
			failed := e.handOver(ctx, leader, groups)
			mu.Lock()
			defer mu.Unlock()
			for _, id := range groups {
				outcomes[id] = failed[id]
			}
		})
	}
	wg.Wait()
	results := make([]error, len(partitions))
	for i, p := range partitions {
		results[i] = outcomes[raft.GroupID{Topic: p.Topic, Partition: p.Partition}]
	}
	e.awaitElected(ctx, outcomes)
	return results
}

// handOver has one leader hand groups over, and returns those that it still leads, with the reason.
func (e *elections) handOver(ctx context.Context, leader raft.NodeID, groups []raft.GroupID) map[raft.GroupID]error {
	if leader == raft.NoNode {
		return each(groups, kerr.PreferredLeaderNotAvailable)
	}
	if leader == e.node {
		failed := map[raft.GroupID]error{}
		for _, id := range e.balancer.elect(ctx, groups) {
			failed[id] = kerr.PreferredLeaderNotAvailable
		}
		return failed
	}
	wanted := make(map[raft.GroupID]log.Epoch, len(groups))
	for _, id := range groups {
		wanted[id] = 0
	}
	answer, err := e.call(ctx, leader, electionsService, encodeElection(ctx, wanted))
	if err != nil {
		return each(groups, fmt.Errorf("%w: ask node %d to hand over: %w", kerr.RequestTimedOut, leader, err))
	}
	stayed, err := decodeLeaders(answer)
	if err != nil {
		return each(groups, fmt.Errorf("%w: answer of node %d: %w", kerr.RequestTimedOut, leader, err))
	}
	failed := make(map[raft.GroupID]error, len(stayed))
	for id := range stayed {
		failed[id] = kerr.PreferredLeaderNotAvailable
	}
	return failed
}

func each(groups []raft.GroupID, err error) map[raft.GroupID]error {
	failed := make(map[raft.GroupID]error, len(groups))
	for _, id := range groups {
		failed[id] = err
	}
	return failed
}

// awaitElected returns when this broker knows the new leaders, so that who asked for them is told so when it looks, or ctx ends.
func (e *elections) awaitElected(ctx context.Context, outcomes map[raft.GroupID]error) {
	ctx, cancel := context.WithTimeout(ctx, electionWait)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	image := e.image()
	for id, err := range outcomes {
		for err == nil {
			p, ok := image.Partition(id.Topic, id.Partition)
			if !ok || e.leader(id).Leader == p.Replicas[0] {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}
}

// A request for elections is the milliseconds left (4 bytes), then groups as an announcement of leaders has them; its answer are
// the groups whose leadership stayed.
func encodeElection(ctx context.Context, groups map[raft.GroupID]log.Epoch) []byte {
	left := electionTimeout
	if deadline, ok := ctx.Deadline(); ok {
		left = max(0, min(left, time.Until(deadline)))
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(left.Milliseconds())), encodeLeaders(groups)...)
}

var errElection = errors.New("malformed request for elections")

// serve hands over what another broker asks for; its signature is raft.Service.
func (e *elections) serve(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	if len(payload) < 4 {
		return nil, errElection
	}
	wanted, err := decodeLeaders(payload[4:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errElection, err)
	}
	left := time.Duration(binary.BigEndian.Uint32(payload)) * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, min(left, electionTimeout))
	defer cancel()
	groups := make([]raft.GroupID, 0, len(wanted))
	for id := range wanted {
		groups = append(groups, id)
	}
	stayed := map[raft.GroupID]log.Epoch{}
	for _, id := range e.balancer.elect(ctx, groups) {
		stayed[id] = 0
	}
	return encodeLeaders(stayed), nil
}

const (
	// electionPatience is how long preferred leaders may take to catch up: one that has just come back is about to, and the leader of an
	// idle group learns that only when it tries to reach it again.
	electionPatience = 6 * time.Second
	electionRetry    = 50 * time.Millisecond
)

// elect hands groups that this node leads over to their preferred leaders, whatever transfers failed before, and returns those that
// stayed here.
func (b *balancer) elect(ctx context.Context, groups []raft.GroupID) []raft.GroupID {
	ctx, cancel := context.WithTimeout(ctx, electionPatience)
	defer cancel()
	b.mu.Lock()
	for _, id := range groups {
		delete(b.notBefore, id) // it is asked for, whatever came before; but one that fails now rests
	}
	b.mu.Unlock()
	for {
		stayed := b.electOnce(ctx, groups)
		if len(stayed) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return stayed
		case <-time.After(electionRetry):
		}
	}
}

func (b *balancer) electOnce(ctx context.Context, groups []raft.GroupID) []raft.GroupID {
	wanted := make(map[raft.GroupID]bool, len(groups))
	for _, id := range groups {
		wanted[id] = true
	}
	b.transfer(ctx, func(id raft.GroupID, replicas []raft.NodeID) raft.NodeID {
		if !wanted[id] || replicas[0] == b.node || !b.host.Accepts(replicas[0]) || b.resting(id, time.Now()) {
			return raft.NoNode
		}
		return replicas[0]
	})
	image := b.image()
	var stayed []raft.GroupID
	for _, g := range b.groups() {
		id := g.ID()
		p, ok := image.Partition(id.Topic, id.Partition)
		if wanted[id] && g.Leadership().Leader == b.node && ok && p.Replicas[0] != b.node {
			stayed = append(stayed, id)
		}
	}
	return stayed
}
