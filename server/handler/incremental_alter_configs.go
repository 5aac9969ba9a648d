package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// incrementalAlterConfigs answers IncrementalAlterConfigs: levels of this broker's loggers here, everything else on the controller.
func (b *Broker) incrementalAlterConfigs(ctx context.Context, _ Client, req *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	var loggers []kmsg.IncrementalAlterConfigsRequestResource
	replicated := *req
	replicated.Resources = nil
	for _, asked := range req.Resources {
		if asked.ResourceType == kmsg.ConfigResourceTypeBrokerLogger {
			loggers = append(loggers, asked)
		} else {
			replicated.Resources = append(replicated.Resources, asked)
		}
	}
	resp := newResponse[*kmsg.IncrementalAlterConfigsResponse](req)
	if len(replicated.Resources) > 0 || len(loggers) == 0 {
		resp = b.alterReplicated(ctx, &replicated)
	}
	for i := range loggers {
		r := kmsg.NewIncrementalAlterConfigsResponseResource()
		r.ResourceType, r.ResourceName = loggers[i].ResourceType, loggers[i].ResourceName
		if p := b.alterLoggers(&loggers[i], req.ValidateOnly); p != nil {
			r.ErrorCode, r.ErrorMessage = p.code.Code, &p.text
		}
		resp.Resources = append(resp.Resources, r)
	}
	return resp
}

func (b *Broker) alterReplicated(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
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
