// Command sarama runs the client scenario of test/clients (see README.md there) with IBM/sarama.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

const (
	partitions  = 4
	perCodec    = 120
	stepTimeout = 60 * time.Second
)

// scenario carries what the steps hand to one another.
type scenario struct {
	brokers []string
	topic   string
	group   string
	rf      int16
	base    int64                 // ms: the first record's timestamp; recent, or retention would delete what is written
	written [partitions][]written // acknowledged, in offset order
}

func main() {
	bootstrap := flag.String("bootstrap", "127.0.0.1:9092", "brokers as host:port, separated by commas")
	rf := flag.Int("replication-factor", 1, "replicas of the topic")
	flag.Parse()
	stamp := time.Now().UnixNano()
	s := &scenario{
		brokers: strings.Split(*bootstrap, ","),
		topic:   fmt.Sprintf("clients-sarama-%d", stamp),
		group:   fmt.Sprintf("clients-sarama-group-%d", stamp),
		rf:      int16(*rf),
		base:    time.Now().Add(-time.Hour).UnixMilli(),
	}
	if !s.run() {
		os.Exit(1)
	}
}

func (s *scenario) run() bool {
	steps := []struct {
		name string
		f    func(context.Context) error
	}{
		{"create-topic", s.create},
		{"produce-none", s.produce("none", sarama.CompressionNone)},
		{"produce-gzip", s.produce("gzip", sarama.CompressionGZIP)},
		{"produce-snappy", s.produce("snappy", sarama.CompressionSnappy)},
		{"produce-lz4", s.produce("lz4", sarama.CompressionLZ4)},
		{"produce-zstd", s.produce("zstd", sarama.CompressionZSTD)},
		{"group-rebalance", s.groupRebalance},
		{"commit-resume", s.commitResume},
		{"replay", s.replay},
	}
	ok := true
	for _, step := range steps {
		ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
		if err := step.f(ctx); err != nil {
			fmt.Printf("FAIL sarama %s: %v\n", step.name, err)
			ok = false
		} else {
			fmt.Printf("PASS sarama %s\n", step.name)
		}
		cancel()
	}
	return ok
}

// config is what all clients of the scenario share.
func (s *scenario) config() *sarama.Config {
	c := sarama.NewConfig()
	c.ClientID = "balsa-clients-sarama"
	c.Version = sarama.MaxVersion
	return c
}

func (s *scenario) create(context.Context) error {
	adm, err := sarama.NewClusterAdmin(s.brokers, s.config())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer adm.Close()
	if err := adm.CreateTopic(s.topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: s.rf}, false); err != nil {
		return fmt.Errorf("create topic %s: %w", s.topic, err)
	}
	found, err := adm.DescribeTopics([]string{s.topic})
	if err != nil {
		return fmt.Errorf("describe topic %s: %w", s.topic, err)
	}
	if got := len(found[0].Partitions); got != partitions {
		return fmt.Errorf("topic has %d partitions, want %d", got, partitions)
	}
	return nil
}
