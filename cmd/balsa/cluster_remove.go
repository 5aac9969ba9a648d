package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type clusterRemoveCmd struct {
	planning
	Node int32 `arg:"" help:"Id of the node."`
}

// Help is shown below the flags.
func (c *clusterRemoveCmd) Help() string {
	return `Refused while the node has replicas: move them away with ` + "`balsa cluster drain`" + ` first. Stop the node's process before or
after; it joins again only if it is started again.`
}

// removed is what `cluster remove` did.
type removed struct {
	Node  int32  `json:"node"`
	State string `json:"state"` // planned or removed
	Alive bool   `json:"alive"`
}

// Run unregisters the node.
func (c *clusterRemoveCmd) Run(ctx context.Context, std *streams) error {
	moves := moving{planning: c.planning}
	return moves.withMover(ctx, std, func(m *mover) error {
		view, err := m.view(ctx)
		if err != nil {
			return err
		}
		if err := view.known([]int32{c.Node}); err != nil {
			return err
		}
		if n := view.held(c.Node); n > 0 {
			return failf(fmt.Sprintf("run `balsa cluster drain %d` first", c.Node), "node %d still has %s", c.Node, plural(int64(n), "replica"))
		}
		result := removed{Node: c.Node, State: "planned", Alive: view.alive[c.Node]}
		if !c.Plan {
			if err := m.unregister(ctx, c.Node); err != nil {
				return err
			}
			result.State = "removed"
		}
		if c.json() {
			return printJSON(std.out, result)
		}
		switch {
		case c.Plan:
			fmt.Fprintf(std.out, "node %d has nothing left and would be removed\n", c.Node)
		case result.Alive:
			fmt.Fprintf(std.out, "node %d is removed; its process still runs: stop it\n", c.Node)
		default:
			fmt.Fprintf(std.out, "node %d is removed\n", c.Node)
		}
		return nil
	})
}

func (m *mover) unregister(ctx context.Context, id int32) error {
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = id
	ctx, cancel := m.limited(ctx)
	defer cancel()
	resp, err := req.RequestWith(ctx, m.client)
	if err != nil {
		return fmt.Errorf("remove node %d: %w", id, err)
	}
	message := ""
	if resp.ErrorMessage != nil {
		message = *resp.ErrorMessage
	}
	if err := withMessage(kerr.ErrorForCode(resp.ErrorCode), message); err != nil {
		return fmt.Errorf("remove node %d: %w", id, err)
	}
	return nil
}
