package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// updateFeatures answers UpdateFeatures.
func (b *Broker) updateFeatures(ctx context.Context, _ Client, req *kmsg.UpdateFeaturesRequest) kmsg.Response {
	resp, err := control[*kmsg.UpdateFeaturesResponse](ctx, b, req, req.TimeoutMillis)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.UpdateFeaturesResponse](req)
	resp.ErrorCode, resp.ErrorMessage = controlError(err)
	return resp
}
