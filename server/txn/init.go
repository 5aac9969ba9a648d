package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// initFenced is the first version of InitProducerId whose clients know PRODUCER_FENCED.
const initFenced = 4

// initProducerID answers InitProducerId for a transactional id: the producer gets the next epoch, which fences those that
// had the id before. An open transaction of theirs is aborted first, and the client told to come back.
func (l *Leader) initProducerID(now time.Time, req *kmsg.InitProducerIDRequest, reply Reply) {
	answer := func(id int64, epoch int16, err *kerr.Error) {
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ProducerID, resp.ProducerEpoch = noID, noEpoch
		if err == nil {
			resp.ProducerID, resp.ProducerEpoch = id, epoch
		}
		resp.ErrorCode = code(oldFenced(err, req.Version < initFenced))
		reply(resp)
	}
	id := *req.TransactionalID
	next, err := l.initialize(now, id, req)
	if err != nil {
		answer(0, 0, err)
		return
	}
	l.write(id, []record{transactionChanged{id, next}}, func(_ time.Time, err *kerr.Error) {
		switch {
		case err != nil:
			answer(0, 0, err)
		case next.Status != Empty:
			answer(0, 0, kerr.ConcurrentTransactions)
		default:
			l.env.Logger.Debug("transactional id initialized", "transactionalId", id, "producerId", next.ProducerID, "epoch", next.Epoch)
			answer(next.ProducerID, next.Epoch, nil)
		}
	})
}

// initialize returns what the transaction becomes: Empty with a new epoch, or, when one is ongoing, fenced.
func (l *Leader) initialize(now time.Time, id string, req *kmsg.InitProducerIDRequest) (Transaction, *kerr.Error) {
	var none Transaction
	switch {
	case (req.ProducerID == noID) != (req.ProducerEpoch == noEpoch), id == "":
		return none, kerr.InvalidRequest
	case req.TransactionTimeoutMillis <= 0, int64(req.TransactionTimeoutMillis) > l.env.Config.MaxTimeout.Milliseconds():
		return none, kerr.InvalidTransactionTimeout
	case l.busy(id):
		return none, kerr.ConcurrentTransactions
	}
	s := l.state.transactions[id]
	if s == nil {
		fresh, ok := l.env.ProducerID()
		if !ok {
			return none, kerr.CoordinatorLoadInProgress
		}
		s = &stored{Transaction: newTransaction(fresh)}
	}
	switch {
	case req.ProducerID != noID && !s.known(req.ProducerID, req.ProducerEpoch):
		return none, kerr.ProducerFenced
	case s.Status.prepared():
		return none, kerr.ConcurrentTransactions
	case s.Status == Ongoing:
		// A producer that was fenced must not abort its successor's transaction on the way to being told so. Kafka lets it.
		if req.ProducerID == s.ProducerID && req.ProducerEpoch < s.Epoch && req.ProducerEpoch != s.LastEpoch {
			return none, kerr.ProducerFenced
		}
		return l.fence(s.Transaction, now)
	}
	return s.initialized(req.ProducerEpoch, req.TransactionTimeoutMillis, now.UnixMilli(), l.env.ProducerID)
}

// fence returns an ongoing transaction as it is aborted by somebody else than its producer.
func (l *Leader) fence(t Transaction, now time.Time) (Transaction, *kerr.Error) {
	version := l.env.TransactionVersion()
	nextID, err := l.nextID(t, version)
	if err != nil {
		return t, err
	}
	return t.fenced(version, nextID, now.UnixMilli()), nil
}

// nextID returns the producer id to go on with when ending t uses up the epochs; noID when it does not.
func (l *Leader) nextID(t Transaction, version int8) (int64, *kerr.Error) {
	if version < versionEpochBump || !t.exhausted() {
		return noID, nil
	}
	id, ok := l.env.ProducerID()
	if !ok {
		return noID, kerr.CoordinatorLoadInProgress
	}
	return id, nil
}

func code(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}

// oldFenced replaces PRODUCER_FENCED for clients that do not know it.
func oldFenced(err *kerr.Error, old bool) *kerr.Error {
	if old && err == kerr.ProducerFenced {
		return kerr.InvalidProducerEpoch
	}
	return err
}
