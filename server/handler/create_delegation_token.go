package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// createDelegationToken answers CreateDelegationToken. As in Kafka, a client that is not authenticated gets no token:
// DELEGATION_TOKEN_REQUEST_NOT_ALLOWED, naming the owner that was asked for.
func (b *Broker) createDelegationToken(_ context.Context, _ Client, req *kmsg.CreateDelegationTokenRequest) kmsg.Response {
	resp := newResponse[*kmsg.CreateDelegationTokenResponse](req)
	resp.ErrorCode = kerr.DelegationTokenRequestNotAllowed.Code
	resp.PrincipalType, resp.PrincipalName = principalType, anonymous
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = principalType, anonymous
	if owner := req.OwnerPrincipalName; owner != nil && *owner != "" {
		resp.PrincipalName = *owner
		if kind := req.OwnerPrincipalType; kind != nil {
			resp.PrincipalType = *kind
		}
	}
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	return resp
}
