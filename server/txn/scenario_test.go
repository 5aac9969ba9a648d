package txn

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func want(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

func wantProducer(t *testing.T, what string, got, want producer) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: producer %+v, want %+v", what, got, want)
	}
}

// begun is a harness with a producer that has a transaction open on two partitions.
func begun(t *testing.T) (*harness, producer) {
	h := newHarness(t)
	p, err := h.initProducer("tx", nobody)
	want(t, "init", err, nil)
	want(t, "add", h.add("tx", p, topic("a", 0), topic("b", 3)), nil)
	return h, p
}

func TestCommitAndNextTransaction(t *testing.T) {
	h, p := begun(t)
	wantProducer(t, "first", p, producer{100, 0})
	next, err := h.end(5, "tx", p, true)
	want(t, "commit", err, nil)
	wantProducer(t, "after the commit", next, producer{100, 1})
	if h.status("tx") != "PrepareCommit" {
		t.Fatalf("status %s", h.status("tx"))
	}
	c := h.complete()
	if !c.Commit || c.ProducerID != 100 || c.Epoch != 1 || c.CoordinatorEpoch != h.epoch || c.Version != 2 || c.Metadata != 7 ||
		len(c.Partitions) != 2 || c.Partitions[0] != topic("a", 0) || c.Partitions[1] != topic("b", 3) {
		t.Fatalf("completion %+v", c)
	}
	if h.status("tx") != "CompleteCommit" || len(h.state.transactions["tx"].partitions) != 0 {
		t.Fatalf("%+v", h.state.transactions["tx"])
	}
	want(t, "add with the old epoch", h.add("tx", p, topic("a", 0)), kerr.ProducerFenced)
	want(t, "add", h.add("tx", next, topic("a", 0)), nil)
	again, err := h.end(5, "tx", next, false)
	want(t, "abort", err, nil)
	wantProducer(t, "after the abort", again, producer{100, 2})
	if c := h.complete(); c.Commit || c.Epoch != 2 {
		t.Fatalf("completion %+v", c)
	}
	if h.status("tx") != "CompleteAbort" {
		t.Errorf("status %s", h.status("tx"))
	}
}

