package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterPartitionReassignments answers AlterPartitionReassignments: it begins, changes and cancels reassignments. The leaders of the
// partitions carry them out.
func (b *Broker) alterPartitionReassignments(ctx context.Context, _ Client, req *kmsg.AlterPartitionAssignmentsRequest) kmsg.Response {
	resp, err := control[*kmsg.AlterPartitionAssignmentsResponse](ctx, b, req, req.TimeoutMillis)
	if err == nil {
		return resp
	}
	resp = newResponse[*kmsg.AlterPartitionAssignmentsResponse](req)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	resp.ErrorCode, resp.ErrorMessage = controlError(err)
	resp.Topics = make([]kmsg.AlterPartitionAssignmentsResponseTopic, len(req.Topics))
	for i, rt := range req.Topics {
		topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		topic.Topic = rt.Topic
		topic.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, len(rt.Partitions))
		for j, rp := range rt.Partitions {
			topic.Partitions[j] = kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			topic.Partitions[j].Partition = rp.Partition
			topic.Partitions[j].ErrorCode, topic.Partitions[j].ErrorMessage = resp.ErrorCode, resp.ErrorMessage
		}
		resp.Topics[i] = topic
	}
	return resp
}
