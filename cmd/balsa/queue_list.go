package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

type queueListCmd struct {
	connection
	output
}

type listedQueue struct {
	Name        string   `json:"name"`
	Partitions  int      `json:"partitions"`
	Replicas    int      `json:"replicas"`
	Groups      []string `json:"groups"`
	DeadLetters []string `json:"dead_letters"` // topics
}

// Run lists the topics that are queues, sorted by name.
func (c *queueListCmd) Run(ctx context.Context, std *streams) error {
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	ctx, cancel := q.limited(ctx)
	defer cancel()
	queues, err := q.list(ctx)
	if err != nil {
		return err
	}
	if c.json() {
		return printJSON(std.out, queues)
	}
	if len(queues) == 0 {
		fmt.Fprintln(std.err, "no queues; create one with `balsa queue create NAME`")
		return nil
	}
	g := newGrid("name", "partitions", "replicas", "groups", "dead letters")
	for _, queue := range queues {
		g.add(queue.Name, queue.Partitions, queue.Replicas, names(queue.Groups), names(queue.DeadLetters))
	}
	g.print(std.out)
	return nil
}

// names writes a list in one cell.
func names(list []string) string { return cmp.Or(strings.Join(list, ","), "-") }

func (q *queueClient) list(ctx context.Context) ([]listedQueue, error) {
	details, err := q.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	policies, err := q.policies(ctx, details.Names()...)
	if err != nil {
		return nil, err
	}
	groups, err := q.shareGroups(ctx)
	if err != nil {
		return nil, err
	}
	deadLetters, err := q.deadLetterTopics(ctx, slices.Collect(maps.Keys(groups))...)
	if err != nil {
		return nil, err
	}
	queues := []listedQueue{}
	for _, detail := range details.Sorted() {
		if !isQueue(policies[detail.Topic]) {
			continue
		}
		queue := listedQueue{Name: detail.Topic, Partitions: len(detail.Partitions), Groups: groups.of(detail.Topic)}
		for _, p := range detail.Partitions {
			queue.Replicas = max(queue.Replicas, len(p.Replicas))
		}
		queue.DeadLetters = distinct(deadLetters, queue.Groups)
		queues = append(queues, queue)
	}
	return queues, nil
}
