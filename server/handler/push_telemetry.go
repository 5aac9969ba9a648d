package handler

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// pushTelemetry answers PushTelemetry. What a client pushes without having been asked to is dropped; see
// getTelemetrySubscriptions.
func (b *Broker) pushTelemetry(_ context.Context, _ Client, req *kmsg.PushTelemetryRequest) kmsg.Response {
	resp := newResponse[*kmsg.PushTelemetryResponse](req)
	switch {
	case noInstance(req.ClientInstanceID):
		resp.ErrorCode = kerr.InvalidRequest.Code
	case req.SubscriptionID != telemetrySubscription(req.ClientInstanceID):
		resp.ErrorCode = kerr.UnknownSubscriptionID.Code
	case req.CompressionType != 0 && !slices.Contains(telemetryCodecs(), req.CompressionType):
		resp.ErrorCode = kerr.UnsupportedCompressionType.Code
	case len(req.Metrics) > telemetryMaxBytes:
		resp.ErrorCode = kerr.TelemetryTooLarge.Code
	}
	return resp
}
