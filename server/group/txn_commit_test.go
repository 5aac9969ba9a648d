package group

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTxnCommit(group string, producerID int64, epoch int16, partition int32, offset int64) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version = 5
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = "x", group, producerID, epoch, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.TxnOffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

// txnCommit commits in a transaction that was verified just now.
func (h *harness) txnCommit(req *kmsg.TxnOffsetCommitRequest) *kmsg.Response {
	v, _ := h.leader.BeginVerification(req.ProducerID, req.ProducerEpoch)
	return h.txnCommitVerified(v, req)
}

func (h *harness) txnCommitVerified(v *Verification, req *kmsg.TxnOffsetCommitRequest) *kmsg.Response {
	var answer kmsg.Response
	h.leader.CommitTransactional(h.now, v, req, func(r kmsg.Response) {
		if answer != nil || r.GetVersion() != req.Version {
			h.t.Errorf("answer %+v after %+v", r, answer)
		}
		answer = r
	})
	h.settle()
	return &answer
}

func txnCode(answer *kmsg.Response) string {
	if *answer == nil {
		return "parked"
	}
	return errorName((*answer).(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
}

func (h *harness) end(producerID int64, epoch int16, coordinatorEpoch int32, commit bool) string {
	return h.mark(Marker{ProducerID: producerID, ProducerEpoch: epoch, CoordinatorEpoch: coordinatorEpoch, Commit: commit})
}

func (h *harness) mark(m Marker) string {
	outcome := "parked"
	h.leader.EndTransaction(h.now, m, func(err *kerr.Error) {
		outcome = errorName(code(err))
	})
	h.settle()
	return outcome
}

// fetched is the committed offset of a partition, or the error.
func (h *harness) fetched(group string, partition int32, stable bool) string {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.RequireStable = 9, stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic, t.Partitions = "t", []int32{partition}
	g.Topics = append(g.Topics, t)
	req.Groups = append(req.Groups, g)
	answer := h.send("c", req)
	if *answer == nil {
		return "parked"
	}
	p := (*answer).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return errorName(p.ErrorCode)
	}
	return fmt.Sprint(p.Offset)
}

func (h *harness) expect(what, got, want string) {
	h.t.Helper()
	if got != want {
		h.t.Fatalf("%s: got %s, want %s", what, got, want)
	}
}

func TestTransactionalCommit(t *testing.T) {
	for _, commit := range []bool{true, false} {
		t.Run(fmt.Sprint("commit=", commit), func(t *testing.T) {
			h := newHarness(t)
			h.send("c", newCommit("g", 0, 5))
			h.expect("commit", txnCode(h.txnCommit(newTxnCommit("g", 7, 0, 0, 10))), "ok")
			h.expect("pending", h.fetched("g", 0, false), "5")
			h.expect("pending, stable", h.fetched("g", 0, true), "UNSTABLE_OFFSET_COMMIT")
			h.expect("another partition", h.fetched("g", 1, true), "-1")
			h.failover()
			h.expect("pending after a failover", h.fetched("g", 0, true), "UNSTABLE_OFFSET_COMMIT")
			h.expect("end", h.end(7, 0, 1, commit), "ok")
			want := "5"
			if commit {
				want = "10"
			}
			h.expect("ended", h.fetched("g", 0, true), want)
			h.failover()
			h.expect("ended, after a failover", h.fetched("g", 0, true), want)
		})
	}
}

// The latest commit of a partition wins, whenever its transaction ends.
func TestTransactionalCommitOrder(t *testing.T) {
	h := newHarness(t)
	h.txnCommit(newTxnCommit("g", 1, 0, 0, 10))
	h.txnCommit(newTxnCommit("g", 2, 0, 0, 20))
	h.end(2, 0, 0, true)
	h.expect("one is open", h.fetched("g", 0, true), "UNSTABLE_OFFSET_COMMIT")
	h.lead() // the order survives a snapshot
	h.end(1, 0, 0, true)
	h.expect("the older ends last", h.fetched("g", 0, true), "20")

	h.txnCommit(newTxnCommit("g", 1, 0, 0, 30))
	h.send("c", newCommit("g", 0, 40))
	h.lead()
	h.end(1, 0, 0, true)
	h.expect("a plain commit in between", h.fetched("g", 0, true), "40")

	h.txnCommit(newTxnCommit("g", 1, 0, 0, 50))
	h.txnCommit(newTxnCommit("g", 2, 0, 0, 60))
	h.txnCommit(newTxnCommit("g", 1, 0, 0, 70))
	h.end(1, 0, 0, true)
	h.end(2, 0, 0, true)
	h.expect("the last of one's own", h.fetched("g", 0, true), "70")
}

func TestTransactionalCommitFencing(t *testing.T) {
	h := newHarness(t)
	h.expect("first", txnCode(h.txnCommit(newTxnCommit("g", 7, 3, 0, 10))), "ok")
	h.expect("older producer", txnCode(h.txnCommit(newTxnCommit("g", 7, 2, 0, 10))), "INVALID_PRODUCER_EPOCH")
	h.expect("end by an older producer", h.end(7, 2, 5, false), "INVALID_PRODUCER_EPOCH")
	h.expect("end", h.end(7, 4, 5, true), "ok")
	h.expect("commit before the bump", txnCode(h.txnCommit(newTxnCommit("g", 7, 3, 0, 11))), "INVALID_PRODUCER_EPOCH")
	h.expect("next transaction", txnCode(h.txnCommit(newTxnCommit("g", 7, 4, 0, 12))), "ok")
	h.failover()
	h.expect("end by an older coordinator", h.end(7, 4, 4, true), "TRANSACTION_COORDINATOR_FENCED")
	h.expect("still open", h.fetched("g", 0, true), "UNSTABLE_OFFSET_COMMIT")
	h.expect("end", h.end(7, 5, 6, false), "ok")
	h.expect("repeated", h.end(7, 5, 6, false), "ok")
	h.expect("aborted", h.fetched("g", 0, true), "10")
}

// A commit that was verified before its transaction ended, and arrives after, must not be pending for ever.
func TestTransactionalCommitGuard(t *testing.T) {
	h := newHarness(t)
	v, known := h.leader.BeginVerification(7, 0)
	if known {
		t.Error("a transaction that nobody began is known")
	}
	h.expect("end", h.end(7, 0, 0, false), "ok")
	h.expect("late", txnCode(h.txnCommitVerified(v, newTxnCommit("g", 7, 0, 0, 10))), "INVALID_TXN_STATE")

	h.txnCommit(newTxnCommit("g", 7, 0, 0, 10))
	v, known = h.leader.BeginVerification(7, 0)
	if !known {
		t.Error("a transaction with pending offsets is not known")
	}
	h.hold = true
	h.expect("end", h.end(7, 0, 0, true), "parked")
	if _, known := h.leader.BeginVerification(7, 0); known {
		t.Error("a transaction that is ending is known to go on")
	}
	h.expect("late", txnCode(h.txnCommitVerified(v, newTxnCommit("g", 7, 0, 0, 11))), "INVALID_TXN_STATE")
	// An end whose answer was lost is repeated with the same epochs while the next transaction's commit is verified.
	h.hold = false
	h.settle()
	v, _ = h.leader.BeginVerification(7, 0)
	h.expect("repeated end", h.end(7, 0, 0, true), "ok")
	h.expect("after it", txnCode(h.txnCommitVerified(v, newTxnCommit("g", 7, 0, 0, 12))), "INVALID_TXN_STATE")
	if len(h.leader.committing)+len(h.leader.ending) > 0 {
		t.Errorf("left over: %v %v", h.leader.committing, h.leader.ending)
	}
}

// With transaction version 2 a marker has the epoch of the next transaction, which may be under way, or asked about, before
// the marker comes, and all the more before it comes once more.
func TestTransactionalCommitEpochBump(t *testing.T) {
	h := newHarness(t)
	end := func(epoch int16, commit bool) string {
		return h.mark(Marker{ProducerID: 7, ProducerEpoch: epoch, CoordinatorEpoch: 3, Commit: commit, TransactionVersion: 2})
	}
	h.txnCommit(newTxnCommit("g", 7, 0, 0, 10))
	late, _ := h.leader.BeginVerification(7, 0)
	next, known := h.leader.BeginVerification(7, 1)
	if known {
		t.Error("a transaction that nobody began is known")
	}
	h.expect("end of the first", end(1, true), "ok")
	h.expect("late commit in the first", txnCode(h.txnCommitVerified(late, newTxnCommit("g", 7, 0, 0, 11))), "INVALID_PRODUCER_EPOCH")
	h.expect("end repeated before the next", end(1, true), "ok")
	h.expect("commit in the next", txnCode(h.txnCommitVerified(next, newTxnCommit("g", 7, 1, 0, 20))), "ok")
	h.expect("end repeated after it", end(1, true), "INVALID_PRODUCER_EPOCH")
	h.expect("the next is pending", h.fetched("g", 0, false), "10")
	h.expect("end of the next", end(2, true), "ok")
	h.expect("committed", h.fetched("g", 0, true), "20")

	// One that is asked about when its own marker comes must not become pending.
	ended, _ := h.leader.BeginVerification(7, 2)
	h.expect("end by timeout", end(3, false), "ok")
	h.expect("commit after it", txnCode(h.txnCommitVerified(ended, newTxnCommit("g", 7, 2, 0, 30))), "INVALID_PRODUCER_EPOCH")
	fresh, _ := h.leader.BeginVerification(8, 0)
	h.expect("end of a producer that is not known", h.mark(Marker{ProducerID: 8, ProducerEpoch: 1, CoordinatorEpoch: 3, TransactionVersion: 2}), "ok")
	h.expect("its commit", txnCode(h.txnCommitVerified(fresh, newTxnCommit("g", 8, 0, 0, 30))), "INVALID_PRODUCER_EPOCH")
	h.expect("nothing changed", h.fetched("g", 0, true), "20")
}

func TestTransactionalCommitValidation(t *testing.T) {
	h := newHarness(t)
	send := func(change func(*kmsg.TxnOffsetCommitRequest)) string {
		req := newTxnCommit("g", 7, 0, 0, 10)
		change(req)
		return txnCode(h.txnCommit(req))
	}
	h.expect("no group", send(func(r *kmsg.TxnOffsetCommitRequest) { r.Group = "" }), "INVALID_GROUP_ID")
	h.expect("unknown group with a generation", send(func(r *kmsg.TxnOffsetCommitRequest) { r.Generation = 1 }), "ILLEGAL_GENERATION")
	h.expect("unknown partition", send(func(r *kmsg.TxnOffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 3 }),
		"UNKNOWN_TOPIC_OR_PARTITION")
	h.expect("long metadata", send(func(r *kmsg.TxnOffsetCommitRequest) {
		r.Topics[0].Partitions[0].Metadata = text(string(make([]byte, 4097)))
	}), "OFFSET_METADATA_TOO_LARGE")

	p := &player{name: "p", instance: text("i"), generation: -1}
	r := &random{harness: h, rng: rand.New(rand.NewPCG(1, 1))}
	r.join(p)
	h.advance(time.Second)
	p.learn()
	h.expect("unknown member", send(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = "nobody", 1 }), "UNKNOWN_MEMBER_ID")
	h.expect("generation", send(func(r *kmsg.TxnOffsetCommitRequest) { r.MemberID, r.Generation = p.member, 9 }), "ILLEGAL_GENERATION")
	h.expect("instance", send(func(r *kmsg.TxnOffsetCommitRequest) {
		r.MemberID, r.Generation, r.InstanceID = "other", 1, text("i")
	}), "FENCED_INSTANCE_ID")
	h.expect("member, while the group rebalances", send(func(r *kmsg.TxnOffsetCommitRequest) {
		r.MemberID, r.Generation, r.InstanceID = p.member, 1, text("i")
	}), "ok")
	h.expect("anonymous", send(func(*kmsg.TxnOffsetCommitRequest) {}), "ok")
}

