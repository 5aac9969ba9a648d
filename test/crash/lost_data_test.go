//go:build crash

package crash

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

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
		s.must(victim.Kill())
		s.must(os.RemoveAll(victim.DataDir))
		if !slices.Contains(victim.Argv, "--join") {
			victim.Argv = append(victim.Argv, "--join", s.otherSeeds(victim))
		}
		s.must(victim.Process.Start())
		if round%2 == 1 {
			s.pause(2 * time.Second)
			other := s.cluster.Nodes[int(victim.ID)%len(s.cluster.Nodes)]
			s.must(other.Kill())
			s.pause(time.Second)
			s.must(other.Process.Start())
		}
		s.must(s.cluster.WaitServing(s.within(patience)))
		s.flowing()
		took := s.settled()
		s.voting()
		t.Logf("round %d: %s lost its data; in sync again %v after all served", round, victim.Name, took.Round(10*time.Millisecond))
	}
	s.finish()
}

// otherSeeds is how a node finds the others.
func (s *suite) otherSeeds(n *harness.Node) string {
	seeds := strings.Split(s.cluster.Seeds(), ",")
	return strings.Join(slices.Delete(seeds, int(n.ID)-1, int(n.ID)), ",")
}

// voting waits until all nodes vote on the metadata.
func (s *suite) voting() {
	s.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.Addresses()...))
	s.must(err)
	defer cl.Close()
	ctx := s.within(patience)
	for {
		req := kmsg.NewPtrDescribeQuorumRequest()
		topic := kmsg.NewDescribeQuorumRequestTopic()
		topic.Topic = "__cluster_metadata"
		topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
		req.Topics = append(req.Topics, topic)
		resp, err := req.RequestWith(ctx, cl)
		if err == nil && len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 &&
			len(resp.Topics[0].Partitions[0].CurrentVoters) == len(s.cluster.Nodes) {
			return
		}
		if ctx.Err() != nil {
			s.Fatalf("not all nodes vote on the metadata: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
