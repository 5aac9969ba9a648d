package main

import (
	"context"

	"balsa/cmd/balsa/sharegroup"
)

type queueExtendCmd struct {
	receiptsCmd
	Visibility period `placeholder:"DURATION" help:"How long from now on (default: as the queue was created)."`
}

// Help is shown below the flags.
func (c *queueExtendCmd) Help() string {
	return `The visibility timeout begins anew. Their receipts stay the same.

Example:
  balsa queue extend $receipt --visibility 10m`
}

// Run extends the visibility timeout of the messages.
func (c *queueExtendCmd) Run(ctx context.Context, std *streams) error {
	return c.decide(ctx, std, verdict{kind: sharegroup.Renew, span: c.Visibility.duration(), past: "extended"})
}
