package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeConfigs answers DescribeConfigs from this node's image, and of its loggers from what they are.
func (b *Broker) describeConfigs(_ context.Context, _ Client, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	resp := b.Configs.DescribeConfigs(b.Metadata.Image(), req)
	for i := range req.Resources {
		if req.Resources[i].ResourceType == kmsg.ConfigResourceTypeBrokerLogger {
			resp.Resources[i] = b.describeLoggers(&req.Resources[i])
		}
	}
	return resp
}
