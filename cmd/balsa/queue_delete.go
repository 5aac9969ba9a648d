package main

import (
	"context"
	"fmt"
	"slices"
)

type queueDeleteCmd struct {
	connection
	Name        string `arg:"" help:"Queue to delete, with its messages."`
	DeadLetters bool   `help:"Delete its dead letters too."`
	IfExists    bool   `help:"Succeed if the queue is not there."`
}

// Help is shown below the flags.
func (c *queueDeleteCmd) Help() string {
	return `Groups that read nothing else are deleted with the queue; they must have no members.`
}

// Run deletes groups first: that fails, and nothing is lost, when somebody still works.
func (c *queueDeleteCmd) Run(ctx context.Context, std *streams) error {
	q, err := c.queues(ctx)
	if err != nil {
		return err
	}
	defer q.close()
	ctx, cancel := q.limited(ctx)
	defer cancel()
	if c.IfExists {
		all, err := q.ListTopics(ctx)
		if err != nil {
			return err
		}
		if !all.Has(c.Name) {
			fmt.Fprintf(std.out, "queue %s does not exist\n", c.Name)
			return nil
		}
	}
	if _, err := q.queue(ctx, c.Name); err != nil {
		return err
	}
	groups, err := q.shareGroups(ctx)
	if err != nil {
		return err
	}
	queues := []string{c.Name}
	if c.DeadLetters {
		topics, err := q.deadLetterTopics(ctx, groups.of(c.Name)...)
		if err != nil {
			return err
		}
		queues = append(queues, distinct(topics, groups.of(c.Name))...)
	}
	for _, queue := range queues {
		if err := q.deleteQueue(ctx, std, queue, groups); err != nil {
			return err
		}
	}
	return nil
}

func (q *queueClient) deleteQueue(ctx context.Context, std *streams, queue string, groups shareGroups) error {
	var own []string
	for _, group := range groups.of(queue) {
		if len(groups.topics(group)) == 1 {
			own = append(own, group)
		}
	}
	if len(own) > 0 {
		responses, err := q.DeleteGroups(ctx, own...)
		if err != nil {
			return err
		}
		for _, response := range responses.Sorted() {
			if err := withMessage(response.Err, response.ErrMessage); err != nil {
				return fmt.Errorf("delete group %s of queue %s: %w", response.Group, queue, err)
			}
		}
	}
	response, err := q.DeleteTopic(ctx, queue)
	if err := withMessage(err, response.ErrMessage); err != nil {
		return fmt.Errorf("delete queue %s: %w", queue, err)
	}
	fmt.Fprintf(std.out, "deleted queue %s\n", queue)
	// A queue of the same name is to begin with the configs that it is created with.
	forgotten := map[string]string{
		shareAutoOffsetReset: "", shareLockMs: "", shareDeliveryLimit: "", shareMaxLocks: "", shareOrdering: "", deadLetterTopic: "",
	}
	for _, group := range own {
		if err := q.setGroupConfigs(ctx, group, forgotten); err != nil {
			return err
		}
	}
	return nil
}

// topics returns what a group reads, sorted.
func (g shareGroups) topics(group string) []string {
	var topics []string
	for topic := range g[group] {
		if slices.Contains(g.of(topic), group) {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}