// Every status against every way to end, in both protocols: what is answered, and what becomes of the status.
func TestEnd(t *testing.T) {
	const (
		current = iota
		previous
	)
	for _, test := range []struct {
		status  string
		version int16
		epoch   int // relative to the stored one
		commit  bool
		want    error
		becomes string
	}{
		{"Empty", 4, current, true, kerr.InvalidTxnState, "Empty"},
		{"Empty", 4, current, false, kerr.InvalidTxnState, "Empty"},
		{"Empty", 5, current, true, kerr.InvalidTxnState, "Empty"},
		{"Empty", 5, current, false, nil, "CompleteAbort"},
		{"Empty", 5, previous, false, kerr.ProducerFenced, "Empty"},
		{"Ongoing", 4, current, true, nil, "PrepareCommit"},
		{"Ongoing", 4, current, false, nil, "PrepareAbort"},
		{"Ongoing", 4, previous, true, kerr.ProducerFenced, "Ongoing"},
		{"Ongoing", 5, current, true, nil, "PrepareCommit"},
		{"Ongoing", 5, current, false, nil, "PrepareAbort"},
		{"Ongoing", 5, previous, true, kerr.ProducerFenced, "Ongoing"},
		{"PrepareCommit", 4, current, true, kerr.ConcurrentTransactions, "PrepareCommit"},
		{"PrepareCommit", 4, current, false, kerr.InvalidTxnState, "PrepareCommit"},
		{"PrepareCommit", 5, current, true, kerr.ConcurrentTransactions, "PrepareCommit"},
		{"PrepareCommit", 5, current, false, kerr.ConcurrentTransactions, "PrepareCommit"},
		{"PrepareCommit", 5, previous, true, kerr.ConcurrentTransactions, "PrepareCommit"},
		{"PrepareCommit", 5, previous, false, kerr.InvalidTxnState, "PrepareCommit"},
		{"PrepareAbort", 5, previous, false, kerr.ConcurrentTransactions, "PrepareAbort"},
		{"PrepareAbort", 5, previous, true, kerr.InvalidTxnState, "PrepareAbort"},
		{"CompleteCommit", 4, current, true, nil, "CompleteCommit"},
		{"CompleteCommit", 4, current, false, kerr.InvalidTxnState, "CompleteCommit"},
		{"CompleteCommit", 5, previous, true, nil, "CompleteCommit"},
		{"CompleteCommit", 5, previous, false, kerr.InvalidTxnState, "CompleteCommit"},
		{"CompleteCommit", 5, current, true, kerr.InvalidTxnState, "CompleteCommit"},
		{"CompleteCommit", 5, current, false, nil, "CompleteAbort"},
		{"CompleteAbort", 4, current, false, nil, "CompleteAbort"},
		{"CompleteAbort", 4, current, true, kerr.InvalidTxnState, "CompleteAbort"},
		{"CompleteAbort", 5, previous, false, nil, "CompleteAbort"},
		{"CompleteAbort", 5, previous, true, kerr.InvalidTxnState, "CompleteAbort"},
		{"CompleteAbort", 5, current, true, kerr.InvalidTxnState, "CompleteAbort"},
		{"CompleteAbort", 5, current, false, nil, "CompleteAbort"},
	} {
		h, p := begun(t)
		if test.status == "Empty" {
			h = newHarness(t)
			for range 2 {
				p, _ = h.initProducer("tx", nobody)
			}
		}
		commit := test.status == "PrepareCommit" || test.status == "CompleteCommit"
		if test.status != "Empty" && test.status != "Ongoing" {
			p, _ = h.end(5, "tx", p, commit)
			if test.status == "CompleteCommit" || test.status == "CompleteAbort" {
				h.complete()
			}
		}
		if h.status("tx") != test.status {
			t.Fatalf("set up %s, want %s", h.status("tx"), test.status)
		}
		before := *h.state.transactions["tx"]
		if test.epoch == previous {
			p.epoch--
		}
		got, err := h.end(test.version, "tx", p, test.commit)
		if !errors.Is(err, test.want) || h.status("tx") != test.becomes {
			t.Errorf("%+v: %v, becomes %s", test, err, h.status("tx"))
		}
		after := h.state.transactions["tx"]
		if err == nil && got != (producer{after.ProducerID, after.Epoch}) {
			t.Errorf("%+v: answered %+v, stored %+v", test, got, after)
		}
		if bumped := after.Epoch != before.Epoch; bumped != (test.want == nil && test.version >= 5 && test.epoch == current) {
			t.Errorf("%+v: epoch from %d to %d", test, before.Epoch, after.Epoch)
		}
	}
}

func TestInit(t *testing.T) {
	h := newHarness(t)
	p, err := h.initProducer("tx", nobody)
	want(t, "new", err, nil)
	wantProducer(t, "new", p, producer{100, 0})
	p, _ = h.initProducer("tx", nobody)
	wantProducer(t, "second instance", p, producer{100, 1})
	// KIP-360: a producer recovers with what it has.
	bumped, err := h.initProducer("tx", p)
	want(t, "recovery", err, nil)
	wantProducer(t, "recovery", bumped, producer{100, 2})
	again, err := h.initProducer("tx", p)
	want(t, "recovery repeated", err, nil)
	wantProducer(t, "recovery repeated", again, bumped)
	_, err = h.initProducer("tx", producer{100, 0})
	want(t, "zombie", err, kerr.ProducerFenced)
	_, err = h.initProducer("tx", producer{7, 2})
	want(t, "another's id", err, kerr.ProducerFenced)
	// Somebody else came: the epoch before is a zombie's now.
	p, _ = h.initProducer("tx", nobody)
	wantProducer(t, "third instance", p, producer{100, 3})
	_, err = h.initProducer("tx", bumped)
	want(t, "fenced", err, kerr.ProducerFenced)
	// A producer may bring an id to a coordinator that never heard of it, or forgot it.
	p, err = h.initProducer("other", producer{7, 5})
	want(t, "unknown to us", err, nil)
	wantProducer(t, "unknown to us", p, producer{101, 0})

	for _, test := range []struct {
		name    string
		id      string
		p       producer
		timeout int32
		version int16
		want    error
	}{
		{"empty id", "", nobody, 1, 5, kerr.InvalidRequest},
		{"id without epoch", "tx", producer{100, -1}, 1, 5, kerr.InvalidRequest},
		{"epoch without id", "tx", producer{-1, 0}, 1, 5, kerr.InvalidRequest},
		{"no timeout", "tx", nobody, 0, 5, kerr.InvalidTransactionTimeout},
		{"longest timeout", "tx", nobody, 900_000, 5, nil},
		{"too long a timeout", "tx", nobody, 900_001, 5, kerr.InvalidTransactionTimeout},
		{"fenced, old client", "tx", producer{100, 0}, 1, 3, kerr.InvalidProducerEpoch},
	} {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID, req.TransactionTimeoutMillis = test.version, &test.id, test.timeout
		req.ProducerID, req.ProducerEpoch = test.p.id, test.p.epoch
		r := (*h.handle(req)).(*kmsg.InitProducerIDResponse)
		want(t, test.name, kerr.ErrorForCode(r.ErrorCode), test.want)
	}
	h.noIDs = true
	_, err = h.initProducer("third", nobody)
	want(t, "no producer id at hand", err, kerr.CoordinatorLoadInProgress)
	if h.status("third") != "none" {
		t.Errorf("%s without an id", h.status("third"))
	}
}

