package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// unregisterBroker answers UnregisterBroker: it takes a broker out of the cluster's metadata.
func (b *Broker) unregisterBroker(ctx context.Context, _ Client, req *kmsg.UnregisterBrokerRequest) kmsg.Response {
	resp, err := control[*kmsg.UnregisterBrokerResponse](ctx, b, req, 0)
	if err != nil {
		resp = newResponse[*kmsg.UnregisterBrokerResponse](req)
		resp.ErrorCode, resp.ErrorMessage = controlError(err)
	}
	return resp
}
