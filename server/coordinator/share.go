package coordinator

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/group"
)

// handleShare answers the requests about share groups.
func (h *Host) handleShare(ctx context.Context, client group.Client, req kmsg.Request) kmsg.Response {
	if h.config.Shares == nil {
		return newCall(req).errorResponse(kerr.UnsupportedVersion)
	}
	switch req := req.(type) {
	case *kmsg.ShareGroupHeartbeatRequest:
		return h.one(ctx, client, req.GroupID, req)
	case *kmsg.ShareGroupDescribeRequest:
		return h.describeShareGroups(ctx, client, req)
	case *kmsg.DescribeShareGroupOffsetsRequest:
		return h.describeShareOffsets(ctx, client, req)
	case *kmsg.AlterShareGroupOffsetsRequest:
		return h.one(ctx, client, req.GroupID, req)
	case *kmsg.DeleteShareGroupOffsetsRequest:
		return h.one(ctx, client, req.GroupID, req)
	}
	panic(fmt.Sprintf("not a request about share groups: %s", kmsg.NameForKey(req.Key())))
}
