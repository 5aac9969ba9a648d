package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// incrementalAlterConfigs answers IncrementalAlterConfigs.
func (b *Broker) incrementalAlterConfigs(ctx context.Context, _ Client, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	resp, err := control[*kmsg.IncrementalAlterConfigsResponse](ctx, b, req, 0)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.IncrementalAlterConfigsResponse](req)
	resp.Resources = make([]kmsg.IncrementalAlterConfigsResponseResource, len(req.Resources))
	for i, asked := range req.Resources {
		r := kmsg.NewIncrementalAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = asked.ResourceType, asked.ResourceName
		r.ErrorCode, r.ErrorMessage = controlError(err)
		resp.Resources[i] = r
	}
	return resp
}
