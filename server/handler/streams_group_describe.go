package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamsGroupDescribe answers StreamsGroupDescribe; see streamsGroupHeartbeat.
func (b *Broker) streamsGroupDescribe(_ context.Context, _ Client, req *kmsg.StreamsGroupDescribeRequest) kmsg.Response {
	resp := newResponse[*kmsg.StreamsGroupDescribeResponse](req)
	resp.Groups = make([]kmsg.StreamsGroupDescribeResponseGroup, len(req.Groups))
	for i, name := range req.Groups {
		g := kmsg.NewStreamsGroupDescribeResponseGroup()
		g.Group, g.ErrorCode = name, kerr.UnsupportedVersion.Code
		resp.Groups[i] = g
	}
	return resp
}
