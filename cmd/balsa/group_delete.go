package main

import (
	"context"
	"errors"
	"fmt"
)

type groupDeleteCmd struct {
	connection
	Groups []string `arg:"" name:"group" help:"Groups to delete. They must have no members."`
}

// Run deletes each group and reports each.
func (c *groupDeleteCmd) Run(ctx context.Context, std *streams) error {
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	for _, name := range c.Groups {
		if _, err := existingGroup(ctx, admin, name); err != nil {
			return err
		}
	}
	responses, err := admin.DeleteGroups(ctx, c.Groups...)
	if err != nil {
		return err
	}
	var failed error
	for _, response := range responses.Sorted() {
		if err := withMessage(response.Err, response.ErrMessage); err != nil {
			failed = errors.Join(failed, fmt.Errorf("delete group %s: %w", response.Group, err))
			continue
		}
		fmt.Fprintf(std.out, "deleted group %s\n", response.Group)
	}
	return failed
}
