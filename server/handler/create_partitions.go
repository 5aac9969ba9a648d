package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// strictCreatePartitions is the first version of CreatePartitions that may be refused because of a quota.
const strictCreatePartitions = 3

// createPartitions answers CreatePartitions.
func (b *Broker) createPartitions(ctx context.Context, client Client, req *kmsg.CreatePartitionsRequest) kmsg.Response {
	m := b.mutations(client, req.Version >= strictCreatePartitions, req.ValidateOnly)
	img := b.Metadata.Image()
	var refused []string
	more := make(map[string]int, len(req.Topics))
	admitted := req.Topics[:0:0]
	for _, t := range req.Topics {
		if known := img.TopicsByName[t.Topic]; known != nil {
			more[t.Topic] = max(int(t.Count)-len(known.Partitions), 0)
		}
		if m.admit(more[t.Topic]) {
			admitted = append(admitted, t)
		} else {
			refused = append(refused, t.Topic)
		}
	}
	if len(refused) > 0 {
		limited := *req
		limited.Topics = admitted
		req = &limited
	}
	resp := b.createAdmittedPartitions(ctx, req)
	for i := range resp.Topics {
		if t := &resp.Topics[i]; t.ErrorCode != 0 {
			m.giveBack(more[t.Topic])
		}
	}
	for _, name := range refused {
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic = name
		t.ErrorCode, t.ErrorMessage = overQuota()
		resp.Topics = append(resp.Topics, t)
	}
	resp.ThrottleMillis = m.throttle(resp.ThrottleMillis)
	return resp
}

func (b *Broker) createAdmittedPartitions(ctx context.Context, req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
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
