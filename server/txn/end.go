package txn

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// endFenced is the first version of EndTxn whose clients know PRODUCER_FENCED.
	endFenced = 2
	// endEpochBump is the first version whose clients expect a new epoch (KIP-890).
	endEpochBump = 5
)

// endTransaction answers EndTxn. The client gets its answer when the decision is durable; markers are written afterwards.
func (l *Leader) endTransaction(now time.Time, req *kmsg.EndTxnRequest, reply Reply) {
	answer := func(id int64, epoch int16, err *kerr.Error) {
		resp := req.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ProducerID, resp.ProducerEpoch = noID, noEpoch
		if err == nil {
			resp.ProducerID, resp.ProducerEpoch = id, epoch
		}
		resp.ErrorCode = code(oldFenced(err, req.Version < endFenced))
		reply(resp)
	}
	id := req.TransactionalID
	if id == "" {
		answer(0, 0, kerr.InvalidRequest)
		return
	}
	t := l.state.transactions[id]
	if t == nil {
		answer(0, 0, kerr.InvalidProducerIDMapping)
		return
	}
	next, err := l.decide(now, t, req)
	switch {
	case err != nil:
		answer(0, 0, err)
		return
	case next == nil: // it has ended so already
		answer(t.ProducerID, t.Epoch, nil)
		return
	}
	producerID, epoch := next.successor()
	l.write(id, l.endRecords(id, t, *next, now), func(_ time.Time, err *kerr.Error) { answer(producerID, epoch, err) })
}

// decide returns what ending a transaction makes of it; nil when it is a repetition of what was done.
func (l *Leader) decide(now time.Time, t *stored, req *kmsg.EndTxnRequest) (*Transaction, *kerr.Error) {
	version, judge := int8(0), t.judgeEnd
	if req.Version >= endEpochBump {
		version, judge = versionEpochBump, t.judgeEndBumping
	}
	repeated, err := judge(req.ProducerID, req.ProducerEpoch, req.Commit, l.busy(req.TransactionalID))
	if err != nil || repeated {
		return nil, err
	}
	nextID, err := l.nextID(t.Transaction, version)
	if err != nil {
		return nil, err
	}
	next := t.decided(req.Commit, version, nextID, now.UnixMilli())
	return &next, nil
}

// endRecords are the records of a decision. Where nothing has to be marked it is complete at once.
func (l *Leader) endRecords(id string, t *stored, next Transaction, now time.Time) []record {
	if len(t.partitions) == 0 {
		next = next.completed(now.UnixMilli())
	}
	return []record{transactionChanged{id, next}}
}

// judgeEnd judges an EndTxn before KIP-890: the epoch must be the current one.
func (t *stored) judgeEnd(producerID int64, epoch int16, commit, busy bool) (repeated bool, err *kerr.Error) {
	switch {
	case t.ProducerID != producerID:
		return false, kerr.InvalidProducerIDMapping
	case t.Epoch != epoch:
		return false, kerr.ProducerFenced
	case busy:
		return false, kerr.ConcurrentTransactions
	}
	switch t.Status {
	case Ongoing:
		return false, nil
	case PrepareCommit, PrepareAbort:
		if t.Status.commits() == commit {
			return false, kerr.ConcurrentTransactions
		}
	case CompleteCommit, CompleteAbort:
		if t.Status.commits() == commit {
			return true, nil
		}
	}
	return false, kerr.InvalidTxnState
}

// judgeEndBumping judges an EndTxn of KIP-890, where each end bumps the epoch: the current epoch means another end, the one
// before it a repetition. After an end of an earlier version, by a client or to fence one, it is none: the epoch is a
// successor's, or one that is only there to fence with.
func (t *stored) judgeEndBumping(producerID int64, epoch int16, commit, busy bool) (repeated bool, err *kerr.Error) {
	replaced := t.PreviousProducerID == producerID && epoch == lastEpoch && t.Epoch == 0
	repeated = replaced || t.Version >= versionEpochBump && epoch < math.MaxInt16 && t.Epoch == epoch+1
	var valid bool
	switch t.Status {
	case PrepareCommit, PrepareAbort:
		// The current epoch ends the next transaction while this one is being completed: a client that gave up before it wrote
		// anything may do so, and shall come back. Kafka answers PRODUCER_FENCED, if the client is that fast.
		valid = repeated && !replaced || t.Epoch == epoch
	case CompleteCommit, CompleteAbort:
		valid = repeated || t.Epoch == epoch
	default:
		valid = t.Epoch == epoch
	}
	switch {
	case t.ProducerID != producerID && !replaced:
		return false, kerr.InvalidProducerIDMapping
	case !valid:
		return false, kerr.ProducerFenced
	case busy:
		return false, kerr.ConcurrentTransactions
	}
	switch t.Status {
	case Ongoing:
		return false, nil
	case PrepareCommit, PrepareAbort:
		if !repeated || t.Status.commits() == commit {
			return false, kerr.ConcurrentTransactions
		}
		return false, kerr.InvalidTxnState
	case CompleteCommit, CompleteAbort:
		if repeated {
			if t.Status.commits() == commit {
				return true, nil
			}
			return false, kerr.InvalidTxnState
		}
	}
	if commit { // nothing to commit
		return false, kerr.InvalidTxnState
	}
	return false, nil // aborting nothing is allowed: the client cannot know whether its produce requests arrived
}