func TestInitAbortsWhatIsOpen(t *testing.T) {
	for _, version := range []int8{0, 2} {
		h, old := begun(t)
		h.version = version
		_, err := h.initProducer("tx", nobody)
		want(t, "init while a transaction is open", err, kerr.ConcurrentTransactions)
		_, err = h.initProducer("tx", nobody)
		want(t, "init while it is being aborted", err, kerr.ConcurrentTransactions)
		want(t, "the old one's add", h.add2(old, topic("c", 0)), kerr.ConcurrentTransactions)
		if c := h.complete(); c.Commit || c.Epoch != 1 || c.Version != version {
			t.Fatalf("completion %+v", c)
		}
		want(t, "the old one's add", h.add("tx", old, topic("c", 0)), kerr.ProducerFenced)
		p, err := h.initProducer("tx", nobody)
		want(t, "init", err, nil)
		wantProducer(t, "init", p, producer{100, 2})
	}
}

// add2 adds while the transaction is being completed, and waits as long as that may take.
func (h *harness) add2(p producer, partitions ...Partition) error {
	o := h.startAdd("tx", p, partitions...)
	if o.answered {
		return o.error()
	}
	h.advance(h.config.MaxWait)
	if !o.answered {
		h.t.Fatal("an add waits for ever")
	}
	return o.error()
}

// A producer that was fenced must not abort its successor's transaction while it is told so.
func TestZombieInitLeavesSuccessorAlone(t *testing.T) {
	h := newHarness(t)
	zombie, _ := h.initProducer("tx", nobody)
	p, _ := h.initProducer("tx", nobody)
	want(t, "add", h.add("tx", p, topic("a", 0)), nil)
	_, err := h.initProducer("tx", zombie)
	want(t, "zombie", err, kerr.ProducerFenced)
	if h.status("tx") != "Ongoing" {
		t.Errorf("the zombie left %s", h.status("tx"))
	}
}

// An end by an older client bumps no epoch: a producer with the epoch before it was fenced, it does not repeat that end and
// must not be told its successor's epoch.
func TestZombieEndIsNoRepetition(t *testing.T) {
	for _, commit := range []bool{true, false} {
		h := newHarness(t)
		zombie, _ := h.initProducer("tx", nobody)
		p, _ := h.initProducer("tx", nobody)
		want(t, "add", h.add("tx", p, topic("a", 0)), nil)
		_, err := h.end(4, "tx", p, commit)
		want(t, "end", err, nil)
		_, err = h.end(5, "tx", zombie, commit)
		want(t, "zombie, while the end is completed", err, kerr.ProducerFenced)
		h.complete()
		_, err = h.end(5, "tx", zombie, commit)
		want(t, "zombie", err, kerr.ProducerFenced)
		_, err = h.end(4, "tx", p, commit)
		want(t, "end repeated", err, nil)
	}
}

