// Package controller hosts the cluster's metadata machine on one node: it runs the decisions of package cluster while this node
// leads the metadata group, forwards controller requests to the leader while it does not, and keeps this node
// registered.
//
// A request takes effect at most once per attempt, and is tried again when the leader goes away. As in Kafka, a leader that
// dies between commit and answer makes the second attempt see the effect of the first (TOPIC_ALREADY_EXISTS); where this
// node itself proposed the first, its answer is remembered instead.
package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
)

const (
	// defaultTimeout bounds one request, several leader elections included.
	defaultTimeout = 15 * time.Second
	// retryInterval is the pause before another attempt when no news of the leader comes.
	retryInterval = 100 * time.Millisecond
	// conflictInterval is the pause before this broker takes back a registration that another process took over.
	conflictInterval = 10 * time.Second
)

// Options are what a Controller works with. All fields but Timeout are required.
type Options struct {
	Broker  cluster.Broker   // this node's registration
	Machine *cluster.Machine // of the metadata group
	Decider *cluster.Decider // used only by the Controller
	// Propose replicates an entry in the metadata group and returns when it is committed and applied here; see FromGroup.
	Propose func(ctx context.Context, payload []byte) error
	// Call is raft.Host.Call. The Controller's own Serve must be registered for Service on every node.
	Call func(ctx context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error)
	// Nonce returns random numbers; safe for concurrent use.
	Nonce   func() uint64
	Logger  *slog.Logger
	Timeout time.Duration // of one request; 0: 15 s
}

// Controller is one node's part of the controller. All methods are safe for concurrent use.
type Controller struct {
	Options
	turn chan struct{} // holds a token while a decision is made and replicated: one at a time
}

// New returns a Controller. Its Run must be started for the node to be registered and a new cluster to be set up.
func New(o Options) *Controller {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &Controller{Options: o, turn: make(chan struct{}, 1)}
}

// FromGroup returns the Propose function for a group.
func FromGroup(g *raft.Group) func(ctx context.Context, payload []byte) error {
	return func(ctx context.Context, payload []byte) error {
		return g.Propose(batch.KindData, payload).Wait(ctx)
	}
}

// answer is a response with the version of the image that it is true of.
type answer struct {
	response kmsg.Response
	version  uint64
}

// unsettled is the error of a proposal that may or may not take effect.
type unsettled struct {
	cause   error
	nonce   uint64
	outcome <-chan cluster.Outcome
	answer  answer // once outcome says Applied
}

func (u *unsettled) Error() string { return "outcome unknown: " + u.cause.Error() }
func (u *unsettled) Unwrap() error { return u.cause }

// refused is the error of a request that the leader refuses as a whole; trying again does not help.
type refused struct{ cause error }

func (r *refused) Error() string { return r.cause.Error() }
func (r *refused) Unwrap() error { return r.cause }

// errNoLeader means that there is no leader now, or that it is not ready.
var errNoLeader = errors.New("the metadata group has no leader")

// Do answers a controller request (see cluster.Served), here or on the leader, and returns when this node's image has the
// change. The error is ctx's, or wraps a *kerr.Error: NotController when no leader took the request in time,
// RequestTimedOut when one may have, PolicyViolation when the whole request is refused (see cluster.Decider.Decide).
func (c *Controller) Do(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if !cluster.Served(req.Key()) {
		return nil, fmt.Errorf("%w: %s", cluster.ErrNotServed, kmsg.NameForKey(req.Key()))
	}
	within, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var open proposals
	defer open.forget(c.Machine)
	a, err := c.untilAnswered(within, req, &open)
	if err == nil {
		if _, err = c.Machine.WaitVersion(within, a.version); err != nil {
			err = fmt.Errorf("%w: %w", kerr.RequestTimedOut, err)
		}
	}
	// An earlier attempt of this node may have taken effect after all: then a later one saw that effect, and the earlier
	// one's answer is the right one.
	if earlier, ok := open.applied(); ok {
		return earlier.response, nil
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return a.response, nil
}

// untilAnswered tries whoever leads until there is an answer.
func (c *Controller) untilAnswered(ctx context.Context, req kmsg.Request, open *proposals) (answer, error) {
	code := kerr.NotController
	for {
		l, changed := c.Machine.WatchLeadership()
		a, err := c.attempt(ctx, l, changed, req)
		if err == nil {
			return a, nil
		}
		if r := (*refused)(nil); errors.As(err, &r) {
			return answer{}, err
		}
		if u := (*unsettled)(nil); errors.As(err, &u) {
			*open = append(*open, u)
			code = kerr.RequestTimedOut
		}
		if errors.Is(err, errForwarded) {
			code = kerr.RequestTimedOut
		}
		if errors.Is(err, raft.ErrClosed) { // this node is shutting down
			return answer{}, fmt.Errorf("%w: %w", code, err)
		}
		if earlier, ok := open.applied(); ok {
			return earlier, nil
		}
		retry := time.NewTimer(retryInterval)
		select {
		case <-changed:
		case <-retry.C:
		case <-ctx.Done():
			retry.Stop()
			return answer{}, fmt.Errorf("%w: %w", code, err)
		}
		retry.Stop()
	}
}

// attempt asks the leader once.
func (c *Controller) attempt(ctx context.Context, l raft.Leadership, changed <-chan struct{}, req kmsg.Request) (answer, error) {
	switch {
	case l.Leader == c.Broker.ID && l.Ready:
		return c.decide(ctx, c.answering(req))
	case l.Leader == raft.NoNode, l.Leader == c.Broker.ID:
		return answer{}, errNoLeader
	}
	return c.forward(ctx, l.Leader, changed, req)
}

// proposals are those of one request whose outcome is unknown.
type proposals []*unsettled

// applied returns the answer of one that took effect.
func (p *proposals) applied() (answer, bool) {
	for _, u := range *p {
		select {
		case o := <-u.outcome:
			if o.Applied {
				u.answer.version = o.Version
				return u.answer, true
			}
		default:
		}
	}
	return answer{}, false
}

func (p *proposals) forget(m *cluster.Machine) {
	for _, u := range *p {
		m.Forget(u.nonce)
	}
}
