package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/harness"
)

// balsa is three nodes of balsa with its defaults: a record is acknowledged after it was fsynced on a majority. A queue is one topic, with
// as many partitions as it is to have shards, and a share group whose members accept what they have handled with their next fetch.
type balsa struct {
	*harness.Cluster
}

func startBalsa(ctx context.Context, dir string) (system, error) {
	binary, err := harness.Build(dir)
	if err != nil {
		return nil, err
	}
	cluster, err := harness.New(harness.Options{Binary: binary, Dir: dir, Nodes: 3, Flags: []string{"--log-level", "warn"}})
	if err != nil {
		return nil, err
	}
	if err := cluster.Start(ctx); err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return &balsa{cluster}, nil
}

func (b *balsa) pids() []int { return b.PIDs() }

func (b *balsa) stop() error { return b.Close() }

func (b *balsa) create(ctx context.Context, queue string, shards int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addresses()...))
	if err != nil {
		return err
	}
	defer cl.Close()
	policy := "ack"
	if _, err := kadm.NewClient(cl).CreateTopic(ctx, int32(shards), 3, map[string]*string{"cleanup.policy": &policy}, queue); err != nil {
		return fmt.Errorf("create topic: %w", err)
	}
	return nil
}

type balsaProducer struct{ client *kgo.Client }

func (b *balsa) producer(ctx context.Context, queue string, _, inFlight int) (producer, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(b.Addresses()...), kgo.DefaultProduceTopic(queue), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.MaxBufferedRecords(inFlight), kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1),
	)
	if err != nil {
		return nil, err
	}
	// Opened before the first message, as the other clients do.
	_, _, err = cl.ProducerID(ctx)
	if err := errors.Join(err, cl.EnsureProduceConnectionIsOpen(ctx)); err != nil {
		cl.Close()
		return nil, err
	}
	return &balsaProducer{cl}, nil
}

func (p *balsaProducer) send(ctx context.Context, body []byte, confirmed func(error)) error {
	p.client.Produce(ctx, &kgo.Record{Value: body}, func(_ *kgo.Record, err error) { confirmed(err) })
	return ctx.Err()
}

func (p *balsaProducer) flush(ctx context.Context) error { return p.client.Flush(ctx) }

func (p *balsaProducer) close() error {
	p.client.Close()
	return nil
}

type balsaConsumer struct {
	client *kgo.Client
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu  sync.Mutex
	err error // guarded by mu; the first acknowledgement that failed
}

func (b *balsa) consumer(ctx context.Context, queue string, _, _, inFlight int, handle func([]byte)) (consumer, error) {
	c := &balsaConsumer{}
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(b.Addresses()...), kgo.ShareGroup(queue+"-workers"), kgo.ConsumeTopics(queue),
		// What is handled and what waits in the client count together.
		kgo.ShareMaxRecords(int32(max(inFlight/2, 1))), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.FetchMaxWait(100*time.Millisecond), // the client keeps acknowledgements back while a fetch of its waits
		kgo.ShareAckCallback(func(_ *kgo.Client, results kgo.ShareAckResults) {
			if err := results.Error(); err != nil {
				c.mu.Lock()
				c.err = errors.Join(c.err, err)
				c.mu.Unlock()
			}
		}),
	)
	if err != nil {
		return nil, err
	}
	c.client = cl
	ctx, c.stop = context.WithCancel(ctx)
	c.done.Go(func() {
		for ctx.Err() == nil {
			fetches := cl.PollRecords(ctx, inFlight)
			fetches.EachRecord(func(r *kgo.Record) { handle(r.Value) })
		}
	})
	return c, nil
}

func (c *balsaConsumer) finish(ctx context.Context) error {
	c.stop()
	c.done.Wait()
	c.client.MarkAcks(kgo.AckAccept)
	err := c.client.FlushAcks(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(err, c.err)
}

func (c *balsaConsumer) close() error {
	c.client.Close()
	return nil
}
