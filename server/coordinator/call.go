package coordinator

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/group"
	"balsa/server/txn"
)

// call is one request on its way to an answer.
type call struct {
	req    kmsg.Request
	answer chan kmsg.Response // gets exactly one
}

func newCall(req kmsg.Request) *call { return &call{req: req, answer: make(chan kmsg.Response, 1)} }

// reply takes the answer. It never blocks, also when nobody waits any more.
func (c *call) reply(r kmsg.Response) { c.answer <- r }

// fail answers with an error.
func (c *call) fail(err *kerr.Error) { c.reply(c.errorResponse(err)) }

// errorResponse is the answer for an error, as each request's clients can take it.
func (c *call) errorResponse(err *kerr.Error) kmsg.Response {
	switch c.req.(type) {
	case *kmsg.HeartbeatRequest:
		// While the coordinator loads, a heartbeat is as good as received: the member would only join again for no reason.
		if err == kerr.CoordinatorLoadInProgress {
			return c.req.ResponseKind()
		}
	case *kmsg.TxnOffsetCommitRequest:
		// Producers before 2.0 do not know that a coordinator loads.
		if err == kerr.CoordinatorLoadInProgress && c.req.GetVersion() < 2 {
			err = kerr.CoordinatorNotAvailable
		}
	case *kmsg.OffsetFetchRequest:
		// Java consumers before 3.9 do not retry on COORDINATOR_NOT_AVAILABLE here.
		if err == kerr.CoordinatorNotAvailable {
			err = kerr.NotCoordinator
		}
	}
	if r := txn.ErrorResponse(c.req, err); r != nil {
		return r
	}
	return group.ErrorResponse(c.req, err)
}

// wait returns the answer. Requests that are answered when an entry is committed get COORDINATOR_NOT_AVAILABLE after
// timeout, and may still take effect; joins and syncs wait for the rebalance instead.
func (c *call) wait(ctx context.Context, timeout time.Duration) kmsg.Response {
	select {
	case r := <-c.answer:
		return r
	default:
	}
	var late <-chan time.Time
	switch c.req.(type) {
	case *kmsg.JoinGroupRequest, *kmsg.SyncGroupRequest:
	default:
		t := time.NewTimer(timeout)
		defer t.Stop()
		late = t.C
	}
	select {
	case r := <-c.answer:
		return r
	case <-late:
	case <-ctx.Done():
	}
	return c.errorResponse(kerr.CoordinatorNotAvailable)
}
