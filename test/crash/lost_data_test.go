//go:build crash

package crash

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"balsa/test/harness"
)

// TestLostData has one node after the other lose all its data under load and join again. In every other round another node is killed and
// started anew while the first is being rebuilt: what only that one and the lost data had must not be given up.
func TestLostData(t *testing.T) {
	s := newSuite(t, *nodes, nil)
	s.startLoad()
	// franz-go gives up when a broker dies under a client's very first request, which it takes for one that wants SASL.
	for s.load.Acknowledged() < int64(*rate) {
		time.Sleep(10 * time.Millisecond)
	}
	for round := range *rounds {
		victim, _ := s.victim()
		s.Must(victim.Kill())
		s.Must(os.RemoveAll(victim.DataDir))
		if !slices.Contains(victim.Argv, "--join") {
			victim.Argv = append(victim.Argv, "--join", s.otherSeeds(victim))
		}
		s.Must(victim.Process.Start())
		if round%2 == 1 {
			s.pause(2 * time.Second)
			other := s.Cluster.Nodes[int(victim.ID)%len(s.Cluster.Nodes)]
			s.Must(other.Kill())
			s.pause(time.Second)
			s.Must(other.Process.Start())
		}
		s.Must(s.Cluster.WaitServing(s.Within(patience)))
		s.flowing()
		took := s.settled()
		s.awaitVoters("all nodes vote", func(voters []int32) bool { return len(voters) == len(s.Cluster.Nodes) })
		t.Logf("round %d: %s lost its data; in sync again %v after all served", round, victim.Name, took.Round(10*time.Millisecond))
	}
	s.finish()
}

// otherSeeds is how a node finds the others.
func (s *suite) otherSeeds(n *harness.Node) string {
	seeds := strings.Split(s.Cluster.Seeds(), ",")
	return strings.Join(slices.Delete(seeds, int(n.ID)-1, int(n.ID)), ",")
}

// awaitVoters waits until those vote on the metadata that should.
func (s *suite) awaitVoters(what string, are func(voters []int32) bool) {
	s.Helper()
	s.Eventually(what, patience, func(ctx context.Context) error {
		voters, err := harness.MetadataVoters(ctx, s.Client)
		if err == nil && !are(voters) {
			err = fmt.Errorf("%v vote on the metadata", voters)
		}
		return err
	})
}
