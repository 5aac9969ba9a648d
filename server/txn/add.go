package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/timers"
)

// AddPartitions asks for partitions to be added to a producer's transaction, which begins with them if there is none.
type AddPartitions struct {
	TransactionalID string
	ProducerID      int64
	Epoch           int16
	Partitions      []Partition
	Version         int8   // transaction version: 2 when the client leaves it to brokers to add partitions
	Metadata        uint64 // Image.Version by which the partitions are known
}

// waiting is a request to add partitions that cannot be decided yet.
type waiting struct {
	AddPartitions
	reply func(*kerr.Error)
	timer timers.Timer
}

// AddPartitions decides a request; reply is called when the partitions are durably a part of the transaction, or with the
// error for all of them. While a previous transaction is being completed, or another request is on its way to the log, the
// request waits (Config.MaxWait): several brokers may add partitions to one transaction at the same time.
func (l *Leader) AddPartitions(now time.Time, req AddPartitions, reply func(*kerr.Error)) {
	if req.TransactionalID == "" {
		reply(kerr.InvalidRequest)
		return
	}
	t, a := l.state.transactions[req.TransactionalID], l.active[req.TransactionalID]
	if a == nil || !a.writing && !t.prepared() {
		l.add(req.TransactionalID, []*waiting{{AddPartitions: req, reply: reply}}, now)
		return
	}
	if len(a.waiting) >= l.env.Config.MaxWaiting || l.env.Config.MaxWait <= 0 {
		reply(kerr.ConcurrentTransactions)
		return
	}
	w := &waiting{AddPartitions: req, reply: reply}
	w.timer.Fire = func(time.Time) { l.giveUp(a, w) }
	a.waiting = append(a.waiting, w)
	l.timers.Schedule(&w.timer, now.Add(l.env.Config.MaxWait))
}

func (t *stored) prepared() bool { return t != nil && t.Status.prepared() }

// giveUp answers a request that waited long enough.
func (l *Leader) giveUp(a *active, w *waiting) {
	for i, other := range a.waiting {
		if other == w {
			a.waiting = append(a.waiting[:i:i], a.waiting[i+1:]...)
			break
		}
	}
	w.reply(kerr.ConcurrentTransactions)
}

// addWaiting decides what has waited.
func (l *Leader) addWaiting(a *active, now time.Time) {
	if len(a.waiting) == 0 {
		return
	}
	requests := a.waiting
	a.waiting = nil
	for _, w := range requests {
		l.timers.Cancel(&w.timer)
	}
	l.add(a.id, requests, now)
}

// add decides requests of one transactional id, of which no record is on its way, with one write.
func (l *Leader) add(id string, requests []*waiting, now time.Time) {
	t := l.state.transactions[id]
	var accepted []*waiting
	added := map[Partition]struct{}{}
	for _, w := range requests {
		if err := t.mayAdd(w.ProducerID, w.Epoch); err != nil {
			w.reply(err)
			continue
		}
		missing := 0
		for _, p := range w.Partitions {
			if _, in := t.partitions[p]; !in {
				added[p] = struct{}{}
				missing++
			}
		}
		if missing == 0 && t.Status == Ongoing {
			w.reply(nil)
			continue
		}
		accepted = append(accepted, w)
	}
	if len(accepted) == 0 {
		return
	}
	l.write(id, addRecords(id, t, accepted, added, now), func(_ time.Time, err *kerr.Error) {
		for _, w := range accepted {
			w.reply(err)
		}
	})
}

func addRecords(id string, t *stored, accepted []*waiting, added map[Partition]struct{}, now time.Time) []record {
	var records []record
	if t.Status != Ongoing {
		records = append(records, transactionChanged{id, t.begun(now.UnixMilli(), accepted[0].Version)})
	}
	r := partitionsAdded{id: id, partitions: (&stored{partitions: added}).sortedPartitions()}
	for _, w := range accepted {
		r.metadata = max(r.metadata, w.Metadata)
	}
	return append(records, r)
}

// mayAdd checks that a request comes from the current producer.
func (t *stored) mayAdd(producerID int64, epoch int16) *kerr.Error {
	switch {
	case t == nil, t.ProducerID != producerID:
		return kerr.InvalidProducerIDMapping
	case t.Epoch != epoch:
		return kerr.ProducerFenced
	}
	return nil
}

// VerifyPartitions checks that partitions are in a producer's transaction: nil for each that is, TRANSACTION_ABORTABLE
// for each that is not, or the error for all of them.
func (l *Leader) VerifyPartitions(id string, producerID int64, epoch int16, partitions []Partition) ([]*kerr.Error, *kerr.Error) {
	if id == "" {
		return nil, kerr.InvalidRequest
	}
	t := l.state.transactions[id]
	if err := t.mayAdd(producerID, epoch); err != nil {
		return nil, err
	}
	if t.prepared() {
		return nil, kerr.ConcurrentTransactions
	}
	errs := make([]*kerr.Error, len(partitions))
	for i, p := range partitions {
		if _, in := t.partitions[p]; !in {
			errs[i] = kerr.TransactionAbortable
		}
	}
	return errs, nil
}
