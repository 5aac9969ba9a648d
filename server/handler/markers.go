package handler

import (
	"context"

	"balsa/server/cluster"
	"balsa/server/partition"
)

// Markers ends transactions in the partitions and coordinator shards that this node leads.
type Markers interface {
	// WriteMarkers writes markers and returns when the outcome of each is known, or ctx ends: nil when it is durable, also
	// when it was so before; else an error that is or wraps a *kerr.Error, in the order of the markers. Safe for concurrent
	// use.
	WriteMarkers(ctx context.Context, markers []TransactionMarker) []error
}

// TransactionMarker ends a producer's transaction in one partition, or with cluster.CoordinatorTopic in the offsets of the
// groups of one coordinator shard.
type TransactionMarker struct {
	Partition cluster.TopicPartition
	partition.Marker
}
