//go:build crash

package crash

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

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
	*testing.T
	cluster *harness.Cluster
	load    *Load
	client  *kgo.Client
	adm     *kadm.Client
	rng     *rand.Rand
	dir     string
}

// newSuite starts a cluster of three; prepare, if not nil, changes its options before.
func newSuite(t *testing.T, nodes int, prepare func(*harness.Options)) *suite {
	t.Helper()
	s := &suite{T: t, dir: testDir(t), rng: rand.New(rand.NewPCG(*seed, 0))}
	t.Logf("seed %d, data in %s", *seed, s.dir)
	binary, err := harness.Build(s.dir)
	s.must(err)
	options := harness.Options{Binary: binary, Dir: s.dir, Nodes: nodes}
	if prepare != nil {
		prepare(&options)
	}
	s.cluster, err = harness.New(options)
	s.must(err)
	t.Cleanup(func() { s.cluster.Close() })
	s.must(s.cluster.Start(s.within(patience)))
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.cluster.Addresses()...), kgo.MetadataMinAge(10*time.Millisecond), kgo.DialTimeout(time.Second))
	s.must(err)
	t.Cleanup(cl.Close)
	s.client, s.adm = cl, kadm.NewClient(cl)
	return s
}

func testDir(t *testing.T) string {
	t.Helper()
	if *keepDir != "" {
		dir := filepath.Join(*keepDir, t.Name())
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir, err := os.MkdirTemp("", "balsa-crash-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			os.RemoveAll(dir)
		}
	})
	return dir
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// within is a context that ends after d or with the test.
func (s *suite) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.Context(), d)
	s.Cleanup(cancel)
	return ctx
}

// startLoad creates the topic and begins to write to it.
func (s *suite) startLoad() {
	s.Helper()
	_, err := s.adm.CreateTopic(s.within(patience), int32(*partitions), int16(min(3, len(s.cluster.Nodes))), nil, topic)
	s.must(err)
	s.load, err = StartLoad(s.Context(), LoadConfig{
		Brokers: s.cluster.Addresses(), Topic: topic, Partitions: int32(*partitions),
		Producers: 4, Rate: *rate, MaxFiller: 1000,
	})
	s.must(err)
	s.flowing()
}

// flowing waits until every partition takes writes and returns how long that took for each.
func (s *suite) flowing() []time.Duration {
	s.Helper()
	lasted, err := s.load.Wait(s.within(patience), s.load.Fault())
	s.must(err)
	return lasted
}

// pause lets the load run on for a random time up to limit.
func (s *suite) pause(limit time.Duration) {
	time.Sleep(time.Duration(s.rng.Int64N(int64(limit))))
}

// leaders returns the partitions that each running node leads, as the cluster's metadata says.
func (s *suite) leaders() (map[int32][]int32, error) {
	ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
	defer cancel()
	m, err := s.adm.Metadata(ctx, topic)
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
	s.must(err)
	if s.rng.IntN(2) == 0 {
		for _, i := range s.rng.Perm(len(s.cluster.Nodes)) {
			if n := s.cluster.Nodes[i]; len(led[n.ID]) > 0 {
				return n, led
			}
		}
	}
	return s.cluster.Nodes[s.rng.IntN(len(s.cluster.Nodes))], led
}

// finish ends the load, reads everything back and fails on any broken promise.
func (s *suite) finish() {
	s.Helper()
	if err := s.load.Stop(s.within(patience)); err != nil {
		s.Errorf("producers: %v", err)
	}
	report, err := Verify(s.within(10*time.Minute), s.cluster.Addresses(), topic, int32(*partitions), s.load.Checker())
	s.must(err)
	if report.Acknowledged == 0 {
		s.Error("nothing was acknowledged: the test proves nothing")
	}
	s.must(report.Err())
	s.Logf("%d acknowledged records, %d in the log: none lost, doubled, reordered or moved", report.Acknowledged, report.Records)
}

func (s *suite) logOutages(what string, all []time.Duration) {
	s.Helper()
	s.Logf("%s: %d outages, median %v, p99 %v, max %v", what, len(all), Percentile(all, 50).Round(time.Millisecond),
		Percentile(all, 99).Round(time.Millisecond), Percentile(all, 100).Round(time.Millisecond))
}
