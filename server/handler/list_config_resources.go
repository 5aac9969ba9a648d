package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// listConfigResources answers ListConfigResources from this node's image.
func (b *Broker) listConfigResources(_ context.Context, _ Client, req *kmsg.ListConfigResourcesRequest) kmsg.Response {
	return cluster.ListConfigResources(b.Metadata.Image(), req)
}
