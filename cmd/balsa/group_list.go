package main

import (
	"context"
	"fmt"
)

type groupListCmd struct {
	connection
	output
}

type listedGroup struct {
	Group       string `json:"group"`
	State       string `json:"state"`
	Protocol    string `json:"protocol_type"`
	Coordinator int32  `json:"coordinator"`
}

// Run lists the groups, sorted by name.
func (c *groupListCmd) Run(ctx context.Context, std *streams) error {
	admin, ctx, done, err := c.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	groups := []listedGroup{}
	for _, group := range listed.Sorted() {
		groups = append(groups, listedGroup{group.Group, group.State, group.ProtocolType, group.Coordinator})
	}
	if c.json() {
		return printJSON(std.out, groups)
	}
	if len(groups) == 0 {
		fmt.Fprintln(std.err, "no groups; `balsa consume TOPIC --group NAME` makes one")
		return nil
	}
	g := newGrid("group", "state", "protocol type", "coordinator")
	for _, group := range groups {
		g.add(group.Group, group.State, group.Protocol, int64(group.Coordinator))
	}
	g.print(std.out)
	return nil
}
