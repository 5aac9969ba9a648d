package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// initProducerID answers InitProducerId. A producer with a transactional id is its coordinator's business; every other one
// gets an id that nobody ever had, with epoch 0. An id that such a producer brings along is not kept up: without
// transactions nothing is fenced by it.
func (b *Broker) initProducerID(ctx context.Context, client Client, req *kmsg.InitProducerIDRequest) kmsg.Response {
	if req.TransactionalID != nil {
		return b.Coordinator.Handle(ctx, client, req)
	}
	resp := newResponse[*kmsg.InitProducerIDResponse](req)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = kerr.InvalidRequest.Code
		return resp
	}
	id, err := b.ProducerIDs.Next(ctx)
	if err != nil {
		resp.ErrorCode = errorCode(err)
		return resp
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return resp
}
