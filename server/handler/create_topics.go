package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createTopics answers CreateTopics.
func (b *Broker) createTopics(ctx context.Context, _ Client, req *kmsg.CreateTopicsRequest) kmsg.Response {
	resp, err := control[*kmsg.CreateTopicsResponse](ctx, b, req, req.TimeoutMillis)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.CreateTopicsResponse](req)
	resp.Topics = make([]kmsg.CreateTopicsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = req.Topics[i].Topic, -1, -1
		t.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // never null: the Java client throws
		t.ErrorCode, t.ErrorMessage = controlError(err)
		resp.Topics[i] = t
	}
	return resp
}
