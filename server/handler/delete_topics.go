package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteTopics answers DeleteTopics.
func (b *Broker) deleteTopics(ctx context.Context, _ Client, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	resp, err := control[*kmsg.DeleteTopicsResponse](ctx, b, req, req.TimeoutMillis)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.DeleteTopicsResponse](req)
	resp.Topics = make([]kmsg.DeleteTopicsResponseTopic, 0, len(req.TopicNames)+len(req.Topics))
	failed := kmsg.NewDeleteTopicsResponseTopic()
	failed.ErrorCode, failed.ErrorMessage = controlError(err)
	for i := range req.TopicNames {
		failed.Topic = &req.TopicNames[i]
		resp.Topics = append(resp.Topics, failed)
	}
	for _, t := range req.Topics {
		failed.Topic, failed.TopicID = t.Topic, t.TopicID
		resp.Topics = append(resp.Topics, failed)
	}
	return resp
}