func TestTransactionalCommitDeletion(t *testing.T) {
	h := newHarness(t)
	h.txnCommit(newTxnCommit("g", 7, 0, 0, 10))
	h.txnCommit(newTxnCommit("g", 7, 0, 1, 11))
	h.advance(h.config.OffsetsRetention + time.Hour)
	h.expect("pending offsets do not expire", h.fetched("g", 0, true), "UNSTABLE_OFFSET_COMMIT")

	del := kmsg.NewPtrOffsetDeleteRequest()
	del.Group = "g"
	dt := kmsg.NewOffsetDeleteRequestTopic()
	dt.Topic, dt.Partitions = "t", []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}
	del.Topics = append(del.Topics, dt)
	h.send("admin", del)
	h.expect("deleted offset", h.fetched("g", 0, true), "-1")
	h.expect("the other", h.fetched("g", 1, true), "UNSTABLE_OFFSET_COMMIT")

	dg := kmsg.NewPtrDeleteGroupsRequest()
	dg.Groups = []string{"g"}
	h.send("admin", dg)
	h.expect("deleted group", h.fetched("g", 1, true), "-1")
	h.expect("end", h.end(7, 0, 0, true), "ok")
	h.expect("nothing comes back", h.fetched("g", 1, true), "-1")
	if len(h.state.groups) != 0 {
		t.Errorf("groups %v", h.state.groups)
	}

	h.txnCommit(newTxnCommit("g", 7, 0, 0, 12))
	h.topics.remove("t")
	h.leader.DeleteOrphans(h.now)
	h.settle()
	if len(h.state.groups) != 0 {
		t.Error("pending offsets outlive their topic")
	}
	h.end(7, 0, 0, true)
	h.advance(h.config.ProducerIDExpiration + h.config.OffsetsRetentionCheckInterval)
	if len(h.state.producers) != 0 {
		t.Errorf("producers are remembered for ever: %v", h.state.producers)
	}
	h.lead()
}

