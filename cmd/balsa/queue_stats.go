package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/cmd/balsa/sharegroup"
)

type queueStatsCmd struct {
	connection
	output
	Name string `arg:"" optional:"" help:"Queue to show (default: all)."`
}

// Help is shown below the flags.
func (c *queueStatsCmd) Help() string {
	return `Every group of a queue has a line: its messages that wait, are in flight (received and not yet acknowledged), or delayed;
how many dead letters there are where its own go, which several groups may share; and how long ago the oldest message was
sent that is not done. Unknown numbers are dashes, in JSON -1.`
}

type queueStats struct {
	Queue           string           `json:"queue"`
	Group           string           `json:"group"`
	Waiting         int64            `json:"waiting"`
	InFlight        int64            `json:"in_flight"`
	Delayed         int64            `json:"delayed"`
	DeadLetters     int64            `json:"dead_letters"`
	DeadLetterTopic string           `json:"dead_letter_topic,omitempty"`
	OldestSeconds   float64          `json:"oldest_seconds"` // -1: there is none
	Partitions      []partitionStats `json:"partitions"`
}

type partitionStats struct {
	Partition     int32 `json:"partition"`
	Start         int64 `json:"start_offset"`
	Lag           int64 `json:"lag"`
	InFlight      int64 `json:"in_flight"`
	Delayed       int64 `json:"delayed"`
	DeadLettering int64 `json:"dead_lettering"`
}

// Run shows one queue or all, in the order of their names and those of their groups.
func (c *queueStatsCmd) Run(ctx context.Context, std *streams) error {
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	ctx, cancel := q.limited(ctx)
	defer cancel()
	queues := []string{c.Name}
	if c.Name == "" {
		listed, err := q.list(ctx)
		if err != nil {
			return err
		}
		queues = nil
		for _, queue := range listed {
			queues = append(queues, queue.Name)
		}
	} else if _, err := q.topic(ctx, c.Name); err != nil {
		return err
	}
	stats, err := q.stats(ctx, queues)
	if err != nil {
		return err
	}
	if c.json() {
		return printJSON(std.out, stats)
	}
	if len(stats) == 0 {
		fmt.Fprintln(std.err, "no groups; `balsa queue create NAME` makes a queue with one")
		return nil
	}
	g := newGrid("queue", "group", "waiting", "in flight", "delayed", "dead letters", "oldest")
	for _, s := range stats {
		oldest := "-"
		if s.OldestSeconds >= 0 {
			oldest = roughly(time.Duration(s.OldestSeconds * float64(time.Second)))
		}
		g.add(s.Queue, s.Group, count(s.Waiting), count(s.InFlight), count(s.Delayed), count(s.DeadLetters), oldest)
	}
	g.print(std.out)
	return nil
}

func (q *queueClient) stats(ctx context.Context, queues []string) ([]queueStats, error) {
	groups, err := q.shareGroups(ctx)
	if err != nil {
		return nil, err
	}
	deadLetters, err := q.deadLetterTopics(ctx, slices.Collect(maps.Keys(groups))...)
	if err != nil {
		return nil, err
	}
	details, err := q.ListTopics(ctx, queues...)
	if err != nil {
		return nil, err
	}
	stats := []queueStats{}
	for _, queue := range queues {
		for _, group := range groups.of(queue) {
			s := countStates(groups[group][queue])
			s.Queue, s.Group, s.DeadLetters, s.OldestSeconds = queue, group, -1, -1
			if topic, ok := deadLetters[group]; ok {
				letters := countStates(groups[topic][topic])
				s.DeadLetterTopic, s.DeadLetters = topic, letters.Waiting+max(0, letters.InFlight)+max(0, letters.Delayed)
			}
			if oldest, ok := q.oldest(ctx, details[queue], s.Partitions); ok {
				s.OldestSeconds = time.Since(oldest).Seconds()
			}
			stats = append(stats, s)
		}
	}
	return stats, nil
}

// countStates adds up the partitions of one group. What one of them does not know, the sum does not know.
func countStates(states map[int32]sharegroup.State) queueStats {
	s := queueStats{Partitions: []partitionStats{}}
	add := func(sum *int64, n int64) {
		if *sum < 0 || n < 0 {
			*sum = -1
			return
		}
		*sum += n
	}
	lag := int64(0)
	for _, partition := range slices.Sorted(maps.Keys(states)) {
		state := states[partition]
		s.Partitions = append(s.Partitions, partitionStats{partition, state.Start, state.Lag, state.InFlight, state.Delayed, state.DeadLettering})
		add(&lag, state.Lag)
		add(&s.InFlight, state.InFlight)
		add(&s.Delayed, state.Delayed)
	}
	if s.Waiting = lag; lag >= 0 {
		s.Waiting = max(0, lag-max(0, s.InFlight)-max(0, s.Delayed))
	}
	return s
}

// oldest returns when the oldest message was sent that a group has not decided about.
func (q *queueClient) oldest(ctx context.Context, topic kadm.TopicDetail, partitions []partitionStats) (at time.Time, found bool) {
	for _, p := range partitions {
		if p.Lag <= 0 {
			continue
		}
		if sent, ok := q.sentAt(ctx, topic, p.Partition, p.Start); ok && (!found || sent.Before(at)) {
			at, found = sent, true
		}
	}
	return at, found
}

// sentAt returns the time of the first record at or after an offset. It is only to be shown, so errors are not told.
func (q *queueClient) sentAt(ctx context.Context, topic kadm.TopicDetail, partition int32, offset int64) (time.Time, bool) {
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.SessionEpoch = -1, 1, -1 // one batch, and no session
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic.Topic, topic.ID
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	leader := q.kafka.Broker(int(topic.Partitions[partition].Leader))
	resp, err := req.RequestWith(ctx, leader)
	if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return time.Time{}, false
	}
	fetched, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Topic: topic.Topic, Partition: partition, Offset: offset,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if len(fetched.Records) == 0 {
		return time.Time{}, false
	}
	return fetched.Records[0].Timestamp, true
}
