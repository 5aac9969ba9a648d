// Command franz runs the client scenario of test/clients (see README.md there) with franz-go.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	partitions  = 4
	perCodec    = 120
	stepTimeout = 60 * time.Second
)

// scenario carries what the steps hand to one another.
type scenario struct {
	seeds   []string
	topic   string
	group   string
	rf      int16
	base    int64                     // ms: the first record's timestamp; recent, or retention would delete what is written
	written [partitions][]*kgo.Record // acknowledged, in offset order
}

func main() {
	bootstrap := flag.String("bootstrap", "127.0.0.1:9092", "brokers as host:port, separated by commas")
	create := flag.String("create", "", "only create this topic (for clients that cannot) and exit")
	rf := flag.Int("replication-factor", 1, "replicas of the topic")
	flag.Parse()

	stamp := time.Now().UnixNano()
	s := &scenario{
		seeds: strings.Split(*bootstrap, ","),
		topic: fmt.Sprintf("clients-franz-%d", stamp),
		group: fmt.Sprintf("clients-franz-group-%d", stamp),
		rf:    int16(*rf),
		base:  time.Now().Add(-time.Hour).UnixMilli(),
	}
	if *create != "" {
		s.topic = *create
		if err := s.create(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if !s.run() {
		os.Exit(1)
	}
}

// run does the steps in order and prints one line for each; a step after a failed one still runs, so that one fault
// does not hide the next.
func (s *scenario) run() bool {
	steps := []struct {
		name string
		f    func(context.Context) error
	}{
		{"create-topic", s.create},
		{"produce-none", s.produce("none", kgo.NoCompression())},
		{"produce-gzip", s.produce("gzip", kgo.GzipCompression())},
		{"produce-snappy", s.produce("snappy", kgo.SnappyCompression())},
		{"produce-lz4", s.produce("lz4", kgo.Lz4Compression())},
		{"produce-zstd", s.produce("zstd", kgo.ZstdCompression())},
		{"group-rebalance", s.groupRebalance},
		{"commit-resume", s.commitResume},
		{"replay", s.replay},
	}
	ok := true
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		if err := step.f(ctx); err != nil {
			fmt.Printf("FAIL franz-go %s: %v\n", step.name, err)
			ok = false
		} else {
			fmt.Printf("PASS franz-go %s\n", step.name)
		}
		cancel()
	}
	return ok
}

func (s *scenario) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.seeds...), kgo.ClientID("balsa-clients-franz")}, opts...)...)
}

func (s *scenario) create(ctx context.Context) error {
	cl, err := s.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(ctx, partitions, s.rf, nil, s.topic); err != nil {
		return fmt.Errorf("create topic %s: %w", s.topic, err)
	}
	// As in Kafka, a broker may hear of the new topic a moment after its creation was answered by another.
	var topics kadm.TopicDetails
	known := func() bool {
		var err error
		topics, err = adm.ListTopics(ctx, s.topic)
		return err == nil && topics.Error() == nil
	}
	if err := waitFor(ctx, "all brokers to know the topic", known); err != nil {
		return err
	}
	if got := len(topics[s.topic].Partitions); got != partitions {
		return fmt.Errorf("topic has %d partitions, want %d", got, partitions)
	}
	for _, p := range topics[s.topic].Partitions {
		if len(p.Replicas) != int(s.rf) {
			return fmt.Errorf("partition %d has %d replicas, want %d", p.Partition, len(p.Replicas), s.rf)
		}
	}
	return nil
}
