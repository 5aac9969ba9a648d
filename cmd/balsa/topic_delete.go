package main

import (
	"context"
	"errors"
	"fmt"
)

type topicDeleteCmd struct {
	connection
	Names    []string `arg:"" name:"name" help:"Topics to delete."`
	IfExists bool     `help:"Succeed if the topic is not there."`
}

// Run deletes all topics or none: every name is checked before the first is deleted, so that a typo in the last name
// does not leave half of the work done.
func (c *topicDeleteCmd) Run(ctx context.Context, std *streams) error {
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	names := c.Names
	if c.IfExists {
		all, err := admin.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		names = nil
		for _, name := range c.Names {
			if all.Has(name) {
				names = append(names, name)
			} else {
				fmt.Fprintf(std.out, "topic %s does not exist\n", name)
			}
		}
		if len(names) == 0 {
			return nil
		}
	}
	if _, err := knownTopics(ctx, admin, names...); err != nil {
		return err
	}
	responses, err := admin.DeleteTopics(ctx, names...)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names { // not Sorted, which sorts by the topics' random ids
		response := responses[name]
		if err := withMessage(response.Err, response.ErrMessage); err != nil {
			failed = errors.Join(failed, fmt.Errorf("delete topic %s: %w", name, err))
			continue
		}
		fmt.Fprintf(std.out, "deleted topic %s\n", name)
	}
	return failed
}
