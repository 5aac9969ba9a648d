package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/group"
)

// shareGroup hands the requests about share groups (KIP-932) to the coordinator of their group, if the cluster has finalized
// share.version.
func (b *Broker) shareGroup(ctx context.Context, r *Request) Reply {
	if b.Metadata.Image().Feature(cluster.FeatureShare) < 1 {
		return Reply{Message: group.ErrorResponse(r.Body, kerr.UnsupportedVersion)}
	}
	if req, ok := r.Body.(*kmsg.ShareGroupHeartbeatRequest); ok && !isShareMember(req.MemberID) {
		resp := req.ResponseKind().(*kmsg.ShareGroupHeartbeatResponse)
		resp.ErrorCode, resp.ErrorMessage = kerr.InvalidRequest.Code, kmsg.StringPtr("Invalid member id in the request.")
		return Reply{Message: resp}
	}
	return b.coordinate(ctx, r)
}
