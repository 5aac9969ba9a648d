package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

type topicCreateCmd struct {
	connection
	output
	Names       []string `arg:"" name:"name" help:"Topics to create."`
	Partitions  int32    `short:"p" default:"-1" help:"Number of partitions (default: the broker's num.partitions)."`
	Replicas    int16    `short:"r" default:"-1" help:"Replicas of each partition (default: the broker's choice)."`
	Config      []string `short:"c" sep:"none" placeholder:"NAME=VALUE" help:"Topic config, may be repeated."`
	IfNotExists bool     `help:"Succeed if the topic is already there."`
}

// Help is shown below the flags.
func (c *topicCreateCmd) Help() string {
	return `Example:
  balsa topic create orders --partitions 12 --replicas 3 --config retention.ms=604800000`
}

type createdTopic struct {
	Name       string `json:"name"`
	Partitions int32  `json:"partitions"`
	Replicas   int16  `json:"replicas"`
	Existed    bool   `json:"existed,omitempty"`
	Error      string `json:"error,omitempty"`
}

// Run creates the topics and reports each; it fails if one failed.
func (c *topicCreateCmd) Run(ctx context.Context, std *streams) error {
	configs, err := parseConfigs(c.Config)
	if err != nil {
		return err
	}
	if c.Partitions == 0 || c.Partitions < -1 || c.Replicas == 0 || c.Replicas < -1 {
		return usagef("", "--partitions and --replicas must be at least 1")
	}
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	responses, err := admin.CreateTopics(ctx, c.Partitions, c.Replicas, configs, c.Names...)
	if err != nil {
		return err
	}
	var results []createdTopic
	var failed error
	for _, response := range responses.Sorted() {
		result := createdTopic{Name: response.Topic, Partitions: response.NumPartitions, Replicas: response.ReplicationFactor}
		switch err := withMessage(response.Err, response.ErrMessage); {
		case c.IfNotExists && errors.Is(err, kerr.TopicAlreadyExists):
			result.Existed = true
		case err != nil:
			result.Error = oneLine(err)
			failed = errors.Join(failed, fmt.Errorf("create topic %s: %w", response.Topic, err))
		}
		results = append(results, result)
	}
	if c.json() {
		return errors.Join(printJSON(std.out, results), failed)
	}
	for _, result := range results {
		switch {
		case result.Existed:
			fmt.Fprintf(std.out, "topic %s already exists\n", result.Name)
		case result.Error == "" && result.Partitions > 0:
			fmt.Fprintf(std.out, "created topic %s: %s, %s each\n", result.Name,
				plural(int64(result.Partitions), "partition"), plural(int64(result.Replicas), "replica"))
		case result.Error == "":
			fmt.Fprintf(std.out, "created topic %s\n", result.Name)
		}
	}
	return failed
}
