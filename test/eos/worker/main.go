// Command worker is one consume-transform-produce process of the exactly-once proof: it reads the input topic as a
// member of a group, and for each poll writes the transformed records and its progress in one transaction. It runs
// until SIGTERM, and ends with status 1 on an error that an application cannot mend, such as being fenced; whoever
// started it starts another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/eos"
)

type config struct {
	brokers  string
	group    string
	id       string // transactional
	instance string // group.instance.id, empty for a dynamic member
	in, out  string // topics
	consumer bool   // KIP-848 rather than the classic protocol
	batch    int    // records of a transaction
	aborts   float64
	timeout  time.Duration // of transactions
	session  time.Duration // of the group
}

func main() {
	var c config
	flag.StringVar(&c.brokers, "brokers", "", "host:port,...")
	flag.StringVar(&c.group, "group", "", "consumer group")
	flag.StringVar(&c.id, "transactional-id", "", "of the producer")
	flag.StringVar(&c.instance, "instance-id", "", "of a static member of the group")
	flag.StringVar(&c.in, "in", "", "topic to read")
	flag.StringVar(&c.out, "out", "", "topic to write")
	flag.BoolVar(&c.consumer, "consumer-protocol", false, "join by the consumer protocol (KIP-848)")
	flag.IntVar(&c.batch, "batch", 200, "records of one transaction at most")
	flag.Float64Var(&c.aborts, "aborts", 0.05, "share of transactions that are aborted on purpose")
	flag.DurationVar(&c.timeout, "transaction-timeout", 10*time.Second, "after which the coordinator aborts")
	flag.DurationVar(&c.session, "session-timeout", 6*time.Second, "after which the group gives a silent member's partitions away")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintf(os.Stderr, "%s worker %s: %v\n", time.Now().Format(time.TimeOnly), c.id, err)
		os.Exit(1)
	}
}

// run processes until ctx ends.
func run(ctx context.Context, c config) error {
	opts := []kgo.Opt{
		kgo.SeedBrokers(strings.Split(c.brokers, ",")...),
		kgo.TransactionalID(c.id),
		kgo.TransactionTimeout(c.timeout),
		kgo.ConsumerGroup(c.group),
		kgo.ConsumeTopics(c.in),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.SessionTimeout(c.session),
		kgo.HeartbeatInterval(c.session / 6),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(100 * time.Millisecond),
		kgo.DialTimeout(time.Second),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, func() string { return time.Now().Format(time.TimeOnly) + " " })),
	}
	if c.instance != "" {
		opts = append(opts, kgo.InstanceID(c.instance))
	}
	if c.consumer {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	defer session.Close()
	for ctx.Err() == nil {
		fetches := session.PollRecords(ctx, c.batch)
		if err := pollError(fetches); err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		if err := c.transact(session, fetches); err != nil {
			return err
		}
	}
	return nil
}

// pollError picks the first error of a poll that the client does not mend by itself. The end of ctx is none.
func pollError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.Canceled) && !errors.Is(e.Err, kgo.ErrClientClosed) {
			return fmt.Errorf("%s/%d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	return nil
}

// transact processes what was polled in one transaction. It is not interrupted: a stop between transactions loses
// nothing, and neither does a kill at any moment.
func (c config) transact(session *kgo.GroupTransactSession, fetches kgo.Fetches) error {
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	ctx := context.Background()
	promise := kgo.AbortingFirstErrPromise(session.Client())
	fetches.EachRecord(func(r *kgo.Record) {
		session.Produce(ctx, &kgo.Record{Topic: c.out, Partition: r.Partition, Key: r.Key, Value: eos.Transform(r.Value)}, promise.Promise())
	})
	commit := kgo.TransactionEndTry(promise.Err() == nil && rand.Float64() >= c.aborts)
	if _, err := session.End(ctx, commit); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}
