package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteACLs answers DeleteAcls: without an authorizer each filter is refused.
func (b *Broker) deleteACLs(_ context.Context, _ Client, req *kmsg.DeleteACLsRequest) kmsg.Response {
	resp := newResponse[*kmsg.DeleteACLsResponse](req)
	resp.Results = make([]kmsg.DeleteACLsResponseResult, len(req.Filters))
	for i := range resp.Results {
		r := kmsg.NewDeleteACLsResponseResult()
		r.ErrorCode, r.ErrorMessage = kerr.SecurityDisabled.Code, kmsg.StringPtr(noAuthorizer)
		resp.Results[i] = r
	}
	return resp
}
