package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type benchProduceCmd struct {
	benchOptions
	benchTopic
	benchLoad
}

// Run writes the load and reports it.
func (c *benchProduceCmd) Run(ctx context.Context, std *streams) error {
	if err := firstOf(c.benchOptions.check(), c.benchLoad.check(1)); err != nil {
		return err
	}
	cleanup, err := c.prepare(ctx, &c.benchTopic)
	if err != nil {
		return err
	}
	defer cleanup()
	clients, err := c.producers(ctx, &c.benchLoad)
	if err != nil {
		return err
	}
	defer closeAll(clients)
	before, err := c.startUsage()
	if err != nil {
		return err
	}
	m := newMeter()
	stop := m.showProgress(ctx, std.err, c.Quiet, c.Records)
	err = c.generate(ctx, clients, &c.benchLoad, func(client *kgo.Client, record *kgo.Record, intended time.Time) {
		client.Produce(context.WithoutCancel(ctx), record, func(record *kgo.Record, err error) { m.done(len(record.Value), intended, err) })
	})
	stop()
	if err != nil {
		return err
	}
	result, err := c.result("produce", m, before, c.settings())
	if err != nil {
		return err
	}
	result.TargetRate = c.Rate
	return c.report(std, result, m)
}

func (l *benchLoad) settings() map[string]any {
	return map[string]any{
		"size": l.Size, "rate": l.Rate, "in_flight": l.InFlight, "producers": l.Producers, "acks": l.Acks,
		"compression": l.Compression, "linger_ms": float64(l.Linger.Microseconds()) / 1000, "batch_bytes": l.BatchBytes,
	}
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// generate calls send for every record of the load, spread over the clients, and returns when all are acknowledged.
func (o *benchOptions) generate(ctx context.Context, clients []*kgo.Client, load *benchLoad, send func(*kgo.Client, *kgo.Record, time.Time)) error {
	var wait sync.WaitGroup
	begin := time.Now()
	share := int64(len(clients))
	for i, client := range clients {
		count := o.Records / share
		if int64(i) < o.Records%share {
			count++
		}
		wait.Go(func() {
			pace := newPace(begin, load.Rate/float64(share))
			values := newPayloads(load.Size, uint64(i))
			for n := int64(0); n < count && ctx.Err() == nil; n++ {
				intended := pace.wait(ctx, n)
				if o.Duration > 0 && intended.Sub(begin) >= o.Duration {
					return
				}
				send(client, &kgo.Record{Value: values.next()}, intended)
			}
		})
	}
	wait.Wait()
	for _, client := range clients {
		if err := client.Flush(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// pace is the schedule of an open loop: record n is due at begin + n/rate, whatever happened to the records before it.
type pace struct {
	begin    time.Time
	interval time.Duration // 0: closed loop
}

func newPace(begin time.Time, rate float64) pace {
	if rate <= 0 {
		return pace{begin: begin}
	}
	return pace{begin: begin, interval: time.Duration(float64(time.Second) / rate)}
}

// wait returns the time at which record n was to be sent, not before that time. A closed loop has no schedule: there it
// is now, and the latency of a record that waits for room in the client's buffer begins with the wait.
func (p pace) wait(ctx context.Context, n int64) time.Time {
	if p.interval == 0 {
		return time.Now()
	}
	due := p.begin.Add(time.Duration(n) * p.interval)
	// Timers fire late by up to a millisecond; at high rates records go out in small bursts and keep their due times.
	if ahead := time.Until(due); ahead > 0 {
		timer := time.NewTimer(ahead)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return due
}

// payloads are random, so that compression (of the disk, of the network) does not flatter the result. They are cut
// from a block made beforehand, since making random bytes costs more than sending them.
type payloads struct {
	block  []byte
	size   int
	offset int
}

func newPayloads(size int, seed uint64) *payloads {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 'b', 'a', 'l', 's', 'a'})
	block := make([]byte, max(4<<20, 2*size))
	_, _ = source.Read(block) // never fails
	return &payloads{block: block, size: size}
}

// next returns a value that the caller must not change.
func (p *payloads) next() []byte {
	if p.offset+p.size > len(p.block) {
		p.offset = (p.offset + 61) % 1024 % p.size // another phase, so that the values differ from the last round's
	}
	value := p.block[p.offset : p.offset+p.size : p.offset+p.size]
	p.offset += p.size
	return value
}
