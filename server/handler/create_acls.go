package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// noAuthorizer is what changes of ACLs are answered with.
const noAuthorizer = "No Authorizer is configured."

// createACLs answers CreateAcls: without an authorizer each is refused.
func (b *Broker) createACLs(_ context.Context, _ Client, req *kmsg.CreateACLsRequest) kmsg.Response {
	resp := newResponse[*kmsg.CreateACLsResponse](req)
	resp.Results = make([]kmsg.CreateACLsResponseResult, len(req.Creations))
	for i := range resp.Results {
		r := kmsg.NewCreateACLsResponseResult()
		r.ErrorCode, r.ErrorMessage = kerr.SecurityDisabled.Code, kmsg.StringPtr(noAuthorizer)
		resp.Results[i] = r
	}
	return resp
}
