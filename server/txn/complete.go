package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// retryPause is how soon something is tried again that could not be written, or for which no producer id was at hand.
const retryPause = 100 * time.Millisecond

// Completed takes the news that a Completion's markers are all written.
func (l *Leader) Completed(now time.Time, transactionalID string) {
	a, t := l.active[transactionalID], l.state.transactions[transactionalID]
	if a == nil || a.writing || !a.completing || !t.prepared() {
		return
	}
	l.write(a.id, []record{transactionChanged{a.id, t.completed(now.UnixMilli())}}, func(now time.Time, err *kerr.Error) {
		if err != nil && !l.closed {
			l.timers.Schedule(&a.deadline, now.Add(retryPause))
		}
	})
}

// timeout is when an ongoing transaction is over. Its start is a time of the leader that it began with.
func (l *Leader) timeout(t *stored) time.Time {
	return time.UnixMilli(t.StartTime).Add(time.Duration(t.Timeout) * time.Millisecond)
}

// due does what an active transaction's deadline is for.
func (l *Leader) due(a *active, now time.Time) {
	t := l.state.transactions[a.id]
	switch {
	case a.writing || t == nil:
		// What is being written decides what comes next.
	case t.Status.prepared():
		l.Completed(now, a.id)
	case t.Status == Ongoing:
		l.abortTimedOut(a, t, now)
	}
}

// abortTimedOut aborts a transaction whose timeout is over (transaction.timeout.ms of its producer), and fences it.
func (l *Leader) abortTimedOut(a *active, t *stored, now time.Time) {
	next, err := l.fence(t.Transaction, now)
	if err != nil {
		l.timers.Schedule(&a.deadline, now.Add(retryPause))
		return
	}
	l.env.Logger.Info("transaction timed out and is aborted", "transactionalId", a.id, "producerId", t.ProducerID,
		"epoch", t.Epoch, "timeout", time.Duration(t.Timeout)*time.Millisecond)
	l.write(a.id, l.endRecords(a.id, t, next, now), func(now time.Time, err *kerr.Error) {
		if err != nil && !l.closed {
			l.timers.Schedule(&a.deadline, now.Add(retryPause))
		}
	})
}

// maxExpired bounds how many transactional ids one look forgets, so that a large clean-up does not become a flood.
const maxExpired = 10_000

// expireIDs forgets transactional ids that were not used for transactional.id.expiration.ms. Their producers, should they
// come back, get INVALID_PRODUCER_ID_MAPPING.
func (l *Leader) expireIDs(now time.Time) {
	next := now.Add(l.env.Config.IDExpirationCheck)
	before := now.Add(-l.env.Config.IDExpiration).UnixMilli()
	expired := 0
	for id, t := range l.state.transactions {
		if t.Status.open() || t.UpdateTime > before || l.busy(id) {
			continue
		}
		if expired == maxExpired {
			next = now.Add(retryPause)
			break
		}
		expired++
		l.write(id, []record{transactionDeleted{id}}, func(time.Time, *kerr.Error) {})
	}
	if expired > 0 {
		l.env.Logger.Info("transactional ids expired", "count", expired)
	}
	l.timers.Schedule(&l.cleanup, next)
}
