package main

import (
	"context"
	"fmt"
)

type topicListCmd struct {
	connection
	output
	Internal bool `help:"Also list internal topics."`
}

type listedTopic struct {
	Name            string `json:"name"`
	ID              string `json:"id"`
	Partitions      int    `json:"partitions"`
	Replicas        int    `json:"replicas"`
	UnderReplicated int    `json:"under_replicated"`
	Leaderless      int    `json:"leaderless"`
	Internal        bool   `json:"internal,omitempty"`
}

// Run lists the topics, sorted by name.
func (c *topicListCmd) Run(ctx context.Context, std *streams) error {
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	list := admin.ListTopics
	if c.Internal {
		list = admin.ListTopicsWithInternal
	}
	details, err := list(ctx)
	if err != nil {
		return err
	}
	topics := []listedTopic{}
	for _, detail := range details.Sorted() {
		topic := listedTopic{Name: detail.Topic, ID: topicID(detail.ID), Partitions: len(detail.Partitions), Internal: detail.IsInternal}
		for _, partition := range detail.Partitions {
			topic.Replicas = max(topic.Replicas, len(partition.Replicas))
			if partition.Leader < 0 {
				topic.Leaderless++
			}
			if len(partition.ISR) < len(partition.Replicas) {
				topic.UnderReplicated++
			}
		}
		topics = append(topics, topic)
	}
	if c.json() {
		return printJSON(std.out, topics)
	}
	if len(topics) == 0 {
		fmt.Fprintln(std.err, "no topics; create one with `balsa topic create NAME`")
		return nil
	}
	g := newGrid("name", "partitions", "replicas", "under-replicated", "leaderless")
	for _, topic := range topics {
		g.add(topic.Name, topic.Partitions, topic.Replicas, topic.UnderReplicated, topic.Leaderless)
	}
	g.print(std.out)
	return nil
}
