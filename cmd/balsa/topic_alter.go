package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

type topicAlterCmd struct {
	connection
	Name         string   `arg:"" help:"Topic to change."`
	Partitions   int32    `short:"p" help:"New total number of partitions; it can only grow."`
	Config       []string `short:"c" sep:"none" placeholder:"NAME=VALUE" help:"Set a config, may be repeated."`
	DeleteConfig []string `placeholder:"NAME" help:"Return a config to its default, may be repeated."`
}

// Run applies configs first: they can be undone, partitions cannot.
func (c *topicAlterCmd) Run(ctx context.Context, std *streams) error {
	set, err := parseConfigs(c.Config)
	if err != nil {
		return err
	}
	if len(set) == 0 && len(c.DeleteConfig) == 0 && c.Partitions == 0 {
		return usagef("see `balsa topic alter --help`", "nothing to change: give --partitions, --config or --delete-config")
	}
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	details, err := knownTopics(ctx, admin, c.Name)
	if err != nil {
		return err
	}
	if have := len(details[c.Name].Partitions); c.Partitions != 0 && int(c.Partitions) <= have {
		return usagef("partitions can be added, not removed", "topic %s already has %s", c.Name, plural(int64(have), "partition"))
	}
	if err := c.alterConfigs(ctx, admin, set, std); err != nil {
		return err
	}
	if c.Partitions == 0 {
		return nil
	}
	responses, err := admin.UpdatePartitions(ctx, int(c.Partitions), c.Name)
	if err != nil {
		return err
	}
	for _, response := range responses.Sorted() {
		if err := withMessage(response.Err, response.ErrMessage); err != nil {
			return fmt.Errorf("add partitions to %s: %w", c.Name, err)
		}
	}
	fmt.Fprintf(std.out, "topic %s: %d partitions\n", c.Name, c.Partitions)
	return nil
}

func (c *topicAlterCmd) alterConfigs(ctx context.Context, admin *kadm.Client, set map[string]*string, std *streams) error {
	var changes []kadm.AlterConfig
	var said []string
	for name, value := range set {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: value})
		said = append(said, name+"="+*value)
	}
	for _, name := range c.DeleteConfig {
		changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: name})
		said = append(said, name+" back to default")
	}
	if len(changes) == 0 {
		return nil
	}
	responses, err := admin.AlterTopicConfigs(ctx, changes, c.Name)
	if err != nil {
		return err
	}
	var failed error
	for _, response := range responses {
		if err := withMessage(response.Err, response.ErrMessage); err != nil {
			failed = errors.Join(failed, fmt.Errorf("alter configs of %s: %w", c.Name, err))
		}
	}
	if failed != nil {
		return failed
	}
	slices.Sort(said)
	fmt.Fprintf(std.out, "topic %s: %s\n", c.Name, strings.Join(said, ", "))
	return nil
}
