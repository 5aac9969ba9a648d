package handler

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// maxDescribedPartitions bounds one answer of DescribeTopicPartitions (max.request.partition.size.limit).
const maxDescribedPartitions = 2000

// describeTopicPartitions answers DescribeTopicPartitions (KIP-966): topics in the order of their names, at most so many partitions at
// a time, and where to go on. There are no eligible leader replicas, because Raft needs none.
func (b *Broker) describeTopicPartitions(_ context.Context, _ Client, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	resp := newResponse[*kmsg.DescribeTopicPartitionsResponse](req)
	resp.Topics = []kmsg.DescribeTopicPartitionsResponseTopic{}
	img := b.Metadata.Image()
	names := describedNames(img, req)
	if c := req.Cursor; c != nil {
		if !reachable(req, names) {
			for _, name := range names {
				resp.Topics = append(resp.Topics, noTopic(name, kerr.InvalidRequest, operationsOmitted))
			}
			return resp
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name < c.Topic })
	}
	left := int(max(1, min(req.ResponsePartitionLimit, maxDescribedPartitions)))
	for _, name := range names {
		first := int32(0)
		if req.Cursor != nil && req.Cursor.Topic == name {
			first = req.Cursor.Partition
		}
		t := img.TopicsByName[name]
		if t == nil {
			// Only those that were asked for can be missing, and they take no room.
			resp.Topics = append(resp.Topics, noTopic(name, missing(name), topicOperations))
			continue
		}
		if left == 0 {
			resp.NextCursor = cursor(name, 0)
			break
		}
		described, end := b.describedTopic(img, t, first, left)
		resp.Topics = append(resp.Topics, described)
		left -= len(described.Partitions)
		if int(end) < len(t.Partitions) {
			resp.NextCursor = cursor(name, end)
			break
		}
	}
	return resp
}

// describedNames returns the names of the topics that are asked for, in order and each once: of all when none is named.
func describedNames(img *cluster.Image, req *kmsg.DescribeTopicPartitionsRequest) []string {
	var names []string
	for _, t := range req.Topics {
		names = append(names, t.Topic)
	}
	if len(req.Topics) == 0 {
		for _, t := range img.SortedTopics() {
			names = append(names, t.Name)
		}
	}
	slices.SortFunc(names, strings.Compare)
	return slices.Compact(names)
}

// reachable says whether a cursor is within what the request asks for.
func reachable(req *kmsg.DescribeTopicPartitionsRequest, names []string) bool {
	if req.Cursor.Partition < 0 {
		return false
	}
	return len(req.Topics) == 0 || slices.Contains(names, req.Cursor.Topic)
}

func cursor(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

func missing(name string) *kerr.Error {
	if cluster.ValidateTopicName(name) != nil {
		return kerr.InvalidTopicException
	}
	return kerr.UnknownTopicOrPartition
}

func noTopic(name string, err *kerr.Error, operations int32) kmsg.DescribeTopicPartitionsResponseTopic {
	answer := kmsg.NewDescribeTopicPartitionsResponseTopic()
	answer.Topic, answer.ErrorCode = &name, err.Code
	answer.Partitions, answer.AuthorizedOperations = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}, operations
	return answer
}

// describedTopic describes up to `most` partitions of a topic from first on, and returns the number of the one after.
func (b *Broker) describedTopic(
	img *cluster.Image, t *cluster.Topic, first int32, most int,
) (answer kmsg.DescribeTopicPartitionsResponseTopic, end int32) {
	answer = kmsg.NewDescribeTopicPartitionsResponseTopic()
	answer.Topic, answer.TopicID, answer.IsInternal, answer.AuthorizedOperations = &t.Name, t.ClientID(), t.Internal(), topicOperations
	first = min(first, int32(len(t.Partitions)))
	end = int32(min(len(t.Partitions), int(first)+most))
	answer.Partitions = make([]kmsg.DescribeTopicPartitionsResponseTopicPartition, 0, end-first)
	for number := first; number < end; number++ {
		leader := b.Metadata.Leader(t.ID, number)
		p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		p.Partition, p.LeaderID, p.LeaderEpoch = number, int32(leader.Leader), int32(leader.Epoch)
		p.Replicas, p.ISR, p.OfflineReplicas = b.replicaStates(t, number, leader.Leader)
		p.EligibleLeaderReplicas, p.LastKnownELR = []int32{}, []int32{} // never null: the Java client throws
		if _, registered := img.Brokers[leader.Leader]; !registered || !b.Metadata.Alive(leader.Leader) {
			p.ErrorCode, p.LeaderID = kerr.LeaderNotAvailable.Code, int32(raft.NoNode)
		}
		answer.Partitions = append(answer.Partitions, p)
	}
	return answer, end
}
