package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type benchConsumeCmd struct {
	benchOptions
	FetchBytes int32 `default:"52428800" help:"Bytes of one fetch at most."`
}

// Run reads the topic from its start to the end it has now, or to --records.
func (c *benchConsumeCmd) Run(ctx context.Context, std *streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Topic == "" {
		return usagef("fill one with `balsa bench produce --topic NAME`", "--topic is missing")
	}
	read := consumeCmd{connection: c.connection, Topics: []string{c.Topic}}
	progress := newProgress()
	client, err := read.connect(ctx, position{kind: fromStart}, false, progress, kgo.FetchMaxBytes(c.FetchBytes), kgo.FetchMaxPartitionBytes(c.FetchBytes))
	if err != nil {
		return err
	}
	defer client.Close()
	before, err := c.startUsage()
	if err != nil {
		return err
	}
	m := newMeter()
	stop := m.showProgress(ctx, std.err, c.Quiet, c.Records)
	err = c.drain(ctx, client, progress, m)
	stop()
	if err != nil {
		return err
	}
	result, err := c.result("consume", m, before, map[string]any{"fetch_bytes": c.FetchBytes})
	if err != nil {
		return err
	}
	return c.report(std, result, m)
}

// drain reads until the end.
func (c *benchConsumeCmd) drain(ctx context.Context, client *kgo.Client, progress *progress, m *meter) error {
	for !progress.done() && m.records.Load() < c.Records && (c.Duration == 0 || time.Since(m.begin) < c.Duration) {
		pollCtx, cancel := context.WithTimeout(ctx, pollPause)
		fetches := client.PollFetches(pollCtx)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, err := range fetches.Errors() {
			if pollCtx.Err() == nil {
				return fmt.Errorf("read %s/%d: %w", err.Topic, err.Partition, err.Err)
			}
		}
		fetches.EachRecord(func(record *kgo.Record) {
			if progress.advance(record) && !record.Attrs.IsControl() {
				m.done(len(record.Value), time.Time{}, nil)
			}
		})
	}
	return nil
}
