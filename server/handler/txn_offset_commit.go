package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
)

// txnCommitImplicit is the first version of TxnOffsetCommit that makes the group a part of the transaction itself, without an
// AddOffsetsToTxn before it (KIP-890).
const txnCommitImplicit = 5

// txnOffsetCommit answers TxnOffsetCommit. The group's shard takes part in the transaction like a partition does.
func (b *Broker) txnOffsetCommit(ctx context.Context, client Client, req *kmsg.TxnOffsetCommitRequest) kmsg.Response {
	verify := func(ctx context.Context, shard int32) error {
		if b.Transactions == nil {
			return kerr.CoordinatorNotAvailable
		}
		part := []cluster.TopicPartition{{Topic: cluster.CoordinatorTopic, Partition: shard}}
		return b.Transactions.AddPartitions(ctx, req.TransactionalID, req.ProducerID, req.ProducerEpoch, part,
			req.Version < txnCommitImplicit)[0]
	}
	return b.Coordinator.CommitTransactional(ctx, client, req, verify)
}
