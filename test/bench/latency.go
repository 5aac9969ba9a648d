package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/bench/measure"
)

// latency holds one sample per record, counted from the moment when it should have been sent: a stall counts for
// all records that were due meanwhile.
type latency struct {
	acks, endToEnd []time.Duration
	server         time.Duration // processor time while it was measured
}

const latencyValue = 1024

// measureLatency sends at a fixed low rate to one partition while a consumer waits for the records.
func measureLatency(ctx context.Context, s *settings, p *peer) (latency, error) {
	const topic = "bench-latency"
	if err := p.topic(ctx, topic, 1); err != nil {
		return latency{}, err
	}
	total := int(s.latency.Seconds() * float64(s.rate))
	l := latency{acks: make([]time.Duration, total), endToEnd: make([]time.Duration, total)}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {0: kgo.NewOffset().At(1)}, // behind the record that made the topic ready
	}))
	if err != nil {
		return l, err
	}
	defer consumer.Close()
	producer, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		return l, err
	}
	defer producer.Close()
	m, err := measure.Start(p.pids)
	if err != nil {
		return l, err
	}
	start := time.Now().Add(500 * time.Millisecond) // both clients connect before
	due := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / time.Duration(s.rate)) }
	var reading sync.WaitGroup
	var readErr error
	reading.Go(func() { readErr = l.consume(ctx, consumer, due) })
	if err := l.produce(ctx, producer, due); err != nil {
		return l, err
	}
	reading.Wait()
	_, c, err := m.Stop()
	if err == nil {
		err = readErr
	}
	l.server = c.Server
	slices.Sort(l.acks)
	slices.Sort(l.endToEnd)
	return l, err
}

func (l *latency) produce(ctx context.Context, cl *kgo.Client, due func(int) time.Time) error {
	data := measure.Payload()
	var mu sync.Mutex
	var failed error
	for i := range l.acks {
		time.Sleep(time.Until(due(i)))
		value := slices.Clone(data[i : i+latencyValue])
		binary.BigEndian.PutUint64(value, uint64(i))
		cl.Produce(ctx, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) {
			took := time.Since(due(i))
			mu.Lock()
			defer mu.Unlock()
			l.acks[i] = took
			if err != nil {
				failed = err
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	mu.Lock()
	defer mu.Unlock()
	return failed
}

func (l *latency) consume(ctx context.Context, cl *kgo.Client, due func(int) time.Time) error {
	for left := len(l.endToEnd); left > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("consume: %w", err)
		}
		now := time.Now()
		fetches.EachRecord(func(r *kgo.Record) {
			i := int(binary.BigEndian.Uint64(r.Value))
			l.endToEnd[i] = now.Sub(due(i))
			left--
		})
	}
	return nil
}
