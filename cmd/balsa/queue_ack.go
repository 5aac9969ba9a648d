package main

import (
	"context"

	"balsa/cmd/balsa/sharegroup"
)

type queueAckCmd struct{ receiptsCmd }

// Help is shown below the flags.
func (c *queueAckCmd) Help() string {
	return `The exit code is 0 only if every message is acknowledged: then none of them is ever delivered again to this group.

Example:
  balsa queue receive jobs --max 100 --format '%r\n' | balsa queue ack -`
}

// Run acknowledges the messages.
func (c *queueAckCmd) Run(ctx context.Context, std *streams) error {
	return c.decide(ctx, std, verdict{kind: sharegroup.Accept, past: "acknowledged"})
}
