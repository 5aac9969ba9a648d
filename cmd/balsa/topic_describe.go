package main

import (
	"context"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type topicDescribeCmd struct {
	connection
	output
	Names   []string `arg:"" name:"name" help:"Topics to describe."`
	Configs bool     `help:"Show all configs, also those that have their default."`
}

type describedTopic struct {
	Name       string               `json:"name"`
	ID         string               `json:"id"`
	Partitions []describedPartition `json:"partitions"`
	Configs    []describedConfig    `json:"configs"`
}

type describedPartition struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"` // -1: none
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	StartOffset int64   `json:"start_offset"` // -1: unknown
	EndOffset   int64   `json:"end_offset"`   // -1: unknown
}

type describedConfig struct {
	Name   string  `json:"name"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

// Run shows topics in the order they were named.
func (c *topicDescribeCmd) Run(ctx context.Context, std *streams) error {
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	topics, err := c.describe(ctx, admin)
	if err != nil {
		return err
	}
	if c.json() {
		return printJSON(std.out, topics)
	}
	for i, topic := range topics {
		if i > 0 {
			fmt.Fprintln(std.out)
		}
		topic.print(std.out)
	}
	return nil
}

func (c *topicDescribeCmd) describe(ctx context.Context, admin *kadm.Client) ([]describedTopic, error) {
	details, err := knownTopics(ctx, admin, c.Names...)
	if err != nil {
		return nil, err
	}
	// A partition without a leader has no offsets to tell; the table says so with a dash instead of failing.
	starts, _ := admin.ListStartOffsets(ctx, c.Names...)
	ends, _ := admin.ListEndOffsets(ctx, c.Names...)
	configs, err := admin.DescribeTopicConfigs(ctx, c.Names...)
	if err != nil {
		return nil, fmt.Errorf("describe configs: %w", err)
	}
	var topics []describedTopic
	for _, name := range c.Names {
		detail := details[name]
		topic := describedTopic{Name: name, ID: topicID(detail.ID), Configs: []describedConfig{}}
		for _, p := range detail.Partitions.Sorted() {
			topic.Partitions = append(topic.Partitions, describedPartition{
				Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas, ISR: p.ISR,
				StartOffset: offsetOf(starts, name, p.Partition), EndOffset: offsetOf(ends, name, p.Partition),
			})
		}
		config, err := configs.On(name, nil)
		if err != nil {
			return nil, fmt.Errorf("describe configs of %s: %w", name, withMessage(err, config.ErrMessage))
		}
		for _, entry := range config.Configs {
			if c.Configs || entry.Source == kmsg.ConfigSourceDynamicTopicConfig {
				topic.Configs = append(topic.Configs, describedConfig{entry.Key, entry.Value, entry.Source.String()})
			}
		}
		topics = append(topics, topic)
	}
	return topics, nil
}

func offsetOf(offsets kadm.ListedOffsets, topic string, partition int32) int64 {
	if offset, ok := offsets.Lookup(topic, partition); ok && offset.Err == nil {
		return offset.Offset
	}
	return -1
}

func (t *describedTopic) print(w io.Writer) {
	fmt.Fprintf(w, "topic %s  id %s\n", t.Name, t.ID)
	g := newGrid("partition", "leader", "epoch", "replicas", "isr", "start", "end")
	for _, p := range t.Partitions {
		leader := count(int64(p.Leader))
		if p.Leader < 0 {
			leader = "none"
		}
		g.add(int64(p.Partition), leader, count(int64(p.LeaderEpoch)), nodeList(p.Replicas), nodeList(p.ISR),
			count(p.StartOffset), count(p.EndOffset))
	}
	g.print(w)
	if len(t.Configs) == 0 {
		return
	}
	fmt.Fprintln(w)
	configs := newGrid("config", "value", "source")
	for _, entry := range t.Configs {
		value := "(hidden)"
		if entry.Value != nil {
			value = *entry.Value
		}
		configs.add(entry.Name, value, entry.Source)
	}
	configs.print(w)
}
