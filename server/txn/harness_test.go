package txn

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// harness is a shard without Raft: what is written is replayed at once, or when the test says so.
type harness struct {
	t       testing.TB
	config  Config
	version int8 // transaction.version
	state   *State
	leader  *Leader
	epoch   int32
	now     time.Time
	ids     int64 // producer ids given out so far
	noIDs   bool  // none is at hand

	hold        bool // writes wait in held
	held        []Write
	completions []Completion // asked for by the present leader and not completed
}

func newHarness(t testing.TB) *harness {
	h := &harness{t: t, config: DefaultConfig(), version: 2, state: NewState(), now: time.UnixMilli(1_000_000), ids: 100}
	h.lead()
	return h
}

func (h *harness) lead() {
	h.epoch++
	h.leader = NewLeader(Environment{
		Config: h.config,
		ProducerID: func() (int64, bool) {
			if h.noIDs {
				return 0, false
			}
			h.ids++
			return h.ids - 1, true
		},
		TopicName:          func(id [16]byte) (string, bool) { return strings.TrimRight(string(id[:]), "\x00"), id[0] != 0 },
		TransactionVersion: func() int8 { return h.version },
		Logger:             slog.New(slog.DiscardHandler),
	}, h.state, h.epoch, h.now)
	h.collect()
}

// collect takes what the leader asks for.
func (h *harness) collect() {
	h.held = append(h.held, h.leader.TakeWrites()...)
	h.completions = append(h.completions, h.leader.TakeCompletions()...)
	if !h.hold {
		h.settle()
	}
}

// settle commits everything that waits.
func (h *harness) settle() {
	for len(h.held) > 0 {
		h.commitOne()
	}
}

// commitOne commits the oldest write.
func (h *harness) commitOne() {
	w := h.held[0]
	h.held = h.held[1:]
	for _, r := range w.Records {
		if err := h.state.Replay(r); err != nil {
			h.t.Fatalf("replay: %v", err)
		}
	}
	w.Done(h.now, nil)
	h.held = append(h.held, h.leader.TakeWrites()...)
	h.completions = append(h.completions, h.leader.TakeCompletions()...)
}

// refuseOne fails the oldest write, which has certainly no effect.
func (h *harness) refuseOne() {
	w := h.held[0]
	h.held = h.held[1:]
	w.Done(h.now, kerr.NotCoordinator)
	h.held = append(h.held, h.leader.TakeWrites()...)
	h.completions = append(h.completions, h.leader.TakeCompletions()...)
}

// failover makes a new leader, on another replica: its state comes from a snapshot and the records. Of the writes on their
// way the first kept survive, without the old leader knowing.
func (h *harness) failover(kept int) {
	old := h.leader
	state := NewState()
	if err := state.Restore(h.state.Snapshot()); err != nil {
		h.t.Fatalf("restore: %v", err)
	}
	for i, w := range h.held {
		if i < kept {
			for _, r := range w.Records {
				if err := state.Replay(r); err != nil {
					h.t.Fatalf("replay: %v", err)
				}
			}
		}
	}
	old.Close(kerr.NotCoordinator)
	for _, w := range h.held {
		w.Done(h.now, kerr.NotCoordinator)
	}
	if len(old.TakeWrites()) > 0 || len(old.TakeCompletions()) > 0 {
		h.t.Fatal("a closed leader wants something")
	}
	h.held, h.completions, h.state = nil, nil, state
	h.lead()
}

// advance lets time pass, deadline by deadline.
func (h *harness) advance(d time.Duration) {
	end := h.now.Add(d)
	for {
		at := h.leader.NextDeadline()
		if at.After(end) {
			break
		}
		if at.After(h.now) {
			h.now = at
		}
		h.leader.Expire(h.now)
		h.collect()
		if h.hold {
			break // what is due waits for writes
		}
	}
	if end.After(h.now) {
		h.now = end
	}
	h.leader.Expire(h.now)
	h.collect()
}

// complete says that the oldest completion's markers are written.
func (h *harness) complete() Completion {
	h.t.Helper()
	if len(h.completions) == 0 {
		h.t.Fatal("no completion is asked for")
	}
	c := h.completions[0]
	h.completions = h.completions[1:]
	h.leader.Completed(h.now, c.TransactionalID)
	h.collect()
	return c
}

func (h *harness) handle(req kmsg.Request) *kmsg.Response {
	answer := new(kmsg.Response)
	h.leader.Handle(h.now, req, func(r kmsg.Response) {
		if *answer != nil {
			h.t.Fatal("answered twice")
		}
		if r.GetVersion() != req.GetVersion() || r.Key() != req.Key() {
			h.t.Fatalf("%T v%d is answered with %T v%d", req, req.GetVersion(), r, r.GetVersion())
		}
		*answer = r
	})
	h.collect()
	return answer
}

// producer is a client's view of itself.
type producer struct {
	id    int64
	epoch int16
}

func (h *harness) initProducer(id string, p producer) (producer, error) {
	h.t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 5, &id, 60_000
	req.ProducerID, req.ProducerEpoch = p.id, p.epoch
	r := (*h.handle(req)).(*kmsg.InitProducerIDResponse)
	return producer{r.ProducerID, r.ProducerEpoch}, kerr.ErrorForCode(r.ErrorCode)
}

// nobody is a producer without an id yet.
var nobody = producer{-1, -1}

func (h *harness) add(id string, p producer, partitions ...Partition) error {
	h.t.Helper()
	outcome := h.startAdd(id, p, partitions...)
	if !outcome.answered {
		h.t.Fatal("not answered")
	}
	return outcome.error()
}

type addOutcome struct {
	answered bool
	err      *kerr.Error
}

func (o *addOutcome) error() error {
	if o.err == nil {
		return nil
	}
	return o.err
}

func (h *harness) startAdd(id string, p producer, partitions ...Partition) *addOutcome {
	o := &addOutcome{}
	h.leader.AddPartitions(h.now, AddPartitions{
		TransactionalID: id, ProducerID: p.id, Epoch: p.epoch, Partitions: partitions, Version: 2, Metadata: 7,
	}, func(err *kerr.Error) {
		if o.answered {
			h.t.Fatal("answered twice")
		}
		o.answered, o.err = true, err
	})
	h.collect()
	return o
}

func (h *harness) end(version int16, id string, p producer, commit bool) (producer, error) {
	h.t.Helper()
	answer := h.startEnd(version, id, p, commit)
	if *answer == nil {
		h.t.Fatal("not answered")
	}
	return endAnswer(*answer)
}

func endAnswer(r kmsg.Response) (producer, error) {
	end := r.(*kmsg.EndTxnResponse)
	return producer{end.ProducerID, end.ProducerEpoch}, kerr.ErrorForCode(end.ErrorCode)
}

func (h *harness) startEnd(version int16, id string, p producer, commit bool) *kmsg.Response {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = version, id, p.id, p.epoch, commit
	return h.handle(req)
}

// status is the durable state of a transactional id.
func (h *harness) status(id string) string {
	t := h.state.transactions[id]
	if t == nil {
		return "none"
	}
	return t.Status.String()
}

// checkSnapshot compares the state with itself after a snapshot.
func (h *harness) checkSnapshot() {
	h.t.Helper()
	restored := NewState()
	first := h.state.Snapshot()
	if err := restored.Restore(first); err != nil {
		h.t.Fatalf("restore: %v", err)
	}
	if !bytes.Equal(restored.Snapshot(), first) {
		h.t.Fatal("a restored state has another snapshot")
	}
}

func topic(name string, partition int32) Partition {
	p := Partition{Partition: partition}
	copy(p.Topic[:], name)
	return p
}
