package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

const (
	// reassignInterval is how often a broker looks whether a group that it leads has other members than the metadata wants.
	reassignInterval = 500 * time.Millisecond
	// reassignConcurrency bounds how many groups of one leader move data at once, so that clients keep most of disk and network.
	reassignConcurrency = 4
	// reassignPoll is how often a move looks how far its new replica is.
	reassignPoll = 100 * time.Millisecond
	// stepTimeout bounds one step; what was begun goes on, and the next look finds out.
	stepTimeout = 15 * time.Second
	// reassignPause is how long a move that waits for something, a node that is down for example, is left alone.
	reassignPause = 2 * time.Second
	// reassignReport is how often a move that waits says for what.
	reassignReport = 30 * time.Second
)

// reassigner makes the members of the Raft groups that this node leads what the metadata says: it carries out reassignments
// (KIP-455), and has replicas rebuilt that were set aside or lost. All of its state is in the groups and in the metadata, so that
// another leader goes on where one stopped.
type reassigner struct {
	node   raft.NodeID
	groups func() []*raft.Group
	image  func() *cluster.Image
	// outages knows which replicas are out of service.
	outages *outages
	// tell is Controller.Do.
	tell   func(context.Context, kmsg.Request) (kmsg.Response, error)
	logger *slog.Logger

	checked map[raft.GroupID]checked // groups without work; only run uses it

	mu       sync.Mutex // guards what follows
	moving   map[raft.GroupID]bool
	resume   map[raft.GroupID]time.Time // when a group that waits is looked at again
	reported map[raft.GroupID]time.Time // when a group last said what it waits for
}

// checked is what a group was found to be as it should be under: while nothing of that changes, it still is.
type checked struct {
	image, outages uint64
	epoch          log.Epoch
}

func newReassigner(node raft.NodeID, logger *slog.Logger) *reassigner {
	return &reassigner{
		node: node, logger: logger, checked: map[raft.GroupID]checked{}, moving: map[raft.GroupID]bool{},
		resume: map[raft.GroupID]time.Time{}, reported: map[raft.GroupID]time.Time{},
	}
}

// run works until ctx ends.
func (r *reassigner) run(ctx context.Context) {
	ticker := time.NewTicker(reassignInterval)
	defer ticker.Stop()
	slots := make(chan struct{}, reassignConcurrency)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		image, groups := r.image(), r.groups()
		if len(r.checked) > 2*len(groups) {
			clear(r.checked) // most of them are gone
		}
		for _, g := range groups {
			if !r.hasWork(image, g) || !r.claim(g.ID()) {
				continue
			}
			select {
			case slots <- struct{}{}:
			default:
				r.release(g.ID())
				continue // the others of this round are asked too: who is moving already keeps its place
			}
			wg.Go(func() {
				defer func() { <-slots }()
				defer r.release(g.ID())
				r.move(ctx, g)
			})
		}
	}
}

func (r *reassigner) claim(id raft.GroupID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.moving[id] || time.Now().Before(r.resume[id]) {
		return false
	}
	delete(r.resume, id)
	r.moving[id] = true
	return true
}

func (r *reassigner) release(id raft.GroupID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.moving, id)
}

// hasWork says whether this node leads g and its members are not what they should be. It asks nobody.
func (r *reassigner) hasWork(image *cluster.Image, g *raft.Group) bool {
	l := g.Leadership()
	if l.Leader != r.node || !l.Ready {
		return false
	}
	p, ok := image.Partition(g.ID().Topic, g.ID().Partition)
	if !ok {
		return false
	}
	if !p.Settled() {
		return true
	}
	now := checked{image: image.Version, outages: r.outages.version.Load(), epoch: l.Epoch}
	if r.checked[g.ID()] == now {
		return false
	}
	members := g.Members()
	for _, m := range members {
		if !m.Voter || !slices.Contains(p.Replicas, m.Node) || r.outages.has(m.Node, g.ID()) {
			return true
		}
	}
	if len(members) != len(p.Replicas) {
		return true
	}
	r.checked[g.ID()] = now
	return false
}

// movePatience is for how many looks a move waits for a node that is about to open its replica.
const movePatience = 5

// move takes steps until the group has its members, or has to wait for something that may take long.
func (r *reassigner) move(ctx context.Context, g *raft.Group) {
	patience := movePatience
	for ctx.Err() == nil {
		p, ok := r.image().Partition(g.ID().Topic, g.ID().Partition)
		if !ok {
			return // deleted
		}
		within, cancel := context.WithTimeout(ctx, stepTimeout)
		done, err := g.Reconcile(within, raft.Target{Voters: p.Target()})
		if err == nil && done.Done {
			err = r.settle(within, g, p)
		}
		cancel()
		switch {
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrClosed), ctx.Err() != nil:
			return // another leader's business now
		case err != nil:
			r.report(g.ID(), err.Error())
			return
		case done.Done:
			return
		case done.Waiting != "":
			if !done.CatchingUp {
				patience--
			}
			if patience < 0 {
				r.report(g.ID(), done.Waiting)
				return
			}
			select {
			case <-time.After(reassignPoll):
			case <-ctx.Done():
			}
		}
	}
}

// report takes note that a move does not go on, and says why now and then.
func (r *reassigner) report(id raft.GroupID, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resume[id] = time.Now().Add(reassignPause)
	if time.Since(r.reported[id]) < reassignReport {
		return
	}
	r.reported[id] = time.Now()
	r.logger.Warn("the members of a group are not what they should be", "group", id, "why", why)
}

// settle tells the controller that the group has the members that its reassignment leads to. Only now do the nodes that were removed
// delete what they have.
func (r *reassigner) settle(ctx context.Context, g *raft.Group, p cluster.Partition) error {
	r.mu.Lock()
	delete(r.reported, g.ID())
	r.mu.Unlock()
	if p.Settled() {
		return nil
	}
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = 2 // topic ids, and no broker epochs, which tell apart processes that Raft tells apart
	req.BrokerID, req.BrokerEpoch = int32(r.node), -1
	topic := kmsg.NewAlterPartitionRequestTopic()
	topic.TopicID = g.ID().Topic
	part := kmsg.NewAlterPartitionRequestTopicPartition()
	part.Partition, part.LeaderEpoch, part.PartitionEpoch = g.ID().Partition, int32(g.Leadership().Epoch), p.Epoch
	for _, n := range p.Target() {
		part.NewISR = append(part.NewISR, int32(n))
	}
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	resp, err := r.tell(ctx, req)
	if err != nil {
		return fmt.Errorf("end the reassignment: %w", err)
	}
	answer, ok := resp.(*kmsg.AlterPartitionResponse)
	if !ok || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return fmt.Errorf("end the reassignment: answered with %T", resp)
	}
	switch err := kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode); {
	case errors.Is(err, kerr.InvalidUpdateVersion):
		return nil // it was changed meanwhile: the next round sees to that
	case err != nil:
		return fmt.Errorf("end the reassignment: %w", err)
	}
	r.logger.Info("reassignment done", "group", g.ID(), "replicas", p.Target(), "added", p.Adding, "removed", p.Removing)
	return nil
}
