package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// strictDeleteTopics is the first version of DeleteTopics that may be refused because of a quota.
const strictDeleteTopics = 5

// deleteTopics answers DeleteTopics.
func (b *Broker) deleteTopics(ctx context.Context, client Client, req *kmsg.DeleteTopicsRequest) kmsg.Response {
	m := b.mutations(client, req.Version >= strictDeleteTopics, false)
	img := b.Metadata.Image()
	limited := *req
	limited.TopicNames, limited.Topics = nil, nil
	var refused []kmsg.DeleteTopicsResponseTopic
	refuse := func(name *string, id cluster.TopicID) {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID = name, id
		t.ErrorCode, t.ErrorMessage = overQuota()
		refused = append(refused, t)
	}
	for i, name := range req.TopicNames {
		if m.admit(deletedPartitions(img, &name, cluster.TopicID{})) {
			limited.TopicNames = append(limited.TopicNames, name)
		} else {
			refuse(&req.TopicNames[i], cluster.TopicID{})
		}
	}
	for _, t := range req.Topics {
		if m.admit(deletedPartitions(img, t.Topic, t.TopicID)) {
			limited.Topics = append(limited.Topics, t)
		} else {
			refuse(t.Topic, t.TopicID)
		}
	}
	resp := b.deleteAdmitted(ctx, &limited)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.ErrorCode != 0 {
			m.giveBack(deletedPartitions(img, t.Topic, t.TopicID))
		}
	}
	resp.Topics = append(resp.Topics, refused...)
	resp.ThrottleMillis = m.throttle(resp.ThrottleMillis)
	return resp
}

// deletedPartitions returns how many partitions go with a topic, which is named or identified.
func deletedPartitions(img *cluster.Image, name *string, id cluster.TopicID) int {
	t := img.TopicByClientID(id)
	if name != nil {
		t = img.TopicsByName[*name]
	}
	if t == nil {
		return 0
	}
	return len(t.Partitions)
}

func (b *Broker) deleteAdmitted(ctx context.Context, req *kmsg.DeleteTopicsRequest) *kmsg.DeleteTopicsResponse {
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
