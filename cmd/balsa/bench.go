package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type benchCmd struct {
	Produce  benchProduceCmd `cmd:"" help:"Write records; latency is from the intended send to the acknowledgement."`
	Consume  benchConsumeCmd `cmd:"" help:"Read what the topic holds, as fast as possible."`
	EndToEnd benchE2ECmd     `cmd:"" name:"end-to-end" aliases:"e2e" help:"Write and read at once; latency is from the intended send to the receipt."`
}

// benchOptions are common to the three loads.
type benchOptions struct {
	connection
	Topic    string        `short:"t" help:"Topic (default: a new one, deleted at the end; consume needs one)."`
	Records  int64         `short:"n" default:"1000000" help:"Records to move; with --duration, whichever ends first."`
	Duration time.Duration `short:"d" help:"Time to run."`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
	Quiet    bool          `short:"q" help:"No progress line."`
	Servers  []int         `name:"server-pids" placeholder:"PID" help:"Brokers on this machine, whose CPU, memory and disk writes are reported too."`
}

// benchTopic are the properties of a topic that the bench creates.
type benchTopic struct {
	Partitions int32    `short:"p" default:"1" help:"Partitions, if the topic is created."`
	Replicas   int16    `short:"r" default:"-1" help:"Replicas, if the topic is created (default: the broker's choice)."`
	Config     []string `short:"c" sep:"none" placeholder:"NAME=VALUE" help:"Topic config, if the topic is created."`
	Keep       bool     `help:"Keep the topic that was created."`
}

// benchLoad is how records are written.
type benchLoad struct {
	Size        int           `short:"s" default:"1024" placeholder:"BYTES" help:"Size of a record's value (default ${default})."`
	Rate        float64       `placeholder:"N" help:"Records per second on a fixed schedule (open loop). Without it: as fast as the brokers acknowledge."`
	InFlight    int           `default:"4096" help:"Unacknowledged records at most, without --rate."`
	Producers   int           `default:"1" help:"Producer clients."`
	Acks        string        `enum:"all,1,0" default:"all" help:"all, 1 or 0."`
	Compression string        `short:"z" enum:"none,gzip,snappy,lz4,zstd" default:"none" help:"none, gzip, snappy, lz4 or zstd."`
	Linger      time.Duration `default:"0s" help:"How long a batch waits to fill."`
	BatchBytes  int32         `default:"1000012" help:"Size of a batch at most."`
}

func (o *benchOptions) check() error {
	if o.Records <= 0 {
		return usagef("", "--records must be positive")
	}
	if o.Duration < 0 {
		return usagef("", "--duration must not be negative")
	}
	return nil
}

func (l *benchLoad) check(minimum int) error {
	switch {
	case l.Size < minimum:
		return usagef("", "--size must be at least %d", minimum)
	case l.Rate < 0:
		return usagef("", "--rate must not be negative")
	case l.InFlight < 1 || l.Producers < 1:
		return usagef("", "--in-flight and --producers must be at least 1")
	}
	return nil
}

// prepare makes sure that the topic exists and returns what removes it afterwards.
func (o *benchOptions) prepare(ctx context.Context, topic *benchTopic) (cleanup func(), err error) {
	configs, err := parseConfigs(topic.Config)
	if err != nil {
		return nil, err
	}
	ours := o.Topic == ""
	if ours {
		o.Topic = fmt.Sprintf("bench-%d", time.Now().UnixMilli())
	}
	admin, limited, done, err := o.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	response, err := admin.CreateTopic(limited, topic.Partitions, topic.Replicas, configs, o.Topic)
	if err != nil && (ours || !strings.Contains(err.Error(), kerr.TopicAlreadyExists.Message)) {
		return nil, fmt.Errorf("create topic %s: %w", o.Topic, withMessage(err, response.ErrMessage))
	}
	if err := awaitLeaders(limited, admin, o.Topic); err != nil {
		return nil, err
	}
	if !ours || topic.Keep {
		return func() {}, nil
	}
	return func() {
		if admin, limited, done, err := o.admin(context.WithoutCancel(ctx)); err == nil {
			defer done()
			_, _ = admin.DeleteTopics(limited, o.Topic)
		}
	}, nil
}

// awaitLeaders waits until the topic can be written, so that elections are not part of the measurement.
func awaitLeaders(ctx context.Context, admin *kadm.Client, topic string) error {
	for {
		details, err := admin.ListTopics(ctx, topic)
		if err != nil {
			return fmt.Errorf("wait for the leaders of %s: %w", topic, err)
		}
		ready := len(details[topic].Partitions) > 0
		for _, partition := range details[topic].Partitions {
			ready = ready && partition.Leader >= 0 && partition.Err == nil
		}
		if ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %s has partitions without a leader: %w", topic, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// producers returns the clients that write.
func (o *benchOptions) producers(ctx context.Context, load *benchLoad) ([]*kgo.Client, error) {
	options := produceCmd{
		Topic: o.Topic, Compression: load.Compression, Acks: load.Acks, Idempotent: true, Partition: -1, Linger: load.Linger,
		MaxRecord: load.Size + 1024, DeliveryLimit: time.Minute,
	}
	common, err := options.options()
	if err != nil {
		return nil, err
	}
	limit := load.InFlight
	if load.Rate > 0 {
		// The schedule must never wait for the client: what it cannot send in time shows as latency.
		limit = 1 << 30
	}
	common = append(common, kgo.MaxBufferedRecords(limit), kgo.ProducerBatchMaxBytes(max(load.BatchBytes, int32(load.Size)+1024)))
	var clients []*kgo.Client
	for range load.Producers {
		client, err := o.dial(ctx, common...)
		if err != nil {
			closeAll(clients)
			return nil, err
		}
		clients = append(clients, client)
	}
	return clients, nil
}

func closeAll(clients []*kgo.Client) {
	for _, client := range clients {
		client.Close()
	}
}
