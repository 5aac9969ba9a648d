package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/txn"
)

// AddPartitions asks a transaction's coordinator to add partitions to it, or to check that they are in it.
type AddPartitions struct {
	TransactionalID string
	ProducerID      int64
	Epoch           int16
	Partitions      []cluster.TopicPartition
	VerifyOnly      bool
	Version         int8   // transaction version: see txn.AddPartitions
	Metadata        uint64 // Image.Version by which the partitions are known
}

// AddPartitions adds partitions to a producer's transaction, which begins with them if need be. It returns when that is
// durable, with an error or nil for each partition. The shard of the transactional id must be led here: NOT_COORDINATOR else.
func (h *Host) AddPartitions(ctx context.Context, req AddPartitions) []*kerr.Error {
	_, s, err := h.shardOf(req.TransactionalID)
	if err != nil {
		return repeated(err, len(req.Partitions))
	}
	partitions := make([]txn.Partition, len(req.Partitions))
	for i, p := range req.Partitions {
		partitions[i] = txn.Partition{Topic: p.Topic, Partition: p.Partition}
	}
	if req.VerifyOnly {
		return s.verifyPartitions(req, partitions)
	}
	outcome := make(chan *kerr.Error, 1)
	s.addPartitions(req, partitions, func(err *kerr.Error) { outcome <- err })
	late := time.NewTimer(h.config.CommitTimeout)
	defer late.Stop()
	select {
	case err = <-outcome:
	case <-late.C:
		err = kerr.CoordinatorNotAvailable
	case <-ctx.Done():
		err = kerr.CoordinatorNotAvailable
	}
	return repeated(err, len(req.Partitions))
}

func (s *shard) addPartitions(req AddPartitions, partitions []txn.Partition, reply func(*kerr.Error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txn == nil {
		reply(s.whyNot())
		return
	}
	s.txn.AddPartitions(time.Now(), txn.AddPartitions{
		TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, Epoch: req.Epoch, Partitions: partitions,
		Version: req.Version, Metadata: req.Metadata,
	}, reply)
	s.decided()
}

func (s *shard) verifyPartitions(req AddPartitions, partitions []txn.Partition) []*kerr.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txn == nil {
		return repeated(s.whyNot(), len(partitions))
	}
	errs, err := s.txn.VerifyPartitions(req.TransactionalID, req.ProducerID, req.Epoch, partitions)
	if err != nil {
		return repeated(err, len(partitions))
	}
	return errs
}

func repeated(err *kerr.Error, n int) []*kerr.Error {
	errs := make([]*kerr.Error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

const (
	// addBatched is the first version of AddPartitionsToTxn with several transactions, and with verification. Clients
	// of Kafka send earlier ones; its brokers send it to each other.
	addBatched = 4
	// addAbortable is the first version whose senders know TRANSACTION_ABORTABLE.
	addAbortable = 5
	// addVersion is the transaction version that senders of batched requests speak (KIP-890).
	addVersion = 2
)

// addPartitionsToTxn answers AddPartitionsToTxn.
func (h *Host) addPartitionsToTxn(ctx context.Context, req *kmsg.AddPartitionsToTxnRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if req.Version < addBatched {
		one := kmsg.NewAddPartitionsToTxnRequestTransaction()
		one.TransactionalID, one.ProducerID, one.ProducerEpoch = req.TransactionalID, req.ProducerID, req.ProducerEpoch
		for _, t := range req.Topics {
			topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
			topic.Topic, topic.Partitions = t.Topic, t.Partitions
			one.Topics = append(one.Topics, topic)
		}
		for _, t := range h.addToTransaction(ctx, one, req.Version) {
			topic := kmsg.NewAddPartitionsToTxnResponseTopic()
			topic.Topic = t.Topic
			for _, p := range t.Partitions {
				partition := kmsg.NewAddPartitionsToTxnResponseTopicPartition()
				partition.Partition, partition.ErrorCode = p.Partition, p.ErrorCode
				topic.Partitions = append(topic.Partitions, partition)
			}
			resp.Topics = append(resp.Topics, topic)
		}
		return resp
	}
	resp.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(req.Transactions))
	var wg sync.WaitGroup
	for i := range req.Transactions {
		rt, st := &req.Transactions[i], &resp.Transactions[i]
		*st = kmsg.NewAddPartitionsToTxnResponseTransaction()
		st.TransactionalID = rt.TransactionalID
		wg.Go(func() { st.Topics = h.addToTransaction(ctx, *rt, req.Version) })
	}
	wg.Wait()
	return resp
}

// addToTransaction adds one transaction's partitions, all or none: with one that does not exist, the others are answered
// OPERATION_NOT_ATTEMPTED.
func (h *Host) addToTransaction(
	ctx context.Context, rt kmsg.AddPartitionsToTxnRequestTransaction, version int16,
) []kmsg.AddPartitionsToTxnResponseTransactionTopic {
	image := h.config.Image()
	add := AddPartitions{
		TransactionalID: rt.TransactionalID, ProducerID: rt.ProducerID, Epoch: rt.ProducerEpoch,
		VerifyOnly: rt.VerifyOnly, Metadata: image.Version,
	}
	if version >= addBatched {
		add.Version = addVersion
	}
	var unknown []*kerr.Error
	missing := false
	for _, t := range rt.Topics {
		for _, p := range t.Partitions {
			tp, ok := namedPartition(image, t.Topic, p)
			err := kerr.OperationNotAttempted
			switch {
			case !ok:
				err, missing = kerr.UnknownTopicOrPartition, true
			case tp.Topic == cluster.CoordinatorTopic:
				err, missing = kerr.InvalidTopicException, true // AddOffsetsToTxn adds those
			}
			add.Partitions, unknown = append(add.Partitions, tp), append(unknown, err)
		}
	}
	errs := unknown
	if !missing {
		errs = h.AddPartitions(ctx, add)
	}
	topics := make([]kmsg.AddPartitionsToTxnResponseTransactionTopic, 0, len(rt.Topics))
	for _, t := range rt.Topics {
		topic := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
			partition.Partition, partition.ErrorCode = p, addError(verifyOnlyError(errs[0], version), version)
			topic.Partitions, errs = append(topic.Partitions, partition), errs[1:]
		}
		topics = append(topics, topic)
	}
	return topics
}

func verifyOnlyError(err *kerr.Error, version int16) *kerr.Error {
	if err == kerr.TransactionAbortable && version < addAbortable {
		return kerr.InvalidTxnState
	}
	return err
}

// namedPartition finds a partition by its topic's name.
func namedPartition(image *cluster.Image, topic string, partition int32) (cluster.TopicPartition, bool) {
	t := image.TopicsByName[topic]
	if t == nil || partition < 0 || int(partition) >= len(t.Partitions) {
		return cluster.TopicPartition{}, false
	}
	return cluster.TopicPartition{Topic: t.ID, Partition: partition}, true
}
