package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// Run keeps this broker registered and, while this node leads, sets up what a new cluster lacks. It returns when ctx ends.
func (c *Controller) Run(ctx context.Context) {
	wasRegistered, removed := false, false
	for ctx.Err() == nil {
		img, imageChanged := c.Machine.Watch()
		l, leaderChanged := c.Machine.WatchLeadership()
		pause := time.Duration(0) // none: until something changes
		if l.Leader == c.Broker.ID && l.Ready {
			if err := c.bootstrap(ctx); err != nil {
				c.Logger.Warn("could not set up the cluster, trying again", "err", err)
				pause = retryInterval
			}
		}
		switch {
		case c.registeredIn(img):
			wasRegistered = true
		case removed:
		case wasRegistered && img.Unregistered[c.Broker.ID]:
			// Only somebody who starts it again can want it back.
			c.Logger.Warn("this broker was removed from the cluster; it registers again only after a restart", "node", c.Broker.ID)
			removed = true
		case wasRegistered:
			// Taking it back at once would go on for ever, with a log entry for each turn.
			c.Logger.Error("another process registered with this node id", "node", c.Broker.ID,
				"its address", img.Brokers[c.Broker.ID].Host, "its port", img.Brokers[c.Broker.ID].Port)
			wasRegistered, pause = false, conflictInterval
			imageChanged, leaderChanged = nil, nil
		default:
			if err := c.register(ctx); err != nil {
				if ctx.Err() == nil {
					c.Logger.Warn("could not register this broker, trying again", "err", err)
				}
				pause = time.Second
			}
		}
		var again <-chan time.Time
		if pause > 0 {
			again = time.After(pause)
		}
		select {
		case <-imageChanged:
		case <-leaderChanged:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// WaitRegistered returns when this process is registered, or ctx's error.
func (c *Controller) WaitRegistered(ctx context.Context) error {
	for {
		img, changed := c.Machine.Watch()
		if c.registeredIn(img) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the registration of node %d: %w", c.Broker.ID, ctx.Err())
		}
	}
}

// registeredIn says whether img has this process, which its incarnation tells from an earlier or another one.
func (c *Controller) registeredIn(img *cluster.Image) bool {
	b, ok := img.Brokers[c.Broker.ID]
	return ok && b.Incarnation == c.Broker.Incarnation
}

// bootstrap names the cluster and places the coordinator shards, once in a cluster's life.
func (c *Controller) bootstrap(ctx context.Context) error {
	img := c.Machine.Image()
	if img.ClusterID != "" && img.Topics[cluster.CoordinatorTopic] != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	_, err := c.decide(ctx, func(img *cluster.Image) (cluster.Decision, error) {
		return cluster.Decision{Records: c.Decider.Bootstrap(img)}, nil
	})
	if u, ok := errors.AsType[*unsettled](err); ok {
		c.Machine.Forget(u.nonce)
	}
	return err
}

func (c *Controller) register(ctx context.Context) error {
	req, err := cluster.RegistrationRequest(c.Broker, c.Machine.Image().ClusterID)
	if err != nil {
		return fmt.Errorf("register broker: %w", err)
	}
	resp, err := c.Do(ctx, req)
	if err != nil {
		return err
	}
	if r, ok := resp.(*kmsg.BrokerRegistrationResponse); ok && r.ErrorCode != 0 {
		return fmt.Errorf("register broker: %w", kerr.ErrorForCode(r.ErrorCode))
	}
	c.Logger.Info("registered", "node", c.Broker.ID, "host", c.Broker.Host, "port", c.Broker.Port)
	return nil
}
