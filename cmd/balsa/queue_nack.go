package main

import (
	"context"

	"balsa/cmd/balsa/sharegroup"
)

type queueNackCmd struct {
	receiptsCmd
	Delay  period `xor:"how" placeholder:"DURATION" help:"Deliver the messages again not before that much later, up to 12h."`
	Reject bool   `xor:"how" help:"Never deliver them again: they become dead letters, if the queue keeps those."`
}

// Help is shown below the flags.
func (c *queueNackCmd) Help() string {
	return `A message that was given back is delivered again, unless this was the last delivery that the queue allows.`
}

// Run gives the messages back, or up.
func (c *queueNackCmd) Run(ctx context.Context, std *streams) error {
	if c.Delay.duration() > maxDelay {
		return usagef("a message can be held back for 12h at most", "--delay is too long")
	}
	if c.Reject {
		return c.decide(ctx, std, verdict{kind: sharegroup.Reject, past: "rejected"})
	}
	return c.decide(ctx, std, verdict{kind: sharegroup.Release, span: c.Delay.duration(), past: "given back"})
}
