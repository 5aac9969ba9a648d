package handler

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// initProducerID answers InitProducerId for idempotent producers: each gets an id that nobody ever had, with epoch 0. An
// id that a producer brings along is not kept up: without transactions nothing is fenced by it.
func (b *Broker) initProducerID(ctx context.Context, _ Client, req *kmsg.InitProducerIDRequest) kmsg.Response {
	resp := newResponse[*kmsg.InitProducerIDResponse](req)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		// A code that no client retries, whose text names the cause.
		resp.ErrorCode = kerr.UnsupportedVersion.Code
		if *req.TransactionalID == "" {
			resp.ErrorCode = kerr.InvalidRequest.Code
		}
		return resp
	}
	id, err := b.producerIDs.next(ctx)
	if err != nil {
		resp.ErrorCode = errorCode(err)
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}

// producerIDs hands out producer ids from blocks that the controller gives to this broker. What is left of a block when
// the process ends is lost: there are enough. Safe for concurrent use.
type producerIDs struct {
	node       raft.NodeID
	controller Controller
	turn       chan struct{} // capacity 1: holds whoever may touch the block; waiting for it ends with a context
	at, end    int64         // the block: [at, end)
}

func newProducerIDs(node raft.NodeID, c Controller) *producerIDs {
	return &producerIDs{node: node, controller: c, turn: make(chan struct{}, 1)}
}

// next returns an unused id. CoordinatorLoadInProgress, which clients retry, when the controller cannot be asked now.
func (p *producerIDs) next(ctx context.Context) (int64, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, fmt.Errorf("wait for a block of producer ids: %w", ctx.Err())
	}
	if p.at == p.end {
		if err := p.refill(ctx); err != nil {
			return 0, err
		}
	}
	id := p.at
	p.at++
	return id, nil
}

func (p *producerIDs) refill(ctx context.Context) error {
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	req.BrokerID, req.BrokerEpoch = int32(p.node), -1
	r, err := p.controller.Do(ctx, req)
	if err != nil {
		return fmt.Errorf("allocate a block of producer ids: %w: %w", err, kerr.CoordinatorLoadInProgress)
	}
	resp, ok := r.(*kmsg.AllocateProducerIDsResponse)
	if !ok || resp.ErrorCode != 0 || resp.ProducerIDLen <= 0 {
		return fmt.Errorf("allocate a block of producer ids: %w", kerr.CoordinatorLoadInProgress)
	}
	p.at, p.end = resp.ProducerIDStart, resp.ProducerIDStart+int64(resp.ProducerIDLen)
	return nil
}