func TestTimeout(t *testing.T) {
	for _, version := range []int8{0, 2} {
		h, p := begun(t)
		h.version = version
		h.advance(59_999 * time.Millisecond)
		want(t, "add in time", h.add("tx", p, topic("c", 0)), nil)
		h.advance(time.Millisecond)
		if h.status("tx") != "PrepareAbort" {
			t.Fatalf("status %s after the timeout", h.status("tx"))
		}
		if c := h.complete(); c.Commit || c.Epoch != 1 || len(c.Partitions) != 3 {
			t.Fatalf("completion %+v", c)
		}
		_, err := h.end(4, "tx", p, true)
		want(t, "late commit", err, kerr.ProducerFenced)
		_, err = h.end(5, "tx", p, true)
		wanted := kerr.InvalidTxnState
		if version < 2 {
			wanted = kerr.ProducerFenced
		}
		want(t, "late commit with epoch bump", err, wanted)
		// KIP-360: with transaction version 2 the producer may go on, it was nobody else that fenced it.
		recovered, err := h.initProducer("tx", p)
		if version < 2 {
			want(t, "recovery", err, kerr.ProducerFenced)
		} else {
			want(t, "recovery", err, nil)
			wantProducer(t, "recovery", recovered, producer{100, 1})
		}
	}
}

func TestTimeoutAfterFailover(t *testing.T) {
	h, _ := begun(t)
	h.now = h.now.Add(time.Hour) // nobody led
	h.failover(0)
	h.advance(0)
	if h.status("tx") != "PrepareAbort" || len(h.completions) != 1 {
		t.Errorf("status %s, %d completions", h.status("tx"), len(h.completions))
	}
}

// A leader that finds a decided transaction completes it, whatever its predecessor did of that.
func TestCompletionAfterFailover(t *testing.T) {
	h, p := begun(t)
	_, err := h.end(5, "tx", p, true)
	want(t, "commit", err, nil)
	h.hold = true
	h.complete()
	h.failover(0) // the record of the completion is lost
	if len(h.completions) != 1 {
		t.Fatal("the new leader asks for no completion")
	}
	if c := h.completions[0]; c.CoordinatorEpoch != 2 || !c.Commit || len(c.Partitions) != 2 {
		t.Fatalf("completion %+v", c)
	}
	h.complete()
	h.failover(1) // it is written, unknown to the leader
	if h.status("tx") != "CompleteCommit" || len(h.completions) != 0 {
		t.Errorf("status %s, %d completions", h.status("tx"), len(h.completions))
	}
}

func TestRefusedWrites(t *testing.T) {
	h, p := begun(t)
	h.hold = true
	answer := h.startEnd(5, "tx", p, true)
	h.refuseOne()
	_, err := endAnswer(*answer)
	want(t, "commit that could not be written", err, kerr.NotCoordinator)
	answer = h.startEnd(5, "tx", p, true)
	for _, version := range []int16{4, 5} {
		_, err = endAnswer(*h.startEnd(version, "tx", p, false))
		want(t, "abort while the commit is written", err, kerr.ConcurrentTransactions)
	}
	_, err = h.initProducer("tx", p)
	want(t, "init while the commit is written", err, kerr.ConcurrentTransactions)
	h.settle()
	_, err = endAnswer(*answer)
	want(t, "commit", err, nil)
	h.complete()
	h.refuseOne() // the completion
	if h.advance(retryPause); len(h.held) != 1 {
		t.Fatalf("%d writes: the completion is not tried again", len(h.held))
	}
	h.settle()
	if h.status("tx") != "CompleteCommit" {
		t.Errorf("status %s", h.status("tx"))
	}
	// A timeout that could not be written.
	h.hold = false
	want(t, "add", h.add("tx", producer{100, 1}, topic("a", 0)), nil)
	h.hold = true
	h.advance(time.Minute)
	h.refuseOne()
	h.advance(retryPause)
	h.settle()
	if h.status("tx") != "PrepareAbort" {
		t.Errorf("status %s", h.status("tx"))
	}
}

