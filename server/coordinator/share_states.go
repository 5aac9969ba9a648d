package coordinator

import (
	"context"

	"balsa/server/cluster"
	"balsa/server/share"
)

// ShareStates reaches the share partitions of groups, which are kept by the leaders of the topics' partitions, on whatever
// node those are. The methods block until each partition has answered or ctx ends, and may be called concurrently. They
// return one result a partition, in the order of what was asked. An error wraps a *kerr.Error, which clients are told, or is ctx's;
// UNKNOWN_TOPIC_OR_PARTITION and UNKNOWN_TOPIC_ID mean that the partition is gone for good. All changes are idempotent, and durable
// when they are answered without error. What has failed is asked for again. epoch orders the changes: one that arrives after a later one
// about the group has no effect, and is answered FENCED_STATE_EPOCH.
type ShareStates interface {
	// Initialize gives a group a share partition where it has none, which starts as share.auto.offset.reset of the group says.
	Initialize(ctx context.Context, group string, epoch share.Epoch, partitions []cluster.TopicPartition) []error
	// Delete takes a group's share partitions away. One that is not there is no error, nor is a partition that is gone.
	Delete(ctx context.Context, group string, epoch share.Epoch, partitions []cluster.TopicPartition) []error
	// Alter sets where a group's share partitions start, with everything forgotten that the group knew of them. One that is not there
	// is made.
	Alter(ctx context.Context, group string, epoch share.Epoch, starts []ShareStart) []error
	// Describe returns where a group's share partitions are, and with decided also which records have been decided out of order.
	Describe(ctx context.Context, group string, decided bool, partitions []cluster.TopicPartition) []ShareState
}

// MaxDecidedRanges bounds what is told of one share partition.
const MaxDecidedRanges = 10_000

// ShareStart is where a share partition is to start.
type ShareStart struct {
	cluster.TopicPartition

	Offset int64 // -1: the end of the partition, -2: its beginning
}

// ShareState is what is known of a group's share partition.
type ShareState struct {
	Start         int64 // the share-partition start offset; -1 when the group has no share partition there
	LeaderEpoch   int32
	Lag           int64 // records that are still to be acknowledged; -1 when that is unknown
	InFlight      int64 // records that are acquired
	Delayed       int64 // records that are not to be delivered yet
	DeadLettering int64 // records that are given up, and on their way to the dead-letter topic
	// Decided is which records after Start nobody gets any more: the first MaxDecidedRanges ranges.
	Decided []share.Range
	Err     error
}
