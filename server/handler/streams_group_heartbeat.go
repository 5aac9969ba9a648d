package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamsGroupHeartbeat answers StreamsGroupHeartbeat as a Kafka cluster whose streams.version is 0: Kafka Streams uses consumer
// groups then (group.protocol=classic, its default).
func (b *Broker) streamsGroupHeartbeat(_ context.Context, _ Client, req *kmsg.StreamsGroupHeartbeatRequest) kmsg.Response {
	resp := newResponse[*kmsg.StreamsGroupHeartbeatResponse](req)
	resp.ErrorCode = kerr.UnsupportedVersion.Code
	resp.Status = []kmsg.StreamsGroupHeartbeatResponseStatus{}
	return resp
}