// What comes while a transaction is being written or completed waits, is decided together, and not for ever.
func TestWaitingAdds(t *testing.T) {
	h, p := begun(t)
	next, _ := h.end(5, "tx", p, true)
	first, second := h.startAdd("tx", next, topic("a", 0)), h.startAdd("tx", next, topic("a", 1))
	zombie := h.startAdd("tx", p, topic("a", 2))
	if first.answered || second.answered || zombie.answered {
		t.Fatal("answered before the completion")
	}
	h.hold = true
	h.complete()
	h.commitOne()
	if len(h.held) != 1 || !zombie.answered || zombie.err != kerr.ProducerFenced {
		t.Fatalf("%d writes, zombie %+v", len(h.held), zombie)
	}
	third := h.startAdd("tx", next, topic("a", 1))
	h.commitOne()
	if !first.answered || first.err != nil || !second.answered || second.err != nil || !third.answered || third.err != nil {
		t.Fatalf("%+v, %+v, %+v", first, second, third)
	}
	if len(h.held) != 0 {
		t.Error("a partition that is in the transaction was written again")
	}
	stored := h.state.transactions["tx"]
	if len(stored.partitions) != 2 || stored.Status != Ongoing || stored.StartTime != h.now.UnixMilli() {
		t.Errorf("%+v", stored)
	}
	// For as long as MaxWait, and no more than MaxWaiting.
	slow := h.startAdd("tx", next, topic("b", 0))
	var waiting []*addOutcome
	for range h.config.MaxWaiting {
		waiting = append(waiting, h.startAdd("tx", next, topic("b", 1)))
	}
	if o := h.startAdd("tx", next, topic("b", 1)); !o.answered || o.err != kerr.ConcurrentTransactions {
		t.Errorf("one too many: %+v", o)
	}
	h.advance(h.config.MaxWait - time.Millisecond)
	for _, o := range waiting {
		if o.answered {
			t.Fatal("gave up early")
		}
	}
	h.advance(time.Millisecond)
	for _, o := range waiting {
		if !o.answered || o.err != kerr.ConcurrentTransactions {
			t.Fatalf("%+v", o)
		}
	}
	h.settle()
	if !slow.answered || slow.err != nil {
		t.Errorf("%+v", slow)
	}
	parked := h.startAdd("tx", next, topic("c", 0))
	another := h.startAdd("tx", next, topic("c", 1))
	h.failover(0)
	if parked.err != kerr.NotCoordinator || another.err != kerr.NotCoordinator {
		t.Errorf("after the failover: %+v, %+v", parked, another)
	}
}

func TestAddRefused(t *testing.T) {
	h, p := begun(t)
	want(t, "no id", h.add("", p, topic("a", 0)), kerr.InvalidRequest)
	want(t, "unknown id", h.add("other", p, topic("a", 0)), kerr.InvalidProducerIDMapping)
	want(t, "another's producer id", h.add("tx", producer{7, 0}, topic("a", 0)), kerr.InvalidProducerIDMapping)
	want(t, "later epoch", h.add("tx", producer{100, 1}, topic("a", 0)), kerr.ProducerFenced)
}

func TestVerify(t *testing.T) {
	h, p := begun(t)
	verify := func(id string, p producer) ([]*kerr.Error, error) {
		errs, err := h.leader.VerifyPartitions(id, p.id, p.epoch, []Partition{topic("a", 0), topic("a", 1)})
		if err == nil {
			return errs, nil
		}
		return errs, err
	}
	errs, err := verify("tx", p)
	want(t, "verify", err, nil)
	if errs[0] != nil || errs[1] != kerr.TransactionAbortable {
		t.Errorf("%v", errs)
	}
	_, err = verify("", p)
	want(t, "no id", err, kerr.InvalidRequest)
	_, err = verify("other", p)
	want(t, "unknown", err, kerr.InvalidProducerIDMapping)
	_, err = verify("tx", producer{100, 1})
	want(t, "other epoch", err, kerr.ProducerFenced)
	_, _ = h.end(4, "tx", p, true)
	_, err = verify("tx", p)
	want(t, "being completed", err, kerr.ConcurrentTransactions)
	h.complete()
	errs, err = verify("tx", p)
	want(t, "complete", err, nil)
	if errs[0] != kerr.TransactionAbortable {
		t.Errorf("%v", errs)
	}
}

