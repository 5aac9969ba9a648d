package server

import (
	"slices"
	"testing"

	"balsa/raft"
	"balsa/server/cluster"
)

func TestMetadataTarget(t *testing.T) {
	ids := func(n ...raft.NodeID) []raft.NodeID { return n }
	for name, c := range map[string]struct {
		voters, learners, registered, unregistered, recent, initial, dead []raft.NodeID
		wantVoters, wantLearners                                          []raft.NodeID
	}{
		"as configured":                 {voters: ids(1, 2, 3), registered: ids(1, 2, 3), wantVoters: ids(1, 2, 3)},
		"before anybody is registered":  {voters: ids(1, 2, 3), wantVoters: ids(1, 2, 3)},
		"one joins":                     {voters: ids(1, 2, 3), registered: ids(1, 2, 3), recent: ids(4), wantVoters: ids(1, 2, 3), wantLearners: ids(4)},
		"a fourth does not vote":        {voters: ids(1, 2, 3), learners: ids(4), registered: ids(1, 2, 3, 4), wantVoters: ids(1, 2, 3), wantLearners: ids(4)},
		"with a fifth both do":          {voters: ids(1, 2, 3), learners: ids(4, 5), registered: ids(1, 2, 3, 4, 5), wantVoters: ids(1, 2, 3, 4, 5)},
		"not if one is dead":            {voters: ids(1, 2, 3), learners: ids(4, 5), registered: ids(1, 2, 3, 4, 5), dead: ids(4), wantVoters: ids(1, 2, 3), wantLearners: ids(4, 5)},
		"a single node grows":           {voters: ids(1), learners: ids(2, 3), registered: ids(1, 2, 3), wantVoters: ids(1, 2, 3)},
		"two nodes: one voter":          {voters: ids(1), learners: ids(2), registered: ids(1, 2), wantVoters: ids(1), wantLearners: ids(2)},
		"a removed voter is replaced":   {voters: ids(1, 2, 3), learners: ids(4), registered: ids(1, 2, 4), unregistered: ids(3), wantVoters: ids(1, 2, 4)},
		"a removed one that joins":      {voters: ids(1, 2), registered: ids(1, 2), unregistered: ids(3), recent: ids(3), wantVoters: ids(1, 2), wantLearners: ids(3)},
		"a voter that lost its data":    {voters: ids(1, 2, 3), registered: ids(1, 2, 3), recent: ids(3), wantVoters: ids(1, 2, 3)},
		"it was removed and comes back": {voters: ids(1, 2), registered: ids(1, 2, 3), recent: ids(3), wantVoters: ids(1, 2), wantLearners: ids(3)},
		"and votes again":               {voters: ids(1, 2), learners: ids(3), registered: ids(1, 2, 3), wantVoters: ids(1, 2, 3)},
		"one that gave up joining":      {voters: ids(1, 2, 3), learners: ids(4), registered: ids(1, 2, 3), wantVoters: ids(1, 2, 3)},
		"one that was there first":      {voters: ids(1), learners: ids(6), registered: ids(1), initial: ids(1, 6), wantVoters: ids(1), wantLearners: ids(6)},
		"one that is still joining":     {voters: ids(1), learners: ids(6), registered: ids(1), recent: ids(6), wantVoters: ids(1), wantLearners: ids(6)},
		"seven nodes":                   {voters: ids(1, 2, 3, 4, 5), learners: ids(6, 7), registered: ids(1, 2, 3, 4, 5, 6, 7), wantVoters: ids(1, 2, 3, 4, 5), wantLearners: ids(6, 7)},
	} {
		image := cluster.NewImage()
		for _, n := range c.registered {
			image.Brokers[n] = cluster.Broker{ID: n}
		}
		for _, n := range c.unregistered {
			image.Unregistered[n] = true
		}
		var members []raft.Member
		for _, n := range c.voters {
			members = append(members, raft.Member{Node: n, Voter: true})
		}
		for _, n := range c.learners {
			members = append(members, raft.Member{Node: n})
		}
		got := metadataTarget(members, image, c.recent, c.initial, func(n raft.NodeID) bool { return !slices.Contains(c.dead, n) })
		if !slices.Equal(got.Voters, c.wantVoters) || !slices.Equal(got.Learners, c.wantLearners) {
			t.Errorf("%s: voters %v, learners %v; want %v, %v", name, got.Voters, got.Learners, c.wantVoters, c.wantLearners)
		}
	}
}
