package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterConfigs answers AlterConfigs.
func (b *Broker) alterConfigs(ctx context.Context, _ Client, req *kmsg.AlterConfigsRequest) kmsg.Response {
	resp, err := control[*kmsg.AlterConfigsResponse](ctx, b, req, 0)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.AlterConfigsResponse](req)
	resp.Resources = make([]kmsg.AlterConfigsResponseResource, len(req.Resources))
	for i, asked := range req.Resources {
		r := kmsg.NewAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = asked.ResourceType, asked.ResourceName
		r.ErrorCode, r.ErrorMessage = controlError(err)
		resp.Resources[i] = r
	}
	return resp
}
