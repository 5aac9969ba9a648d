package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createPartitions answers CreatePartitions.
func (b *Broker) createPartitions(ctx context.Context, _ Client, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	resp, err := control[*kmsg.CreatePartitionsResponse](ctx, b, req, req.TimeoutMillis)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.CreatePartitionsResponse](req)
	resp.Topics = make([]kmsg.CreatePartitionsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic = req.Topics[i].Topic
		t.ErrorCode, t.ErrorMessage = controlError(err)
		resp.Topics[i] = t
	}
	return resp
}
