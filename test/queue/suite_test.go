//go:build queue

package queue

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/harness"
)

var (
	seeds    = flag.String("seeds", "", "use this cluster (host:port,...) instead of three fresh nodes of balsa; then only workers are faulted")
	replicas = flag.Int("replication-factor", 3, "of the topics")
	seed     = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the choice of faults and moments")
	keep     = flag.Bool("keep", false, "keep data and logs also on success")
)

const (
	topic     = "queue"
	deadTopic = "queue-dead"
	group     = "queue-workers"
	// patience bounds every wait. It is no measure of quality.
	patience = 2 * time.Minute
)

// suite is a cluster with a queue topic.
type suite struct {
	*testing.T
	dir     string
	brokers []string
	cluster *harness.Cluster // nil: not ours
	client  *kgo.Client
	adm     *kadm.Client
	rng     *rand.Rand
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{T: t, rng: rand.New(rand.NewPCG(*seed, 0))}
	var err error
	s.dir, err = os.MkdirTemp("", "balsa-queue-")
	s.must(err)
	t.Logf("seed %d, data in %s", *seed, s.dir)
	t.Cleanup(func() {
		if !t.Failed() && !*keep {
			os.RemoveAll(s.dir)
		}
	})
	s.brokers = strings.Split(*seeds, ",")
	if *seeds == "" {
		s.startCluster()
	}
	s.client, err = kgo.NewClient(kgo.SeedBrokers(s.brokers...), kgo.MetadataMinAge(50*time.Millisecond), kgo.DialTimeout(time.Second))
	s.must(err)
	t.Cleanup(s.client.Close)
	s.adm = kadm.NewClient(s.client)
	return s
}

func (s *suite) startCluster() {
	s.Helper()
	binary, err := harness.Build(s.dir)
	s.must(err)
	s.cluster, err = harness.New(harness.Options{Binary: binary, Dir: s.dir, Nodes: 3})
	s.must(err)
	s.Cleanup(func() { s.cluster.Close() })
	s.must(s.cluster.Start(s.within(patience)))
	s.brokers = s.cluster.Addresses()
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

// eventually repeats an attempt until it succeeds.
func (s *suite) eventually(what string, attempt func(context.Context) error) {
	s.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
		err := attempt(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.Fatalf("%s: not within %v: %v", what, patience, err)
		}
	}
}

// createTopic creates a topic anew. Configs are "name=value".
func (s *suite) createTopic(name string, partitions int, configs ...string) {
	s.Helper()
	// An earlier run may have left it on a cluster that is not ours.
	_, _ = s.adm.DeleteTopics(s.within(patience), name)
	values := map[string]*string{}
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		values[k] = kadm.StringPtr(v)
	}
	s.eventually("create topic "+name, func(ctx context.Context) error {
		_, err := s.adm.CreateTopic(ctx, int32(partitions), int16(*replicas), values, name)
		return err
	})
}

// createQueue creates a queue topic; another cluster has none, and gets an ordinary one.
func (s *suite) createQueue(partitions int, configs ...string) {
	s.Helper()
	if s.cluster != nil {
		configs = append(configs, "cleanup.policy=ack")
	}
	s.createTopic(topic, partitions, configs...)
}

// configureGroup sets configs of the share group, "name=value".
func (s *suite) configureGroup(configs ...string) {
	s.Helper()
	if s.cluster == nil { // its topics are no queues, so the default is latest
		configs = append(configs, "share.auto.offset.reset=earliest")
	}
	res := kmsg.NewIncrementalAlterConfigsRequestResource()
	res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	for _, c := range configs {
		k, v, _ := strings.Cut(c, "=")
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = k, &v
		res.Configs = append(res.Configs, config)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, res)
	resp, err := req.RequestWith(s.within(patience), s.client)
	s.must(err)
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			s.Fatalf("configure group: %v: %s", err, deref(r.ErrorMessage))
		}
	}
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// open returns how many messages of the topic the group has not decided.
func (s *suite) open(ctx context.Context) (int64, error) {
	described, err := s.adm.DescribeShareGroupOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	g := described[group]
	if g.Err != nil {
		return 0, g.Err
	}
	ends, err := s.adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, err
	}
	open := int64(0)
	for p, end := range ends[topic] {
		o, ok := g.Offsets.Lookup(topic, p)
		switch {
		case end.Offset == 0:
		case !ok:
			return 0, fmt.Errorf("the group has no share partition %d", p)
		case o.Err != nil:
			return 0, o.Err
		case s.cluster == nil: // Kafka's start offsets move later
			open += max(o.Lag, 0)
		default:
			open += end.Offset - o.StartOffset
		}
	}
	return open, nil
}

// drained waits until the group has decided everything.
func (s *suite) drained() {
	s.Helper()
	s.eventually("decide all messages", func(ctx context.Context) error {
		if n, err := s.open(ctx); err != nil || n > 0 {
			return fmt.Errorf("%d are open (%v)", n, err)
		}
		return nil
	})
}

// diskUse is how many bytes each node has in files of a topic.
func (s *suite) diskUse(name string) map[int32]int64 {
	s.Helper()
	m, err := s.adm.Metadata(s.within(patience), name)
	s.must(err)
	id := m.Topics[name].ID
	use := map[int32]int64{}
	for _, n := range s.cluster.Nodes {
		use[n.ID] = 0
		logs, err := filepath.Glob(filepath.Join(n.DataDir, "logs", fmt.Sprintf("%x-*", id[:]), "*"))
		s.must(err)
		for _, file := range logs {
			if info, err := os.Stat(file); err == nil { // files come and go
				use[n.ID] += info.Size()
			}
		}
	}
	return use
}
