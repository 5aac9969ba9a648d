package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

type queuePurgeCmd struct {
	connection
	output
	Name    string `arg:"" help:"Queue to empty."`
	Execute bool   `help:"Do it. Without this flag it is only shown what would go."`
}

// Help is shown below the flags.
func (c *queuePurgeCmd) Help() string {
	return `Deletes what is in the queue now, for all of its groups: also what is in flight or delayed. What is sent meanwhile stays.
No dead letters are made of it; they have a queue of their own.`
}

type purgedPartition struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start_offset"`
	End       int64 `json:"end_offset"`
	Messages  int64 `json:"messages"` // that are stored: some may be done already
}

// Run shows what is there and deletes it if told to.
func (c *queuePurgeCmd) Run(ctx context.Context, std *streams) error {
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	ctx, cancel := q.limited(ctx)
	defer cancel()
	if _, err := q.queue(ctx, c.Name); err != nil {
		return err
	}
	partitions, err := q.stored(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.Execute {
		if err := q.purge(ctx, c.Name, partitions); err != nil {
			return err
		}
	}
	if c.json() {
		return printJSON(std.out, map[string]any{"queue": c.Name, "executed": c.Execute, "partitions": partitions})
	}
	g := newGrid("partition", "start", "end", "messages")
	total := int64(0)
	for _, p := range partitions {
		g.add(int64(p.Partition), p.Start, p.End, p.Messages)
		total += p.Messages
	}
	g.print(std.out)
	if c.Execute {
		fmt.Fprintf(std.err, "queue %s: %s deleted\n", c.Name, plural(total, "message"))
		return nil
	}
	fmt.Fprintln(std.err, "nothing deleted yet; add --execute to do it")
	return nil
}

func (q *queueClient) stored(ctx context.Context, topic string) ([]purgedPartition, error) {
	starts, err := q.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := q.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	var partitions []purgedPartition
	for partition := range ends[topic] {
		start, end := offsetOf(starts, topic, partition), offsetOf(ends, topic, partition)
		if start < 0 || end < 0 {
			return nil, failf("see `balsa topic describe "+topic+"`", "partition %s/%d has no leader that answers", topic, partition)
		}
		partitions = append(partitions, purgedPartition{partition, start, end, end - start})
	}
	slices.SortFunc(partitions, func(a, b purgedPartition) int { return int(a.Partition - b.Partition) })
	return partitions, nil
}

func (q *queueClient) purge(ctx context.Context, topic string, partitions []purgedPartition) error {
	offsets := kadm.Offsets{}
	for _, p := range partitions {
		if p.Messages > 0 {
			offsets.AddOffset(topic, p.Partition, p.End, -1)
		}
	}
	responses, err := q.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	var failed error
	responses.Each(func(response kadm.DeleteRecordsResponse) {
		if response.Err != nil {
			failed = errors.Join(failed, fmt.Errorf("delete the messages of %s/%d: %w", topic, response.Partition, response.Err))
		}
	})
	return failed
}
