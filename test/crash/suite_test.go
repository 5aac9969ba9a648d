//go:build crash

package crash

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/fixture"
	"balsa/test/harness"
)

var (
	rounds     = flag.Int("rounds", 50, "faults of each test")
	rate       = flag.Int("rate", 2000, "records per second of load")
	nodes      = flag.Int("nodes", 3, "nodes of the cluster")
	partitions = flag.Int("partitions", 6, "partitions under load")
	seed       = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the choice of victims and moments")
	keepDir    = flag.String("dir", "", "directory for data and logs, kept; default a temporary one, kept on failure")
)

const (
	topic = "crash"
	// patience bounds every wait. It is no measure of quality: the outages are reported.
	patience = time.Minute
)

// suite is a cluster under load.
type suite struct {
	*fixture.Fixture
	load *Load
}

// newSuite starts a cluster; prepare, if not nil, changes its options before.
func newSuite(t *testing.T, nodes int, prepare func(*harness.Options)) *suite {
	t.Helper()
	s := &suite{Fixture: fixture.New(t, fixture.Options{Name: "crash", Dir: *keepDir, Seed: *seed})}
	options := harness.Options{Dir: s.Dir, Nodes: nodes}
	if prepare != nil {
		prepare(&options)
	}
	s.Use("", options)
	return s
}

// startLoad creates the topic and begins to write to it.
func (s *suite) startLoad() {
	s.Helper()
	s.CreateTopic(topic, *partitions, min(3, len(s.Cluster.Nodes)))
	var err error
	s.load, err = StartLoad(s.Context(), LoadConfig{
		Brokers: s.Cluster.Addresses(), Topic: topic, Partitions: int32(*partitions),
		Producers: 4, Rate: *rate, MaxFiller: 1000,
	})
	s.Must(err)
	s.Cleanup(s.load.Close)
	s.flowing()
}

// flowing waits until every partition takes writes and returns how long that took for each.
func (s *suite) flowing() []time.Duration {
	s.Helper()
	lasted, err := s.load.Wait(s.Within(patience), s.load.Fault())
	s.Must(err)
	return lasted
}

// pause lets the load run on for a random time up to limit.
func (s *suite) pause(limit time.Duration) { time.Sleep(s.Random(limit)) }

// leaders returns the partitions that each running node leads, as the cluster's metadata says.
func (s *suite) leaders() (map[int32][]int32, error) {
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
	defer cancel()
	m, err := s.Admin.Metadata(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("ask for leaders: %w", err)
	}
	led := map[int32][]int32{}
	for _, p := range m.Topics[topic].Partitions {
		led[p.Leader] = append(led[p.Leader], p.Partition)
	}
	return led, nil
}

// victim picks a node: in half of the cases one that leads a partition, else any.
func (s *suite) victim() (*harness.Node, map[int32][]int32) {
	s.Helper()
	led, err := s.leaders()
	s.Must(err)
	if s.Rand.IntN(2) == 0 {
		for _, i := range s.Rand.Perm(len(s.Cluster.Nodes)) {
			if n := s.Cluster.Nodes[i]; len(led[n.ID]) > 0 {
				return n, led
			}
		}
	}
	return s.Cluster.Nodes[s.Rand.IntN(len(s.Cluster.Nodes))], led
}

// finish ends the load, reads everything back and fails on any broken promise.
func (s *suite) finish() {
	s.Helper()
	if err := s.load.Stop(s.Within(patience)); err != nil {
		s.Errorf("producers: %v", err)
	}
	c := s.load.Checker()
	s.Must(s.Read(s.Within(10*time.Minute), topic, func(r *kgo.Record) { c.Add(r.Partition, Stored{r.Offset, r.Value}) }))
	report := c.Finish()
	if report.Acknowledged == 0 {
		s.Error("nothing was acknowledged: the test proves nothing")
	}
	s.Must(report.Err())
	s.Logf("%d acknowledged records, %d in the log: none lost, doubled, reordered or moved", report.Acknowledged, report.Records)
}

func (s *suite) logOutages(what string, all []time.Duration) {
	s.Helper()
	s.Logf("%s: %d outages, median %v, p99 %v, max %v", what, len(all), Percentile(all, 50).Round(time.Millisecond),
		Percentile(all, 99).Round(time.Millisecond), Percentile(all, 100).Round(time.Millisecond))
}
