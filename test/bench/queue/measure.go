package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"balsa/test/bench/measure"
	"balsa/test/harness"
)

// workload is one throughput measurement.
type workload struct {
	Shards int `json:"shards"`
	Size   int `json:"size"` // bytes of a message
}

// throughput is what one measurement found.
type throughput struct {
	System    string   `json:"system"`
	Pass      int      `json:"pass"`
	Workload  workload `json:"workload"`
	Messages  int64    `json:"messages"`
	Produce   float64  `json:"produce_seconds"` // until the last one was confirmed
	Total     float64  `json:"total_seconds"`   // until the last one was acknowledged
	Again     int64    `json:"redelivered"`
	ServerCPU float64  `json:"server_cpu_seconds"`
	ClientCPU float64  `json:"client_cpu_seconds"`
	Written   int64    `json:"disk_bytes"`   // sent to the disk by all nodes
	Memory    int64    `json:"memory_bytes"` // resident, of all nodes, at the end
}

// tally counts messages by their number, in bodies' first eight bytes, each once. It is safe for concurrent use.
type tally struct {
	next   atomic.Uint64 // number of the next message to send
	seen   []atomic.Uint64
	first  atomic.Int64 // messages seen
	again  atomic.Int64
	failed atomic.Pointer[error] // the first message that was not confirmed
}

// maxMessages bounds a measurement.
const maxMessages = 1 << 26

func newTally() *tally { return &tally{seen: make([]atomic.Uint64, maxMessages/64)} }

func (t *tally) handle(body []byte) {
	n := binary.BigEndian.Uint64(body)
	bit := uint64(1) << (n % 64)
	if t.seen[n/64].Or(bit)&bit != 0 {
		t.again.Add(1)
		return
	}
	t.first.Add(1)
}

func (t *tally) confirmed(err error) {
	if err != nil {
		t.failed.CompareAndSwap(nil, &err)
	}
}

// measureThroughput produces for a while, as fast as the messages in flight let it, while consumers take, handle and acknowledge, and waits
// until the queue is empty.
func measureThroughput(ctx context.Context, s *settings, sys system, queue string, w workload) (throughput, error) {
	r := throughput{Workload: w}
	if err := sys.create(ctx, queue, w.Shards); err != nil {
		return r, err
	}
	t := newTally()
	var consumers []consumer
	for n := range s.consumers {
		c, err := sys.consumer(ctx, queue, n, w.Shards, max(s.inFlight/s.consumers, 1), t.handle)
		if err != nil {
			return r, fmt.Errorf("consumer: %w", err)
		}
		consumers = append(consumers, c)
	}
	var producers []producer
	for range s.producers {
		p, err := sys.producer(ctx, queue, w.Shards, max(s.inFlight/s.producers, 1))
		if err != nil {
			return r, fmt.Errorf("producer: %w", err)
		}
		producers = append(producers, p)
	}
	if err := measure.Sleep(ctx, s.settle); err != nil { // consumers join their groups
		return r, err
	}
	m, err := measure.Start(sys.pids())
	if err != nil {
		return r, err
	}
	if err := produce(ctx, s, t, producers, w.Size, m.Since.Add(s.duration)); err != nil {
		return r, err
	}
	r.Produce = time.Since(m.Since).Seconds()
	r.Messages = int64(t.next.Load())
	if err := t.await(ctx, r.Messages); err != nil {
		return r, err
	}
	if err := finish(ctx, consumers); err != nil {
		return r, err
	}
	r.Total = time.Since(m.Since).Seconds()
	r.Again = t.again.Load()
	if err := r.charge(sys, m); err != nil {
		return r, err
	}
	for _, c := range consumers {
		if err := c.close(); err != nil {
			return r, fmt.Errorf("close consumer: %w", err)
		}
	}
	return r, nil
}

// finish finishes all consumers at once.
func finish(ctx context.Context, consumers []consumer) error {
	errs := make([]error, len(consumers))
	var finishing sync.WaitGroup
	for i, c := range consumers {
		finishing.Go(func() { errs[i] = c.finish(ctx) })
	}
	finishing.Wait()
	return errors.Join(errs...)
}

// charge notes what the measurement cost.
func (r *throughput) charge(sys system, m *measure.Meter) error {
	_, c, err := m.Stop()
	if err != nil {
		return err
	}
	r.ServerCPU, r.ClientCPU, r.Written = c.Server.Seconds(), c.Client.Seconds(), c.Written
	r.Memory, err = harness.Memory(sys.pids()...)
	return err
}

// produce sends with all producers until the end, waits for the confirmations and closes the producers.
func produce(ctx context.Context, s *settings, t *tally, producers []producer, size int, end time.Time) error {
	errs := make([]error, len(producers))
	var sending sync.WaitGroup
	for i, p := range producers {
		sending.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 4))
			for time.Now().Before(end) && errs[i] == nil {
				for range 16 {
					at := rng.IntN(len(s.payload) - size)
					body := slices.Clone(s.payload[at : at+size])
					binary.BigEndian.PutUint64(body, t.next.Add(1)-1)
					if errs[i] = p.send(ctx, body, t.confirmed); errs[i] != nil {
						return
					}
				}
			}
			errs[i] = errors.Join(p.flush(ctx), p.close())
		})
	}
	sending.Wait()
	err := errors.Join(errs...)
	if failed := t.failed.Load(); failed != nil {
		err = errors.Join(err, fmt.Errorf("a message was not confirmed: %w", *failed))
	}
	if err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}

// await waits until so many messages were handled; it fails when there is no more for too long.
func (t *tally) await(ctx context.Context, messages int64) error {
	const patience = time.Minute
	best, since := int64(-1), time.Now()
	for {
		n := t.first.Load()
		switch {
		case n == messages:
			return nil
		case n > best:
			best, since = n, time.Now()
		case time.Since(since) > patience:
			return fmt.Errorf("%d of %d messages came, and no more for %v", n, messages, patience)
		}
		if err := measure.Sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}
