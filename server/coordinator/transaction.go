package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/group"
)

// CommitTransactional implements handler.Coordinator.
func (h *Host) CommitTransactional(
	ctx context.Context, client group.Client, req *kmsg.TxnOffsetCommitRequest, verify func(ctx context.Context, shard int32) error,
) kmsg.Response {
	c := newCall(req)
	if req.Group == "" {
		return c.errorResponse(kerr.InvalidGroupID)
	}
	id, s, err := h.shardOf(req.Group)
	if err != nil {
		return c.errorResponse(err)
	}
	v, err := s.beginVerification(req.ProducerID, req.ProducerEpoch)
	if err != nil {
		return c.errorResponse(err)
	}
	if !v.known {
		if err := verify(ctx, id); err != nil {
			s.abandonVerification(v)
			return c.errorResponse(verifyError(err, req.Version))
		}
	}
	s.commitTransactional(v, req, c)
	return c.wait(ctx, h.config.CommitTimeout)
}

const (
	// commitAbortable is the first version of TxnOffsetCommit whose clients know TRANSACTION_ABORTABLE.
	commitAbortable = 4
	// commitImplicit is the first version that adds the group to the transaction itself (KIP-890). Its clients come back
	// after CONCURRENT_TRANSACTIONS.
	commitImplicit = 5
)

// verifyError maps what the transaction's coordinator says to what a group's coordinator may answer.
func verifyError(err error, version int16) *kerr.Error {
	var known *kerr.Error
	if !errors.As(err, &known) {
		return kerr.CoordinatorNotAvailable
	}
	switch known {
	case kerr.TransactionAbortable:
		if version < commitAbortable {
			return kerr.InvalidTxnState
		}
	case kerr.ProducerFenced:
		// As from a partition: what fences here is the epoch.
		return kerr.InvalidProducerEpoch
	case kerr.ConcurrentTransactions:
		if version < commitImplicit {
			return kerr.CoordinatorNotAvailable
		}
	case kerr.NotCoordinator, kerr.CoordinatorLoadInProgress:
		// The group's coordinator is the right one: the client has no other to look for.
		return kerr.CoordinatorNotAvailable
	}
	return known
}

// EndTransaction makes the offsets that a producer's transaction committed in a shard real, or drops them. It returns
// when that is durable; a transaction that has ended already is no error. Errors are or wrap NOT_COORDINATOR or
// COORDINATOR_LOAD_IN_PROGRESS while this node does not coordinate the shard, COORDINATOR_NOT_AVAILABLE after
// offsets.commit.timeout.ms or when ctx ends (the outcome is unknown: repeat it), and for good INVALID_PRODUCER_EPOCH and
// TRANSACTION_COORDINATOR_FENCED.
func (h *Host) EndTransaction(ctx context.Context, shard int32, m group.Marker) error {
	if err := h.endTransaction(ctx, shard, m); err != nil {
		return fmt.Errorf("end the transaction of producer %d in coordinator shard %d: %w", m.ProducerID, shard, err)
	}
	return nil
}

func (h *Host) endTransaction(ctx context.Context, shard int32, m group.Marker) error {
	h.mu.Lock()
	s := h.shards[shard]
	h.mu.Unlock()
	if s == nil {
		return kerr.NotCoordinator
	}
	outcome := make(chan *kerr.Error, 1)
	s.endTransaction(m, func(err *kerr.Error) { outcome <- err })
	late := time.NewTimer(h.config.CommitTimeout)
	defer late.Stop()
	select {
	case err := <-outcome:
		if err != nil {
			return err
		}
		return nil
	case <-late.C:
		return kerr.CoordinatorNotAvailable
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", kerr.CoordinatorNotAvailable, ctx.Err())
	}
}

// verification is a group.Verification with the leader that it belongs to.
type verification struct {
	*group.Verification
	leader *group.Leader
	known  bool
}

func (s *shard) beginVerification(producerID int64, epoch int16) (verification, *kerr.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return verification{}, s.whyNot()
	}
	v, known := s.leader.BeginVerification(producerID, epoch)
	return verification{v, s.leader, known}, nil
}

func (s *shard) abandonVerification(v verification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == v.leader {
		s.leader.AbandonVerification(v.Verification)
	}
}

// commitTransactional decides a commit that was verified, if the leader is still the one that knows of every end since.
func (s *shard) commitTransactional(v verification, req *kmsg.TxnOffsetCommitRequest, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.leader {
	case nil:
		c.fail(s.whyNot())
	case v.leader:
		s.leader.CommitTransactional(time.Now(), v.Verification, req, c.reply)
		s.decided()
	default:
		c.fail(kerr.CoordinatorLoadInProgress) // led here again: to be verified again
	}
}

func (s *shard) endTransaction(m group.Marker, done func(*kerr.Error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		done(s.whyNot())
		return
	}
	s.leader.EndTransaction(time.Now(), m, done)
	s.decided()
}
