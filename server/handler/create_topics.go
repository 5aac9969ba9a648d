package handler

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// strictCreateTopics is the first version of CreateTopics that may be refused because of a quota.
const strictCreateTopics = 6

// createTopics answers CreateTopics.
func (b *Broker) createTopics(ctx context.Context, client Client, req *kmsg.CreateTopicsRequest) kmsg.Response {
	m := b.mutations(client, req.Version >= strictCreateTopics, req.ValidateOnly)
	var refused []kmsg.CreateTopicsRequestTopic
	size := make(map[string]int, len(req.Topics))
	admitted := req.Topics[:0:0]
	for _, t := range req.Topics {
		size[t.Topic] = b.newPartitions(&t)
		if m.admit(size[t.Topic]) {
			admitted = append(admitted, t)
		} else {
			refused = append(refused, t)
		}
	}
	if len(refused) > 0 {
		limited := *req
		limited.Topics = admitted
		req = &limited
	}
	resp := b.createAdmitted(ctx, req)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.ErrorCode != 0 {
			m.giveBack(size[t.Topic])
		}
	}
	for i := range refused {
		code, message := overQuota()
		resp.Topics = append(resp.Topics, notCreated(refused[i].Topic, code, message))
	}
	resp.ThrottleMillis = m.throttle(resp.ThrottleMillis)
	return resp
}

func (b *Broker) createAdmitted(ctx context.Context, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	resp, err := control[*kmsg.CreateTopicsResponse](ctx, b, req, req.TimeoutMillis)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.CreateTopicsResponse](req)
	code, message := controlError(err)
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, notCreated(req.Topics[i].Topic, code, message))
	}
	return resp
}

func notCreated(topic string, code int16, message *string) kmsg.CreateTopicsResponseTopic {
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, -1, -1
	t.Configs = []kmsg.CreateTopicsResponseTopicConfig{} // never null: the Java client throws
	t.ErrorCode, t.ErrorMessage = code, message
	return t
}

// newPartitions returns how many partitions a topic is going to have.
func (b *Broker) newPartitions(t *kmsg.CreateTopicsRequestTopic) int {
	switch {
	case len(t.ReplicaAssignment) > 0:
		return len(t.ReplicaAssignment)
	case t.NumPartitions > 0:
		return int(t.NumPartitions)
	case b.Configs == nil:
		return 1
	}
	n, err := strconv.Atoi(b.Configs.BrokerValue(b.Metadata.Image(), "num.partitions"))
	if err != nil {
		return 1
	}
	return n
}
