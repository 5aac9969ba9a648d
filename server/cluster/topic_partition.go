package cluster

import (
	"cmp"
	"fmt"

	"balsa/raft"
)

// TopicPartition names a partition by its topic's UUID, so that a topic which was deleted and created again under the same
// name is another one. With CoordinatorTopic it names a coordinator shard.
type TopicPartition struct {
	Topic     TopicID
	Partition int32
}

// Group returns the Raft group that replicates the partition.
func (tp TopicPartition) Group() raft.GroupID {
	return raft.GroupID{Topic: tp.Topic, Partition: tp.Partition}
}

// String returns the topic's UUID and the partition, for messages to people.
func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// Compare orders by topic, then by partition.
func (tp TopicPartition) Compare(other TopicPartition) int {
	return cmp.Or(tp.Topic.Compare(other.Topic), cmp.Compare(tp.Partition, other.Partition))
}
