package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/group"
	"balsa/server/txn"
)

// handleTransactional answers the requests of producers with a transactional id, and those about transactions.
func (h *Host) handleTransactional(ctx context.Context, client group.Client, req kmsg.Request) kmsg.Response {
	switch req := req.(type) {
	case *kmsg.InitProducerIDRequest:
		return h.initProducerID(ctx, req)
	case *kmsg.AddPartitionsToTxnRequest:
		return h.addPartitionsToTxn(ctx, req)
	case *kmsg.AddOffsetsToTxnRequest:
		return h.addOffsetsToTxn(ctx, req)
	case *kmsg.EndTxnRequest:
		return h.oneTransaction(ctx, req.TransactionalID, req)
	case *kmsg.ListTransactionsRequest:
		return h.listTransactions(ctx, req)
	case *kmsg.DescribeTransactionsRequest:
		return h.describeTransactions(ctx, req)
	}
	panic(fmt.Sprintf("not a request to a coordinator: %s of %s", kmsg.NameForKey(req.Key()), client.ID))
}

// initProducerID answers InitProducerId. It may need a producer id, and sees to it that there is one.
func (h *Host) initProducerID(ctx context.Context, req *kmsg.InitProducerIDRequest) kmsg.Response {
	if _, _, err := h.shardOf(*req.TransactionalID); err == nil {
		waiting, cancel := context.WithTimeout(ctx, h.config.CommitTimeout)
		h.config.ProducerIDs.Await(waiting)
		cancel()
	}
	return h.oneTransaction(ctx, *req.TransactionalID, req)
}

// oneTransaction answers a request about one transactional id.
func (h *Host) oneTransaction(ctx context.Context, id string, req kmsg.Request) kmsg.Response {
	c := newCall(req)
	if _, s, err := h.shardOf(id); err != nil {
		c.fail(err)
	} else {
		s.handleTransaction(c)
	}
	return c.wait(ctx, h.config.CommitTimeout)
}

// handleTransaction decides a request, or answers why this node does not.
func (s *shard) handleTransaction(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txn == nil {
		c.fail(s.whyNot())
		return
	}
	s.txn.Handle(time.Now(), c.req, c.reply)
	s.decided()
}

// completed takes the news that a transaction's markers are written, if the leader that asked for them still leads.
func (s *shard) completed(by *txn.Leader, transactionalID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.txn == by {
		by.Completed(time.Now(), transactionalID)
		s.decided()
	}
}

// listTransactions asks all shards that are led here, as listGroups does.
func (h *Host) listTransactions(ctx context.Context, req *kmsg.ListTransactionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ListTransactionsResponse)
	resp.TransactionStates = []kmsg.ListTransactionsResponseTransactionState{}
	for _, s := range h.all() {
		c := newCall(req)
		s.handleTransaction(c)
		part := c.wait(ctx, h.config.CommitTimeout).(*kmsg.ListTransactionsResponse)
		switch part.ErrorCode {
		case 0:
			resp.UnknownStateFilters = part.UnknownStateFilters // the same of every shard
			resp.TransactionStates = append(resp.TransactionStates, part.TransactionStates...)
		case kerr.NotCoordinator.Code:
		default:
			return part
		}
	}
	return resp
}

func (h *Host) describeTransactions(ctx context.Context, req *kmsg.DescribeTransactionsRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeTransactionsResponse)
	for _, id := range req.TransactionalIDs {
		one := *req
		one.TransactionalIDs = []string{id}
		part := h.oneTransaction(ctx, id, &one).(*kmsg.DescribeTransactionsResponse)
		resp.TransactionStates = append(resp.TransactionStates, part.TransactionStates...)
	}
	return resp
}

// addFenced is the first version of AddPartitionsToTxn and AddOffsetsToTxn whose clients know PRODUCER_FENCED.
const addFenced = 2

// addOffsetsToTxn answers AddOffsetsToTxn: the group's shard becomes a partition of the transaction.
func (h *Host) addOffsetsToTxn(ctx context.Context, req *kmsg.AddOffsetsToTxnRequest) kmsg.Response {
	shard := h.Shard(req.Group)
	if shard < 0 {
		return txn.ErrorResponse(req, kerr.CoordinatorNotAvailable)
	}
	errs := h.AddPartitions(ctx, AddPartitions{
		TransactionalID: req.TransactionalID, ProducerID: req.ProducerID, Epoch: req.ProducerEpoch,
		Partitions: []cluster.TopicPartition{{Topic: cluster.CoordinatorTopic, Partition: shard}},
		Metadata:   h.config.Image().Version,
	})
	resp := req.ResponseKind().(*kmsg.AddOffsetsToTxnResponse)
	resp.ErrorCode = addError(errs[0], req.Version)
	return resp
}

func addError(err *kerr.Error, version int16) int16 {
	switch {
	case err == nil:
		return 0
	case err == kerr.ProducerFenced && version < addFenced:
		return kerr.InvalidProducerEpoch.Code
	}
	return err.Code
}
