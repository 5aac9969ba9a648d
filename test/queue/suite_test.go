//go:build queue

package queue

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/fixture"
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
type suite struct{ *fixture.Fixture }

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{fixture.New(t, fixture.Options{Name: "queue", Keep: *keep, Seed: *seed})}
	s.Use(*seeds, harness.Options{Nodes: 3})
	return s
}

// createQueue creates a queue topic; another cluster has none, and gets an ordinary one.
func (s *suite) createQueue(partitions int, configs ...string) {
	s.Helper()
	if s.Cluster != nil {
		configs = append(configs, "cleanup.policy=ack")
	}
	s.CreateTopic(topic, partitions, *replicas, configs...)
}

// configureGroup sets configs of the share group, "name=value".
func (s *suite) configureGroup(configs ...string) {
	s.Helper()
	if s.Cluster == nil { // its topics are no queues, so the default is latest
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
	resp, err := req.RequestWith(s.Within(patience), s.Client)
	s.Must(err)
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
	described, err := s.Admin.DescribeShareGroupOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	g := described[group]
	if g.Err != nil {
		return 0, g.Err
	}
	ends, err := s.Admin.ListEndOffsets(ctx, topic)
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
		case s.Cluster == nil: // Kafka's start offsets move later
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
	s.Eventually("decide all messages", patience, func(ctx context.Context) error {
		if n, err := s.open(ctx); err != nil || n > 0 {
			return fmt.Errorf("%d are open (%v)", n, err)
		}
		return nil
	})
}

// diskUse is how many bytes each node has in files of a topic.
func (s *suite) diskUse(name string) map[int32]int64 {
	s.Helper()
	m, err := s.Admin.Metadata(s.Within(patience), name)
	s.Must(err)
	id := m.Topics[name].ID
	use := map[int32]int64{}
	for _, n := range s.Cluster.Nodes {
		use[n.ID] = 0
		logs, err := filepath.Glob(filepath.Join(n.DataDir, "logs", fmt.Sprintf("%x-*", id[:]), "*"))
		s.Must(err)
		for _, file := range logs {
			if info, err := os.Stat(file); err == nil { // files come and go
				use[n.ID] += info.Size()
			}
		}
	}
	return use
}