// When its epochs are used up, a producer goes on with another id, in whichever way it comes to that.
func TestEpochsRunOut(t *testing.T) {
	exhausted := func(t *testing.T) (*harness, producer) {
		h := newHarness(t)
		p, _ := h.initProducer("tx", nobody)
		h.state.transactions["tx"].Epoch = lastEpoch
		return h, producer{p.id, lastEpoch}
	}
	t.Run("end", func(t *testing.T) {
		h, p := exhausted(t)
		want(t, "add", h.add("tx", p, topic("a", 0)), nil)
		h.noIDs = true
		_, err := h.end(5, "tx", p, true)
		want(t, "without an id at hand", err, kerr.CoordinatorLoadInProgress)
		h.noIDs = false
		next, err := h.end(5, "tx", p, true)
		want(t, "commit", err, nil)
		wantProducer(t, "commit", next, producer{101, 0})
		_, err = h.end(5, "tx", p, true)
		want(t, "repeated before it is complete", err, kerr.ConcurrentTransactions)
		add := h.startAdd("tx", next, topic("a", 0)) // it waits, rather than being refused for its unknown id
		if c := h.complete(); c.ProducerID != 100 || c.Epoch != math.MaxInt16 {
			t.Fatalf("completion %+v", c)
		}
		if !add.answered || add.err != nil {
			t.Errorf("%+v", add)
		}
	})
	t.Run("end repeated", func(t *testing.T) {
		h, p := exhausted(t)
		want(t, "add", h.add("tx", p, topic("a", 0)), nil)
		next, _ := h.end(5, "tx", p, true)
		h.complete()
		again, err := h.end(5, "tx", p, true)
		want(t, "repeated", err, nil)
		wantProducer(t, "repeated", again, next)
		_, err = h.end(5, "tx", p, false)
		want(t, "repeated otherwise", err, kerr.InvalidTxnState)
	})
	t.Run("init", func(t *testing.T) {
		h, p := exhausted(t)
		next, err := h.initProducer("tx", p)
		want(t, "recovery", err, nil)
		wantProducer(t, "recovery", next, producer{101, 0})
		again, err := h.initProducer("tx", p)
		want(t, "recovery repeated", err, nil)
		wantProducer(t, "recovery repeated", again, next)
	})
	t.Run("new instance", func(t *testing.T) {
		h, p := exhausted(t)
		next, _ := h.initProducer("tx", nobody)
		wantProducer(t, "new instance", next, producer{101, 0})
		_, err := h.initProducer("tx", p)
		want(t, "the old one", err, kerr.ProducerFenced)
	})
	for _, version := range []int8{0, 2} {
		h, p := exhausted(t)
		h.version = version
		want(t, "add", h.add("tx", p, topic("a", 0)), nil)
		h.noIDs = true
		h.advance(time.Minute)
		if version == 2 {
			if h.status("tx") != "Ongoing" {
				t.Fatalf("status %s without an id at hand", h.status("tx"))
			}
			h.noIDs = false
			h.advance(retryPause)
		}
		h.noIDs = false
		if c := h.complete(); c.Epoch != math.MaxInt16 || c.ProducerID != 100 {
			t.Errorf("completion %+v", c)
		}
		// The last epoch is there to fence with: a partition refuses the marker that would end a transaction with it.
		if version < 2 {
			_, err := h.end(5, "tx", p, false)
			want(t, "late abort", err, kerr.ProducerFenced)
		} else {
			next, err := h.end(5, "tx", p, false)
			want(t, "late abort", err, nil)
			wantProducer(t, "late abort", next, producer{101, 0})
		}
		next, err := h.initProducer("tx", nobody)
		want(t, "init", err, nil)
		if next.id == 100 {
			t.Errorf("version %d: goes on as %+v", version, next)
		}
	}
}

