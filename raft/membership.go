package raft

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

// Member is a member of a group: a voter, or a learner, who receives everything but has no vote and does not count for
// commitment (the library's non-voter).
type Member struct {
	Node  NodeID
	Voter bool
}

// Members returns the group's membership as this replica knows it: the latest in its log, which may not be committed yet. It is
// empty for a replica that joins and has not heard of any.
func (g *Group) Members() []Member {
	f := g.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	servers := f.Configuration().Servers
	members := make([]Member, 0, len(servers))
	for _, s := range servers {
		members = append(members, Member{Node: parseNode(string(s.ID)), Voter: s.Suffrage == hraft.Voter})
	}
	return members
}

// Voters returns the group's voting members.
func (g *Group) Voters() []NodeID {
	var nodes []NodeID
	for _, m := range g.Members() {
		if m.Voter {
			nodes = append(nodes, m.Node)
		}
	}
	return nodes
}

// leadsOthers says whether this replica leads, and needs another's vote to commit.
func (g *Group) leadsOthers() bool {
	r := g.trans.started.Load()
	return r != nil && r.State() == hraft.Leader && len(g.Voters()) > 1
}

// isMember says whether node is a member, and whether with a vote.
func (g *Group) isMember(node NodeID) (member, voter bool) {
	members := g.Members()
	i := slices.IndexFunc(members, func(m Member) bool { return m.Node == node })
	return i >= 0, i >= 0 && members[i].Voter
}

// Progress is how far a member has got, as the leader knows it.
type Progress struct {
	Member
	// Match is the last entry that the member is known to store; 0 when this leader has not heard of it yet.
	Match log.Index
	// Offset is the Kafka offset after that entry; 0 in the metadata group, whose entries have none.
	Offset log.Offset
	// LastContact is when the member last acknowledged something, LastCaughtUp when it last had everything that the leader
	// had; zero: never in this leader's term. For the leader itself both are now.
	LastContact, LastCaughtUp time.Time
}

// Progress returns what this replica, if it leads, knows about every member: for DescribeQuorum and lag. On a follower only the
// membership in it means anything.
func (g *Group) Progress() []Progress {
	members := g.Members()
	all := make([]Progress, 0, len(members))
	now, last := time.Now(), g.trans.lastIndex()
	for _, m := range members {
		p := Progress{Member: m}
		if m.Node == g.host.node {
			p.Match, p.LastContact, p.LastCaughtUp = log.Index(last), now, now
		} else {
			g.trans.progress(&p, last, now)
		}
		if g.plog != nil && p.Match > 0 {
			if o, err := g.plog.OffsetOf(p.Match + 1); err == nil {
				p.Offset = o
			}
		}
		all = append(all, p)
	}
	return all
}

// CommitIndex returns the last entry that this replica knows to be committed.
func (g *Group) CommitIndex() log.Index { return log.Index(g.raft.CommitIndex()) }

// changePatience bounds the wait for the library to take up a change of membership: it takes one at a time, and none before the
// leader has committed an entry of its own term.
const changePatience = 5 * time.Second

// await waits for a future of the library, which may never answer when it is shut down.
func (g *Group) await(ctx context.Context, f hraft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return mapError(err)
	case <-g.trans.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addLearner makes node a member without a vote, and returns when that is committed.
func (g *Group) addLearner(ctx context.Context, node NodeID) error {
	if member, _ := g.isMember(node); member {
		return nil
	}
	g.trans.forget(node)
	id, address := hraft.ServerID(node.server()), hraft.ServerAddress(node.server())
	if err := g.await(ctx, g.raft.AddNonvoter(id, address, 0, changePatience)); err != nil {
		return fmt.Errorf("add learner %d to group %s: %w", node, g.id, err)
	}
	return nil
}

// promote gives a learner a vote, and returns when that is committed.
func (g *Group) promote(ctx context.Context, node NodeID) error {
	member, voter := g.isMember(node)
	if voter {
		return nil
	}
	if !member {
		return fmt.Errorf("promote node %d in group %s: it is no learner", node, g.id)
	}
	id, address := hraft.ServerID(node.server()), hraft.ServerAddress(node.server())
	if err := g.await(ctx, g.raft.AddVoter(id, address, 0, changePatience)); err != nil {
		return fmt.Errorf("promote node %d in group %s: %w", node, g.id, err)
	}
	return nil
}

// errLeaderLeaves means that a leader was asked to remove itself: it has to hand over first.
var errLeaderLeaves = errors.New("the leader cannot be removed before it has handed over")

// remove ends a node's membership, and returns when that is committed.
func (g *Group) remove(ctx context.Context, node NodeID) error {
	if node == g.host.node {
		return fmt.Errorf("remove node %d from group %s: %w", node, g.id, errLeaderLeaves)
	}
	if member, _ := g.isMember(node); !member {
		return nil
	}
	if err := g.await(ctx, g.raft.RemoveServer(hraft.ServerID(node.server()), 0, changePatience)); err != nil {
		return fmt.Errorf("remove node %d from group %s: %w", node, g.id, err)
	}
	g.trans.forget(node)
	return nil
}

// proven returns the index and term of a point up to which this leader has just proven everything to be committed: by
// committing an entry after the call began, which a deposed leader cannot.
func (g *Group) proven(ctx context.Context) (log.Index, uint64, error) {
	l := g.Leadership()
	if l.Leader != g.host.node || !l.Ready {
		return 0, 0, ErrNotLeader
	}
	if err := g.await(ctx, g.raft.Barrier(changePatience)); err != nil {
		return 0, 0, fmt.Errorf("prove leadership of group %s: %w", g.id, err)
	}
	// The term is read first: should it be a later one's by now, then that of an earlier leadership is merely too low.
	return g.CommitIndex(), uint64(l.Epoch), nil
}
