package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// describeClientQuotas answers DescribeClientQuotas from this node's image.
func (b *Broker) describeClientQuotas(_ context.Context, _ Client, req *kmsg.DescribeClientQuotasRequest) kmsg.Response {
	return cluster.DescribeClientQuotas(b.Metadata.Image(), req)
}
