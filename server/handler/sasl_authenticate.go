package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslAuthenticate answers SaslAuthenticate: without SASL, a connection is authenticated (as ANONYMOUS) from its beginning.
func (b *Broker) saslAuthenticate(_ context.Context, _ Client, req *kmsg.SASLAuthenticateRequest) kmsg.Response {
	resp := newResponse[*kmsg.SASLAuthenticateResponse](req)
	resp.ErrorCode = kerr.IllegalSaslState.Code
	resp.ErrorMessage = kmsg.StringPtr("SaslAuthenticate request received after successful authentication")
	return resp
}
