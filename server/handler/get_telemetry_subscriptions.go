package handler

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Client telemetry (KIP-714). The broker has no receiver for clients' metrics, so it subscribes to none of them, which tells
// clients to push nothing and to ask again after the interval. Both APIs are served because clients ask before they look.
const (
	telemetryInterval = 300_000 // ms; Kafka's default
	telemetryMaxBytes = 1 << 20 // telemetry.max.bytes
)

// telemetryCodecs are the compressions that may be used for a push, the preferred first: zstd, lz4, gzip, snappy.
func telemetryCodecs() []int8 { return []int8{4, 3, 1, 2} }

// getTelemetrySubscriptions answers GetTelemetrySubscriptions. A client that has no instance id yet gets one.
func (b *Broker) getTelemetrySubscriptions(_ context.Context, _ Client, req *kmsg.GetTelemetrySubscriptionsRequest) kmsg.Response {
	resp := newResponse[*kmsg.GetTelemetrySubscriptionsResponse](req)
	resp.ClientInstanceID = req.ClientInstanceID
	if noInstance(resp.ClientInstanceID) {
		if _, err := rand.Read(resp.ClientInstanceID[:]); err != nil {
			resp.ErrorCode = kerr.UnknownServerError.Code
			return resp
		}
		resp.ClientInstanceID[6] = resp.ClientInstanceID[6]&0x0f | 0x40 // UUID version 4
		resp.ClientInstanceID[8] = resp.ClientInstanceID[8]&0x3f | 0x80
	}
	resp.SubscriptionID = telemetrySubscription(resp.ClientInstanceID)
	resp.AcceptedCompressionTypes = telemetryCodecs()
	resp.PushIntervalMillis, resp.TelemetryMaxBytes, resp.DeltaTemporality = telemetryInterval, telemetryMaxBytes, true
	return resp
}

// noInstance says whether an instance id is one of the two reserved UUIDs, which stand for none.
func noInstance(id [16]byte) bool { return id == [16]byte{} || id == [16]byte{15: 1} }

// telemetrySubscription returns the id of a client's subscription as Kafka computes it from what is subscribed to (nothing,
// at the interval) and from the client's instance id: every broker finds the same without remembering anything.
func telemetrySubscription(id [16]byte) int32 {
	sum := crc32.Checksum(fmt.Appendf(nil, "[]%d", telemetryInterval), crc32.MakeTable(crc32.Castagnoli))
	halves := binary.BigEndian.Uint64(id[:8]) ^ binary.BigEndian.Uint64(id[8:])
	return int32(sum ^ uint32(halves>>32) ^ uint32(halves))
}
