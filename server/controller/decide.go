package controller

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// decide makes a decision from the current image, replicates it, and returns when it is applied here. Decisions are made one
// after another, each from the image that the one before left.
func (c *Controller) decide(ctx context.Context, decide func(*cluster.Image) (cluster.Decision, error)) (answer, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	defer func() { <-c.turn }()
	for {
		img := c.Machine.Image()
		d, err := decide(img)
		if err != nil {
			return answer{}, err
		}
		if len(d.Records) == 0 {
			return answer{d.Response, img.Version}, nil
		}
		a, applied, err := c.replicate(ctx, img.Version, d)
		if err != nil || applied {
			return a, err
		}
		// An entry that the image did not have yet came first (of an earlier leader, or of a request of ours that was given
		// up while it was in flight): decide again, with it.
	}
}

// answering returns what decides req.
func (c *Controller) answering(req kmsg.Request) func(*cluster.Image) (cluster.Decision, error) {
	return func(img *cluster.Image) (cluster.Decision, error) {
		d, err := c.Decider.Decide(img, req)
		if err != nil {
			return d, &refused{err}
		}
		return d, nil
	}
}

// replicate proposes a decision that was made from the image with version base.
func (c *Controller) replicate(ctx context.Context, base uint64, d cluster.Decision) (a answer, applied bool, err error) {
	nonce := c.Nonce()
	outcome := c.Machine.Expect(nonce)
	u := &unsettled{nonce: nonce, outcome: outcome, answer: answer{response: d.Response}}
	err = c.Propose(ctx, cluster.Entry{Base: base, Nonce: nonce, Records: d.Records}.Encode())
	switch {
	case errors.Is(err, raft.ErrNotLeader):
		c.Machine.Forget(nonce) // certainly not written
		return answer{}, false, fmt.Errorf("propose metadata entry: %w", err)
	case err != nil:
		u.cause = fmt.Errorf("propose metadata entry: %w", err)
		return answer{}, false, u
	}
	select {
	case o := <-outcome:
		return answer{d.Response, o.Version}, o.Applied, nil
	case <-ctx.Done():
		u.cause = ctx.Err()
		return answer{}, false, u
	}
}
