package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeDelegationToken answers DescribeDelegationToken; see createDelegationToken.
func (b *Broker) describeDelegationToken(_ context.Context, _ Client, req *kmsg.DescribeDelegationTokenRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeDelegationTokenResponse](req)
	resp.ErrorCode = kerr.DelegationTokenRequestNotAllowed.Code
	return resp
}
