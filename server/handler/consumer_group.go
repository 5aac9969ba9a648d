package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/server/cluster"
	"balsa/server/group"
)

// consumerGroup hands the requests of the consumer protocol (KIP-848) to the coordinator of their group, if the cluster has
// finalized group.version.
func (b *Broker) consumerGroup(ctx context.Context, r *Request) Reply {
	if b.Metadata.Image().Feature(cluster.FeatureGroup) < 1 {
		return Reply{Message: group.ErrorResponse(r.Body, kerr.UnsupportedVersion)}
	}
	return b.coordinate(ctx, r)
}
