package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/cmd/balsa/sharegroup"
	"balsa/protocol"
)

type queuePeekCmd struct {
	connection
	Name   string `arg:"" help:"Queue to look into."`
	Group  string `short:"g" placeholder:"NAME" help:"Group whose messages to show (default: the one with the queue's name)."`
	Max    int    `short:"n" default:"10" placeholder:"N" help:"Show the oldest N messages (default ${default})."`
	Output string `short:"o" enum:"table,json" default:"table" help:"table, or json: one object per line."`
}

// Help is shown below the flags.
func (c *queuePeekCmd) Help() string {
	return `Shows messages that are not done, from the oldest on, whatever their state: they may be in flight, or delayed.`
}

// Run prints the messages with an ordinary fetch, which locks nothing.
func (c *queuePeekCmd) Run(ctx context.Context, std *streams) error {
	if c.Max < 1 || c.Max > maxReceive {
		return usagef("", "--max must be 1 to %d", maxReceive)
	}
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	records, err := c.peek(ctx, q, c.Name, cmp.Or(c.Group, c.Name), c.Max)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		for _, record := range records {
			if err := printLine(std.out, newJSONRecord(record)); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
		}
		return nil
	}
	if len(records) == 0 {
		fmt.Fprintln(std.err, "no messages")
		return nil
	}
	g := newGrid("partition", "offset", "sent", "key", "value")
	for _, record := range records {
		g.add(int64(record.Partition), record.Offset, clock(record.Timestamp), short(record.Key), short(record.Value))
	}
	g.print(std.out)
	return nil
}

// clock writes a time in a table.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// maxCell is how much of a key or a value tables show that only tell what there is.
const maxCell = 60

// short is the beginning of a key or a value.
func short(b []byte) string {
	text := []rune(cell(b))
	if len(text) > maxCell {
		return string(text[:maxCell-1]) + "…"
	}
	return string(text)
}

// peek returns up to limit records that a group has not decided about. Of brokers that do not tell what is decided in the middle: all from
// the group's start on.
func (c *connection) peek(ctx context.Context, q *queueClient, topic, group string, limit int) ([]*kgo.Record, error) {
	limited, cancel := q.limited(ctx)
	defer cancel()
	partitions, err := q.undecided(limited, topic, group)
	if err != nil {
		return nil, err
	}
	progress := newProgress()
	progress.setEnds(kadm.ListedOffsets{})
	progress.ends[topic] = map[int32]int64{}
	start := map[int32]int64{}
	for partition, p := range partitions {
		if p.from < p.end {
			start[partition] = p.from
			progress.ends[topic][partition] = p.after(limit)
			progress.assign(topic, partition, p.from)
		}
	}
	if len(start) == 0 {
		return nil, nil
	}
	offsets := kgoOffsets(map[string]map[int32]int64{topic: start})
	client, err := c.dial(ctx, kgo.ConsumePartitions(offsets), kgo.KeepControlRecords())
	if err != nil {
		return nil, err
	}
	defer client.Close()
	var records []*kgo.Record
	loop := consumeLoop{client: client, out: bufio.NewWriter(io.Discard), progress: progress, left: -1}
	loop.print = func(_ *bufio.Writer, record *kgo.Record) error {
		if !partitions[record.Partition].isDecided(record.Offset) {
			records = append(records, record)
		}
		return nil
	}
	if err := loop.run(ctx); err != nil {
		return nil, err
	}
	slices.SortStableFunc(records, func(a, b *kgo.Record) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return records[:min(limit, len(records))], nil
}

// undecided is the part of a partition that a group has not decided about, but for some records in the middle.
type undecided struct {
	from, end int64
	decided   []protocol.OffsetRange // rising
}

// isDecided says whether the group has decided about a record.
func (u *undecided) isDecided(offset int64) bool {
	_, found := slices.BinarySearchFunc(u.decided, offset, func(r protocol.OffsetRange, offset int64) int {
		switch {
		case r.Last < offset:
			return -1
		case r.First > offset:
			return 1
		}
		return 0
	})
	return found
}

// after is the offset before which there are as many records to be decided about as limit says, or all that there are.
func (u *undecided) after(limit int) int64 {
	at := u.from + int64(limit)
	for _, r := range u.decided {
		if r.Last < u.from {
			continue
		}
		if r.First >= at {
			break
		}
		at += r.Last + 1 - max(r.First, u.from)
	}
	return min(at, u.end)
}

// undecided returns what a group has not decided about, by partition.
func (q *queueClient) undecided(ctx context.Context, topic, group string) (map[int32]*undecided, error) {
	if _, err := q.topic(ctx, topic); err != nil {
		return nil, err
	}
	if group != topic { // without its own group, nothing of a queue is done
		if err := q.reads(ctx, group, topic); err != nil {
			return nil, err
		}
	}
	states, err := sharegroup.DescribeDecided(ctx, q.kafka, group)
	if err != nil {
		return nil, err
	}
	starts, err := q.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	listed, err := q.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	all := map[int32]*undecided{}
	for partition, end := range listed[topic] {
		start := offsetOf(starts, topic, partition)
		if end.Err != nil || start < 0 {
			return nil, failf("see `balsa topic describe "+topic+"`", "partition %s/%d has no leader that answers", topic, partition)
		}
		state := states[topic][partition] // zero, if the group has none there
		all[partition] = &undecided{from: max(start, state.Start), end: end.Offset, decided: state.Decided}
	}
	return all, nil
}
