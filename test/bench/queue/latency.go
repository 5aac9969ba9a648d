package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"balsa/test/bench/measure"
)

// latency is how long messages took that were sent at a fixed low rate, from the moment when each was due: a stall counts for all
// that were due meanwhile.
type latency struct {
	System    string  `json:"system"`
	Pass      int     `json:"pass"`
	Workers   int     `json:"workers"`
	Messages  int     `json:"messages"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	P999      float64 `json:"p999_ms"`
	Max       float64 `json:"max_ms"`
	ServerCPU float64 `json:"server_cpu_cores"`
}

const latencySize = 1024

// measureLatency has one producer and so many consumers on a queue of one shard.
func measureLatency(ctx context.Context, s *settings, sys system, queue string, workers int) (latency, error) {
	if err := sys.create(ctx, queue, 1); err != nil {
		return latency{}, err
	}
	total := int(s.latency.Seconds() * float64(s.rate))
	took := make([]atomic.Int64, total)
	var start time.Time
	due := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / time.Duration(s.rate)) }
	t := newTally()
	var consumers []consumer
	for n := range workers {
		c, err := sys.consumer(ctx, queue, n, 1, max(s.inFlight/workers, 1), func(body []byte) {
			i := binary.BigEndian.Uint64(body)
			took[i].CompareAndSwap(0, int64(time.Since(due(int(i)))))
			t.handle(body)
		})
		if err != nil {
			return latency{}, fmt.Errorf("consumer: %w", err)
		}
		consumers = append(consumers, c)
	}
	p, err := sys.producer(ctx, queue, 1, s.inFlight)
	if err != nil {
		return latency{}, fmt.Errorf("producer: %w", err)
	}
	if err := measure.Sleep(ctx, s.settle); err != nil {
		return latency{}, err
	}
	m, err := measure.Start(sys.pids())
	if err != nil {
		return latency{}, err
	}
	start = m.Since
	for i := range total {
		time.Sleep(time.Until(due(i)))
		body := slices.Clone(s.payload[i : i+latencySize])
		binary.BigEndian.PutUint64(body, uint64(i))
		if err := p.send(ctx, body, t.confirmed); err != nil {
			return latency{}, fmt.Errorf("produce: %w", err)
		}
	}
	err = errors.Join(p.flush(ctx), t.await(ctx, int64(total)))
	_, cost, err2 := m.Stop()
	err = errors.Join(err, err2, p.close(), finish(ctx, consumers))
	for _, c := range consumers {
		err = errors.Join(err, c.close())
	}
	if err != nil {
		return latency{}, err
	}
	sorted := make([]time.Duration, total)
	for i := range took {
		sorted[i] = time.Duration(took[i].Load())
	}
	slices.Sort(sorted)
	at := func(p float64) float64 { return measure.Percentile(sorted, p).Seconds() * 1e3 }
	return latency{
		Workers: workers, Messages: total, P50: at(50), P99: at(99), P999: at(99.9), Max: at(100),
		ServerCPU: cost.Server.Seconds() / s.latency.Seconds(),
	}, nil
}
