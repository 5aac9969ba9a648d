package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type benchE2ECmd struct {
	benchOptions
	benchTopic
	benchLoad
}

// stampSize is the head of each value: when the record was meant to be sent.
const stampSize = 8

// Run writes and reads in one process, whose monotonic clock measures both ends.
func (c *benchE2ECmd) Run(ctx context.Context, std *streams) error {
	if err := firstOf(c.benchOptions.check(), c.benchLoad.check(stampSize)); err != nil {
		return err
	}
	cleanup, err := c.prepare(ctx, &c.benchTopic)
	if err != nil {
		return err
	}
	defer cleanup()
	read := consumeCmd{connection: c.connection, Topics: []string{c.Topic}}
	consumer, err := read.connect(ctx, position{kind: fromEnd}, true, newProgress())
	if err != nil {
		return err
	}
	defer consumer.Close()
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
	err = c.exchange(ctx, clients, consumer, m)
	stop()
	if err != nil {
		return err
	}
	result, err := c.result("end-to-end", m, before, c.settings())
	if err != nil {
		return err
	}
	result.TargetRate = c.Rate
	return c.report(std, result, m)
}

// exchange runs until every acknowledged record has come back.
func (c *benchE2ECmd) exchange(ctx context.Context, clients []*kgo.Client, consumer *kgo.Client, m *meter) error {
	readCtx, stopReading := context.WithCancel(ctx)
	defer stopReading()
	acknowledged := &counter{}
	readErr := make(chan error, 1)
	go func() { readErr <- c.receive(readCtx, consumer, m, acknowledged) }()
	err := c.generate(ctx, clients, &c.benchLoad, func(client *kgo.Client, record *kgo.Record, intended time.Time) {
		// The values of payloads are shared, the stamp is not.
		record.Value = append(make([]byte, 0, c.Size), record.Value...)
		binary.LittleEndian.PutUint64(record.Value, uint64(intended.Sub(m.begin)))
		client.Produce(context.WithoutCancel(ctx), record, func(record *kgo.Record, err error) {
			if err != nil {
				m.done(0, time.Time{}, err)
				return
			}
			acknowledged.add(1)
		})
	})
	acknowledged.close()
	// A record that was acknowledged and never comes back must end the bench, not hang it.
	timer := time.AfterFunc(c.Timeout, stopReading)
	defer timer.Stop()
	if readError := <-readErr; err == nil {
		err = readError
	}
	return err
}

func (c *benchE2ECmd) receive(ctx context.Context, consumer *kgo.Client, m *meter, acknowledged *counter) error {
	for {
		if total, closed := acknowledged.get(); closed && m.records.Load() >= total {
			return nil
		}
		pollCtx, cancel := context.WithTimeout(ctx, pollPause)
		fetches := consumer.PollFetches(pollCtx)
		cancel()
		if ctx.Err() != nil {
			total, _ := acknowledged.get()
			return failf("", "only %d of %d acknowledged records came back", m.records.Load(), total)
		}
		for _, err := range fetches.Errors() {
			if pollCtx.Err() == nil {
				return fmt.Errorf("read %s/%d: %w", err.Topic, err.Partition, err.Err)
			}
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if len(record.Value) < stampSize {
				return
			}
			sent := time.Duration(binary.LittleEndian.Uint64(record.Value))
			m.done(len(record.Value), m.begin.Add(sent), nil)
		})
	}
}

// counter is a number that is final once closed.
type counter struct {
	mu     sync.Mutex // guards both below
	n      int64
	closed bool
}

func (c *counter) add(n int64) {
	c.mu.Lock()
	c.n += n
	c.mu.Unlock()
}

func (c *counter) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

func (c *counter) get() (n int64, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n, c.closed
}
