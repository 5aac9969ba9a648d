package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/harness"
)

// peer is a running server under measurement.
type peer struct {
	name     string
	brokers  []string
	pids     []int
	replicas int16
	config   map[string]*string // of its topics
	adm      *kadm.Client
	stop     func() error
}

// programs are the built servers.
type programs struct {
	dir, balsa, control string
	started             int
}

// The suffix -os means flush.messages at Kafka's default: the operating system decides when data reaches the disk.
func peerNames() []string {
	return []string{"balsa-3", "balsa-3-os", "balsa-1", "balsa-1-os", "control", "control-file", "control-fsync"}
}

func buildPrograms(dir string) (*programs, error) {
	balsa, err := harness.Build(dir)
	if err != nil {
		return nil, err
	}
	control, err := harness.BuildPackage(dir, "control", "./test/bench/control")
	if err != nil {
		return nil, err
	}
	return &programs{dir: dir, balsa: balsa, control: control}, nil
}

const startTimeout = time.Minute

// start runs a fresh instance of a peer.
func (p *programs) start(ctx context.Context, name string) (*peer, error) {
	p.started++
	dir := filepath.Join(p.dir, fmt.Sprintf("%s-%d", name, p.started))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o := harness.Options{Binary: p.balsa, Dir: dir, Nodes: 1, Flags: []string{"--log-level", "warn"}}
	config := map[string]*string{}
	osFlush := "9223372036854775807"
	switch name {
	case "balsa-3":
		o.Nodes = 3
	case "balsa-3-os":
		o.Nodes = 3
		config["flush.messages"] = &osFlush
	case "balsa-1-os":
		config["flush.messages"] = &osFlush
	case "control":
		o.Command = func(n *harness.Node) []string { return []string{p.control, "-listen", n.Address} }
	case "control-file":
		o.Command = func(n *harness.Node) []string {
			return []string{p.control, "-listen", n.Address, "-data-dir", n.DataDir}
		}
	case "control-fsync":
		o.Command = func(n *harness.Node) []string {
			return []string{p.control, "-listen", n.Address, "-data-dir", n.DataDir, "-sync"}
		}
	}
	cluster, err := harness.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := cluster.Start(ctx); err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.Addresses()...))
	if err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return &peer{
		name: name, brokers: cluster.Addresses(), pids: cluster.PIDs(), replicas: int16(o.Nodes), config: config, adm: kadm.NewClient(cl),
		stop: func() error {
			cl.Close()
			return errors.Join(cluster.Close(), os.RemoveAll(dir))
		},
	}, nil
}

// topic creates a topic and waits until it takes writes on every partition.
func (p *peer) topic(ctx context.Context, name string, partitions int32) error {
	if _, err := p.adm.CreateTopic(ctx, partitions, p.replicas, p.config, name); err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer cl.Close()
	for i := range partitions {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: name, Partition: i, Value: []byte("ready")}).FirstErr(); err != nil {
			return fmt.Errorf("write to partition %d of %s: %w", i, name, err)
		}
	}
	return nil
}
