package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslHandshake answers SaslHandshake. On a listener without SASL there is nothing to shake hands about, and clients that
// were configured for it learn so: ILLEGAL_SASL_STATE, with no mechanisms, as in Kafka.
func (b *Broker) saslHandshake(_ context.Context, _ Client, req *kmsg.SASLHandshakeRequest) kmsg.Response {
	resp := newResponse[*kmsg.SASLHandshakeResponse](req)
	resp.ErrorCode = kerr.IllegalSaslState.Code
	return resp
}
