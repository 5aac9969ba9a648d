package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/bench/measure"
)

// workload is one throughput measurement.
type workload struct {
	partitions int32
	size       int // bytes of a value
}

func (w workload) String() string { return fmt.Sprintf("%d partitions, %d B", w.partitions, w.size) }

// throughput is what one measurement found.
type throughput struct {
	records     int64
	bytes       int64 // of values
	produce     time.Duration
	produceCost measure.Cost
	replay      time.Duration
	replayCost  measure.Cost
}

// measureThroughput writes for a while with a bounded number of records in flight, then reads everything back.
func measureThroughput(ctx context.Context, s *settings, p *peer, w workload) (throughput, error) {
	topic := fmt.Sprintf("bench-%d-%d", w.partitions, w.size)
	if err := p.topic(ctx, topic, w.partitions); err != nil {
		return throughput{}, err
	}
	t, err := produceFor(ctx, s, p, topic, w)
	if err != nil {
		return t, fmt.Errorf("produce: %w", err)
	}
	if err := replay(ctx, p, topic, w, &t); err != nil {
		return t, fmt.Errorf("replay: %w", err)
	}
	// The control keeps everything in memory: give it back before the next measurement.
	_, err = p.adm.DeleteTopic(ctx, topic)
	return t, err
}

func produceFor(ctx context.Context, s *settings, p *peer, topic string, w workload) (throughput, error) {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(p.brokers...),
		kgo.DefaultProduceTopic(topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.MaxBufferedRecords(s.inFlight),
		kgo.ProducerLinger(0),
	)
	if err != nil {
		return throughput{}, err
	}
	defer cl.Close()
	data := measure.Payload()
	var acked, failed atomic.Int64
	var first atomic.Value
	done := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.Add(1)
			first.CompareAndSwap(nil, err)
			return
		}
		acked.Add(1)
	}
	m, err := measure.Start(p.pids)
	if err != nil {
		return throughput{}, err
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for end := m.Since.Add(s.produce); time.Now().Before(end) && ctx.Err() == nil; {
		for range 64 {
			at := rng.IntN(len(data) - w.size)
			cl.Produce(ctx, &kgo.Record{Value: data[at : at+w.size]}, done)
		}
	}
	if err := cl.Flush(ctx); err != nil {
		return throughput{}, err
	}
	var t throughput
	if t.produce, t.produceCost, err = m.Stop(); err != nil {
		return t, err
	}
	if n := failed.Load(); n > 0 {
		return t, fmt.Errorf("%d records failed, the first: %w", n, first.Load().(error))
	}
	t.records = acked.Load()
	t.bytes = t.records * int64(w.size)
	return t, nil
}

// replay reads the topic from offset 0 to the end.
func replay(ctx context.Context, p *peer, topic string, w workload, t *throughput) error {
	from := map[int32]kgo.Offset{}
	for i := range w.partitions {
		from[i] = kgo.NewOffset().At(0)
	}
	m, err := measure.Start(p.pids)
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}))
	if err != nil {
		return err
	}
	defer cl.Close()
	next := make([]int64, w.partitions)
	for left := t.records + int64(w.partitions); left > 0; { // with the record that made each partition ready
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		var gap error
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != next[r.Partition] {
				gap = fmt.Errorf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
			}
			next[r.Partition] = r.Offset + 1
			left--
		})
		if gap != nil {
			return gap
		}
	}
	t.replay, t.replayCost, err = m.Stop()
	return err
}
