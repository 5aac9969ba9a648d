package txn

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/timers"
)

// Environment is what a Leader gets from outside.
type Environment struct {
	Config Config
	// ProducerID returns an id that nobody ever had; ok is false when none is at hand now.
	ProducerID func() (id int64, ok bool)
	// TopicName returns what clients call a topic; ok is false when there is none.
	TopicName func(id [16]byte) (name string, ok bool)
	// TransactionVersion is the finalized level of the feature transaction.version. It decides how the coordinator's own
	// aborts work; what a client asks for is done as its request's version says.
	TransactionVersion func() int8
	Logger             *slog.Logger
}

// Reply takes the answer to a request. It is called once, possibly before the method returns.
type Reply func(kmsg.Response)

// Write asks the host to replicate records, all or none. When they cannot be written, Done with an error settles it: the
// Leader's memory does not run ahead of State.
type Write struct {
	Records [][]byte // to be replayed in this order
	// Done must be called once, after the records were replayed here or failed. It may come after Close.
	Done func(now time.Time, err *kerr.Error)
}

// Completion asks the host to write a marker to each partition of a decided transaction, and to call Leader.Completed when
// all are written. The host goes on trying for as long as the Leader leads; a partition that no longer exists needs none.
type Completion struct {
	TransactionalID  string
	ProducerID       int64
	Epoch            int16
	CoordinatorEpoch int32
	Commit           bool
	Version          int8 // transaction version
	Partitions       []Partition
	// Metadata is the Image.Version from which on a partition that is not in the image is known not to exist any more.
	Metadata uint64
}

// Leader decides for the transactional ids of one shard.
type Leader struct {
	env   Environment
	state *State
	epoch int32
	// active has the transactional ids that something is going on with; for the others State says it all.
	active      map[string]*active
	writes      []Write
	completions []Completion
	timers      timers.Heap
	cleanup     timers.Timer
	closed      bool
}

// active is what the leader knows of a transactional id beyond State.
type active struct {
	id      string
	writing bool // a record is on its way: what State says is about to change
	// completing says that a Completion was asked for, up to the moment when its record is written.
	completing bool
	waiting    []*waiting // requests to add partitions, in order of arrival
	// deadline ends an ongoing transaction, or says when to try again to complete a decided one.
	deadline timers.Timer
}

// NewLeader starts to coordinate the transactions of state, which the host goes on replaying records into. epoch is the
// leader's epoch; markers carry it, so that those of an earlier leader are refused.
func NewLeader(env Environment, state *State, epoch int32, now time.Time) *Leader {
	l := &Leader{env: env, state: state, epoch: epoch, active: map[string]*active{}}
	for id, t := range sorted(state.transactions) {
		if t.Status.open() {
			l.proceed(l.activate(id), now)
		}
	}
	l.cleanup.Fire = l.expireIDs
	l.timers.Schedule(&l.cleanup, now.Add(env.Config.IDExpirationCheck))
	return l
}

// Handle decides one request; reply gets the response now or later, with the request's version. A DescribeTransactions
// request must name one transactional id. It panics on requests that are not a transaction coordinator's; partitions
// are added with AddPartitions.
func (l *Leader) Handle(now time.Time, req kmsg.Request, reply Reply) {
	switch req := req.(type) {
	case *kmsg.InitProducerIDRequest:
		l.initProducerID(now, req, reply)
	case *kmsg.EndTxnRequest:
		l.endTransaction(now, req, reply)
	case *kmsg.ListTransactionsRequest:
		reply(l.list(now, req))
	case *kmsg.DescribeTransactionsRequest:
		reply(l.describe(req))
	default:
		panic("not a request to a transaction coordinator: " + kmsg.NameForKey(req.Key()))
	}
}

// TakeWrites returns what is to be written since the last call, in order.
func (l *Leader) TakeWrites() []Write {
	w := l.writes
	l.writes = nil
	return w
}

// TakeCompletions returns the transactions that are to be completed since the last call.
func (l *Leader) TakeCompletions() []Completion {
	c := l.completions
	l.completions = nil
	return c
}

// NextDeadline returns when Expire has something to do.
func (l *Leader) NextDeadline() time.Time {
	at, _ := l.timers.Next() // there is always the cleanup
	return at
}

// Expire does what is due: transactions that time out, requests that have waited long enough, ids past their expiration.
func (l *Leader) Expire(now time.Time) { l.timers.Expire(now) }

// Close answers everything that waits with err. The Leader must not be used afterwards; Writes on their way may still be
// Done.
func (l *Leader) Close(err *kerr.Error) {
	l.closed = true
	for _, a := range sorted(l.active) {
		for _, w := range a.waiting {
			w.reply(err)
		}
		a.waiting = nil
	}
	l.writes, l.completions = nil, nil
	l.timers.Clear()
}

// activate returns what is going on with a transactional id, which may be nothing yet.
func (l *Leader) activate(id string) *active {
	a := l.active[id]
	if a == nil {
		a = &active{id: id}
		a.deadline.Fire = func(now time.Time) { l.due(a, now) }
		l.active[id] = a
	}
	return a
}

// busy says whether a record of a transactional id is on its way.
func (l *Leader) busy(id string) bool {
	a := l.active[id]
	return a != nil && a.writing
}

// write asks for records of one transactional id to be written; until they are, nothing else about it is decided. done is
// called with the outcome.
func (l *Leader) write(id string, records []record, done func(now time.Time, err *kerr.Error)) {
	a := l.activate(id)
	a.writing = true
	encoded := make([][]byte, len(records))
	for i, r := range records {
		encoded[i] = encodeRecord(r)
	}
	l.writes = append(l.writes, Write{Records: encoded, Done: func(now time.Time, err *kerr.Error) {
		a.writing = false
		done(now, err)
		if !l.closed {
			l.proceed(a, now)
		}
	}})
}

// proceed does what follows from a transaction's state when no record of it is on its way.
func (l *Leader) proceed(a *active, now time.Time) {
	if a.writing {
		return
	}
	t := l.state.transactions[a.id]
	switch {
	case t != nil && t.Status.prepared():
		if !a.completing {
			a.completing = true
			l.timers.Cancel(&a.deadline)
			l.completions = append(l.completions, l.completion(a.id, t))
		}
		return // what waits, waits for the end of it
	case t != nil && t.Status == Ongoing:
		a.completing = false
		if !a.deadline.Armed() {
			l.timers.Schedule(&a.deadline, l.timeout(t))
		}
	default:
		a.completing = false
		l.timers.Cancel(&a.deadline)
	}
	l.addWaiting(a, now)
	if !a.writing && !a.deadline.Armed() && len(a.waiting) == 0 {
		delete(l.active, a.id)
	}
}

func (l *Leader) completion(id string, t *stored) Completion {
	return Completion{
		TransactionalID: id, ProducerID: t.ProducerID, Epoch: t.Epoch, CoordinatorEpoch: l.epoch,
		Commit: t.Status.commits(), Version: t.Version, Partitions: t.sortedPartitions(), Metadata: l.state.metadata,
	}
}
