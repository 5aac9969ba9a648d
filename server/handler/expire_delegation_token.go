package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// expireDelegationToken answers ExpireDelegationToken; see createDelegationToken.
func (b *Broker) expireDelegationToken(_ context.Context, _ Client, req *kmsg.ExpireDelegationTokenRequest) kmsg.Response {
	resp := newResponse[*kmsg.ExpireDelegationTokenResponse](req)
	resp.ErrorCode, resp.ExpiryTimestamp = kerr.DelegationTokenRequestNotAllowed.Code, -1
	return resp
}
