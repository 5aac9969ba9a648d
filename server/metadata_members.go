package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"balsa/raft"
	"balsa/server/cluster"
)

// metadataInterval is how often the leader of the metadata looks whether its group has the members that it should have.
const metadataInterval = time.Second

// metadataMembers keeps the membership of the metadata group in step with the cluster: a broker that joins becomes a learner, then a
// voter if voters lack; one that is unregistered leaves.
type metadataMembers struct {
	node   raft.NodeID
	group  *raft.Group
	image  func() *cluster.Image
	recent func() []raft.NodeID // brokers that ask to join
	first  []raft.NodeID        // the initial brokers
	alive  func(raft.NodeID) bool
	logger *slog.Logger
}

func (m *metadataMembers) run(ctx context.Context) {
	ticker := time.NewTicker(metadataInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if l := m.group.Leadership(); l.Leader == m.node && l.Ready {
			m.reconcile(ctx)
		}
	}
}

// reconcile takes steps as long as there are any.
func (m *metadataMembers) reconcile(ctx context.Context) {
	for ctx.Err() == nil {
		members, recent := m.group.Members(), m.recent()
		target := metadataTarget(members, m.image(), recent, m.first, m.alive)
		if len(recent) == 0 && fits(members, target) {
			return
		}
		within, cancel := context.WithTimeout(ctx, stepTimeout)
		r, err := m.group.Reconcile(within, target)
		cancel()
		switch {
		case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrClosed):
			return
		case err != nil:
			m.logger.Warn("the members of the metadata group are not what they should be", "err", err)
			return
		case r.Waiting != "":
			m.logger.Debug("a change of the metadata group's members waits", "for", r.Waiting)
			return
		case r.Done:
			return
		}
	}
}

func fits(members []raft.Member, t raft.Target) bool {
	for _, m := range members {
		if m.Voter != slices.Contains(t.Voters, m.Node) || !m.Voter && !slices.Contains(t.Learners, m.Node) {
			return false
		}
	}
	return len(members) == len(t.Voters)+len(t.Learners)
}

// metadataTarget says who should be a member of the metadata group. All brokers are, and who votes goes on voting. There
// should be an odd number of voters, as many as there are brokers, up to MetadataVoters: if voters lack, learners that are alive become
// voters, those with the lowest ids first.
func metadataTarget(members []raft.Member, image *cluster.Image, recent, initial []raft.NodeID, alive func(raft.NodeID) bool) raft.Target {
	all := slices.Clone(recent)
	for id := range image.Brokers {
		all = append(all, id)
	}
	var voters, learners []raft.NodeID
	for _, m := range members {
		_, registered := image.Brokers[m.Node]
		switch {
		case image.Unregistered[m.Node] && !slices.Contains(recent, m.Node):
			continue
		case m.Voter:
			voters = append(voters, m.Node)
		case registered && alive(m.Node):
			learners = append(learners, m.Node)
		case !registered && !slices.Contains(initial, m.Node):
			continue // it began to join, and gave up unless it is among the recent ones
		}
		all = append(all, m.Node)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	want := min(len(all), raft.MetadataVoters, len(voters)+len(learners))
	want -= 1 - want%2 // an even one more would not make the group survive more
	slices.Sort(learners)
	for _, n := range learners {
		if len(voters) < want {
			voters = append(voters, n)
		}
	}
	t := raft.Target{Voters: voters, Majority: true}
	for _, n := range all {
		if !slices.Contains(voters, n) {
			t.Learners = append(t.Learners, n)
		}
	}
	return t
}
