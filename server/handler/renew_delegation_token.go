package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// renewDelegationToken answers RenewDelegationToken; see createDelegationToken.
func (b *Broker) renewDelegationToken(_ context.Context, _ Client, req *kmsg.RenewDelegationTokenRequest) kmsg.Response {
	resp := newResponse[*kmsg.RenewDelegationTokenResponse](req)
	resp.ErrorCode, resp.ExpiryTimestamp = kerr.DelegationTokenRequestNotAllowed.Code, -1
	return resp
}
