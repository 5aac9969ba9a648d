package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// listPartitionReassignments answers ListPartitionReassignments from this broker's image. What is named and does not exist is left
// out, as in Kafka.
func (b *Broker) listPartitionReassignments(_ context.Context, _ Client, req *kmsg.ListPartitionReassignmentsRequest) kmsg.Response {
	resp := newResponse[*kmsg.ListPartitionReassignmentsResponse](req)
	resp.Topics = []kmsg.ListPartitionReassignmentsResponseTopic{}
	img := b.Metadata.Image()
	if req.Topics == nil {
		for _, t := range img.SortedTopics() {
			resp.Topics = appendReassignments(resp.Topics, t, everyPartition(t))
		}
		return resp
	}
	for _, rt := range req.Topics {
		if t := img.TopicsByName[rt.Topic]; t != nil {
			resp.Topics = appendReassignments(resp.Topics, t, rt.Partitions)
		}
	}
	return resp
}

func everyPartition(t *cluster.Topic) []int32 {
	numbers := make([]int32, len(t.Partitions))
	for i := range numbers {
		numbers[i] = int32(i)
	}
	return numbers
}

// appendReassignments adds those of some partitions of a topic that are being reassigned.
func appendReassignments(
	topics []kmsg.ListPartitionReassignmentsResponseTopic, t *cluster.Topic, partitions []int32,
) []kmsg.ListPartitionReassignmentsResponseTopic {
	answer := kmsg.NewListPartitionReassignmentsResponseTopic()
	answer.Topic = t.Name
	for _, number := range partitions {
		if number < 0 || int(number) >= len(t.Partitions) {
			continue
		}
		if p := t.Partitions[number]; !p.Settled() {
			moving := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			moving.Partition = number
			moving.Replicas, moving.AddingReplicas, moving.RemovingReplicas = brokerIDs(p.Replicas), brokerIDs(p.Adding), brokerIDs(p.Removing)
			answer.Partitions = append(answer.Partitions, moving)
		}
	}
	if len(answer.Partitions) == 0 {
		return topics
	}
	return append(topics, answer)
}

// brokerIDs returns ids as the protocol has them; never null.
func brokerIDs(ids []raft.NodeID) []int32 {
	numbers := make([]int32, len(ids))
	for i, id := range ids {
		numbers[i] = int32(id)
	}
	return numbers
}