// TestTransactionsModel compares random commits and ends with a model: a list of commits, of which those in force count.
func TestTransactionsModel(t *testing.T) {
	type entry struct {
		producer int64
		offset   int64
		inForce  bool
	}
	for seed := range 100 {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		h := newHarness(t)
		var history []entry
		for step := range 60 {
			producer := rng.Int64N(3)
			switch n := rng.IntN(10); {
			case n < 2:
				h.send("c", newCommit("g", 0, int64(step)))
				history = append(history, entry{-1, int64(step), true})
			case n < 6:
				h.expect("commit", txnCode(h.txnCommit(newTxnCommit("g", producer, 0, 0, int64(step)))), "ok")
				history = append(history, entry{producer, int64(step), false})
			case n < 9:
				commit := rng.IntN(2) == 0
				h.expect("end", h.end(producer, 0, 0, commit), "ok")
				var rest []entry
				for _, e := range history {
					if e.producer == producer && !e.inForce {
						e.inForce = true
						if !commit {
							continue
						}
					}
					rest = append(rest, e)
				}
				history = rest
			default:
				h.failover()
			}
			want, unstable := int64(-1), false
			for _, e := range history {
				if e.inForce {
					want = e.offset
				}
				unstable = unstable || !e.inForce
			}
			h.expect(fmt.Sprint("seed ", seed), h.fetched("g", 0, false), fmt.Sprint(want))
			if unstable {
				h.expect(fmt.Sprint("seed ", seed), h.fetched("g", 0, true), "UNSTABLE_OFFSET_COMMIT")
			}
		}
	}
}