func TestIDsExpire(t *testing.T) {
	h, p := begun(t)
	idle, _ := h.initProducer("idle", nobody)
	h.advance(h.config.IDExpiration + h.config.IDExpirationCheck)
	if h.status("idle") != "none" || h.status("tx") != "PrepareAbort" {
		t.Fatalf("idle %s, tx %s", h.status("idle"), h.status("tx"))
	}
	if len(h.leader.active) != 1 {
		t.Errorf("%d ids are active", len(h.leader.active))
	}
	want(t, "add of a forgotten id", h.add("idle", idle, topic("a", 0)), kerr.InvalidProducerIDMapping)
	_, err := h.end(5, "idle", idle, true)
	want(t, "end of a forgotten id", err, kerr.InvalidProducerIDMapping)
	h.complete()
	_ = p
	if len(h.leader.active) != 0 {
		t.Errorf("%d ids are active", len(h.leader.active))
	}
}

func TestDescribeAndList(t *testing.T) {
	h, p := begun(t)
	_, _ = h.initProducer("other", nobody)
	h.advance(10 * time.Second)
	describe := func(id string) kmsg.DescribeTransactionsResponseTransactionState {
		req := kmsg.NewPtrDescribeTransactionsRequest()
		req.TransactionalIDs = []string{id}
		return (*h.handle(req)).(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
	}
	d := describe("tx")
	if d.ErrorCode != 0 || d.State != "Ongoing" || d.TimeoutMillis != 60_000 || d.StartTimestamp != 1_000_000 || d.ProducerID != p.id ||
		d.ProducerEpoch != p.epoch || len(d.Topics) != 2 || d.Topics[0].Topic != "a" || d.Topics[1].Partitions[0] != 3 {
		t.Errorf("%+v", d)
	}
	if d := describe("other"); d.State != "Empty" || d.StartTimestamp != -1 || len(d.Topics) != 0 {
		t.Errorf("%+v", d)
	}
	want(t, "unknown", kerr.ErrorForCode(describe("nobody").ErrorCode), kerr.TransactionalIDNotFound)
	want(t, "empty", kerr.ErrorForCode(describe("").ErrorCode), kerr.InvalidRequest)

	list := func(change func(*kmsg.ListTransactionsRequest)) string {
		req := kmsg.NewPtrListTransactionsRequest()
		req.Version = 2
		change(req)
		r := (*h.handle(req)).(*kmsg.ListTransactionsResponse)
		out := ""
		for _, s := range r.TransactionStates {
			out += s.TransactionalID + ":" + s.TransactionState + " "
		}
		for _, s := range r.UnknownStateFilters {
			out += "?" + s
		}
		if r.ErrorCode != 0 {
			out += kerr.ErrorForCode(r.ErrorCode).(*kerr.Error).Message
		}
		return out
	}
	for _, test := range []struct {
		name   string
		change func(r *kmsg.ListTransactionsRequest)
		want   string
	}{
		{"all", func(*kmsg.ListTransactionsRequest) {}, "other:Empty tx:Ongoing "},
		{"by state", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"Ongoing", "Dead"} }, "tx:Ongoing "},
		{"unknown state", func(r *kmsg.ListTransactionsRequest) { r.StateFilters = []string{"x", "x"} }, "?x"},
		{"by producer", func(r *kmsg.ListTransactionsRequest) { r.ProducerIDFilters = []int64{101} }, "other:Empty "},
		{"by duration", func(r *kmsg.ListTransactionsRequest) {
			r.DurationFilterMillis, r.StateFilters = 9_999, []string{"Ongoing"}
		}, "tx:Ongoing "},
		{"too short", func(r *kmsg.ListTransactionsRequest) {
			r.DurationFilterMillis, r.StateFilters = 10_000, []string{"Ongoing"}
		}, ""},
		{"by pattern", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("o.*") }, "other:Empty "},
		{"whole pattern", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("o|t") }, ""},
		{"bad pattern", func(r *kmsg.ListTransactionsRequest) { r.TransactionalIDPattern = kmsg.StringPtr("(") }, "INVALID_REGULAR_EXPRESSION"},
	} {
		if got := list(test.change); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
