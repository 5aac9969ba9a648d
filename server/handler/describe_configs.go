package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeConfigs answers DescribeConfigs from this node's image.
func (b *Broker) describeConfigs(_ context.Context, _ Client, req *kmsg.DescribeConfigsRequest) kmsg.Response {
	return b.Configs.DescribeConfigs(b.Metadata.Image(), req)
}
