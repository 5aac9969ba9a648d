package coordinator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/group"
)

func (c *testCluster) initProducer(node raft.NodeID, id string) *kmsg.InitProducerIDResponse {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 5, &id, 60_000
	return c.ask(node, req).(*kmsg.InitProducerIDResponse)
}

func addRequest(version int16, id string, p *kmsg.InitProducerIDResponse, topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.Version = version
	if version < addBatched {
		rt := kmsg.NewAddPartitionsToTxnRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.TransactionalID, req.ProducerID, req.ProducerEpoch = id, p.ProducerID, p.ProducerEpoch
		req.Topics = append(req.Topics, rt)
		return req
	}
	rt := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
	rt.Topic, rt.Partitions = topic, partitions
	one := kmsg.NewAddPartitionsToTxnRequestTransaction()
	one.TransactionalID, one.ProducerID, one.ProducerEpoch = id, p.ProducerID, p.ProducerEpoch
	one.Topics = append(one.Topics, rt)
	req.Transactions = append(req.Transactions, one)
	return req
}

// addCodes returns the codes of an answer of any version.
func addCodes(r kmsg.Response) (codes []string) {
	resp := r.(*kmsg.AddPartitionsToTxnResponse)
	say := func(code int16) {
		name := "ok"
		if e := kerr.TypedErrorForCode(code); e != nil {
			name = e.Message
		}
		codes = append(codes, name)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			say(p.ErrorCode)
		}
	}
	for _, one := range resp.Transactions {
		for _, t := range one.Topics {
			for _, p := range t.Partitions {
				say(p.ErrorCode)
			}
		}
	}
	return codes
}

func (c *testCluster) endTxn(node raft.NodeID, id string, p *kmsg.InitProducerIDResponse, commit bool) *kmsg.EndTxnResponse {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = 5, id, p.ProducerID, p.ProducerEpoch, commit
	return c.ask(node, req).(*kmsg.EndTxnResponse)
}

func (c *testCluster) txnStatus(node raft.NodeID, id string) string {
	req := kmsg.NewPtrDescribeTransactionsRequest()
	req.TransactionalIDs = []string{id}
	s := c.ask(node, req).(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
	if e := kerr.TypedErrorForCode(s.ErrorCode); e != nil {
		return e.Message
	}
	return s.State
}

func wantText(t *testing.T, what string, got any, want string) {
	t.Helper()
	if fmt.Sprint(got) != want {
		t.Fatalf("%s: %v, want %s", what, got, want)
	}
}

func TestTransactionOnShards(t *testing.T) {
	in(t, 3, 3, func(t *testing.T, c *testCluster) {
		p := c.initProducer(1, "tx")
		wantCode(t, "init", p.ErrorCode, nil)
		for version := int16(0); version <= 5; version++ {
			wantText(t, "add", addCodes(c.ask(1, addRequest(version, "tx", p, "t", 0, 1))), "[ok ok]")
			wantText(t, "add a partition too many", addCodes(c.ask(1, addRequest(version, "tx", p, "t", 0, 3))),
				"[OPERATION_NOT_ATTEMPTED UNKNOWN_TOPIC_OR_PARTITION]")
			wantText(t, "add elsewhere", addCodes(c.ask(2, addRequest(version, "tx", p, "t", 0))), "[NOT_COORDINATOR]")
			other := *p
			other.ProducerEpoch++
			fenced := "[PRODUCER_FENCED]"
			if version < addFenced {
				fenced = "[INVALID_PRODUCER_EPOCH]"
			}
			wantText(t, "add of another epoch", addCodes(c.ask(1, addRequest(version, "tx", &other, "t", 0))), fenced)
		}
		offsets := kmsg.NewPtrAddOffsetsToTxnRequest()
		offsets.Version, offsets.TransactionalID, offsets.ProducerID, offsets.Group = 3, "tx", p.ProducerID, "g"
		wantCode(t, "add offsets", c.ask(1, offsets).(*kmsg.AddOffsetsToTxnResponse).ErrorCode, nil)

		verify := addRequest(4, "tx", p, "t", 1, 2)
		verify.Transactions[0].VerifyOnly = true
		wantText(t, "verify", addCodes(c.ask(1, verify)), "[ok INVALID_TXN_STATE]")
		verify.Version = 5
		wantText(t, "verify", addCodes(c.ask(1, verify)), "[ok TRANSACTION_ABORTABLE]")

		// A commit of the group's offsets becomes real with the transaction.
		commit := txnCommitRequest(3, "g", p.ProducerID, 7)
		commit.TransactionalID, commit.ProducerEpoch = "tx", p.ProducerEpoch
		if err := c.commitTransactional(commit, func(context.Context, int32) error { return nil }); err != nil {
			t.Fatal(err)
		}
		end := c.endTxn(1, "tx", p, true)
		wantCode(t, "commit", end.ErrorCode, nil)
		time.Sleep(time.Second)
		wantText(t, "status", c.txnStatus(1, "tx"), "CompleteCommit")
		if got := c.committed("g"); got != 7 {
			t.Errorf("committed offset %d", got)
		}
		if n := len(c.completions[0].Partitions); len(c.completions) != 1 || n != 3 {
			t.Errorf("%d completions, of %d partitions", len(c.completions), n)
		}
		wantText(t, "status elsewhere", c.txnStatus(2, "tx"), "NOT_COORDINATOR")
		list := c.ask(1, kmsg.NewPtrListTransactionsRequest()).(*kmsg.ListTransactionsResponse)
		if len(list.TransactionStates) != 1 || list.TransactionStates[0].TransactionalID != "tx" {
			t.Errorf("listed %+v", list)
		}
		for n, s := range c.shards {
			first := s.machines[0].Snapshot()
			for _, m := range s.machines {
				if !bytes.Equal(m.Snapshot(), first) {
					t.Errorf("shard %d: replicas differ", n)
				}
			}
		}
	})
}

// Whoever coordinates next completes what was decided, once nobody else does.
func TestCompletionMovesWithTheShard(t *testing.T) {
	in(t, 3, 1, func(t *testing.T, c *testCluster) {
		p := c.initProducer(1, "tx")
		wantText(t, "add", addCodes(c.ask(1, addRequest(3, "tx", p, "t", 0))), "[ok]")
		c.mu.Lock()
		c.hold = true
		c.mu.Unlock()
		wantCode(t, "commit", c.endTxn(1, "tx", p, true).ErrorCode, nil)
		wantText(t, "status", c.txnStatus(1, "tx"), "PrepareCommit")
		waiting := make(chan kmsg.Response, 1)
		next := *p
		next.ProducerEpoch++
		go func() { waiting <- c.ask(1, addRequest(3, "tx", &next, "t", 1)) }()
		synctest.Wait()
		c.mu.Lock()
		c.hold = false
		c.mu.Unlock()
		c.shards[0].elect(2, false)
		wantText(t, "add that waited", addCodes(<-waiting), "[NOT_COORDINATOR]")
		time.Sleep(time.Second)
		wantText(t, "status", c.txnStatus(2, "tx"), "CompleteCommit")
		if n := len(c.completions); n != 2 || c.completions[1].CoordinatorEpoch != 2 || c.completions[0].CoordinatorEpoch != 1 {
			t.Errorf("completions %+v", c.completions)
		}
	})
}

// A transaction is not disturbed by a write that is refused, and a client is told to try again.
func TestTransactionalWriteRefused(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		p := c.initProducer(1, "tx")
		c.shards[0].setRefuse(raft.ErrNotLeader)
		wantText(t, "add", addCodes(c.ask(1, addRequest(3, "tx", p, "t", 0))), "[NOT_COORDINATOR]")
		c.shards[0].setRefuse(nil)
		wantText(t, "add", addCodes(c.ask(1, addRequest(3, "tx", p, "t", 0))), "[ok]")
		wantCode(t, "end", c.endTxn(1, "tx", p, false).ErrorCode, nil)
	})
}

func TestTransactionTimesOut(t *testing.T) {
	in(t, 2, 1, func(t *testing.T, c *testCluster) {
		p := c.initProducer(1, "tx")
		wantText(t, "add", addCodes(c.ask(1, addRequest(3, "tx", p, "t", 0))), "[ok]")
		time.Sleep(50 * time.Second)
		c.shards[0].elect(2, false)
		time.Sleep(9 * time.Second)
		wantText(t, "status", c.txnStatus(2, "tx"), "Ongoing")
		time.Sleep(2 * time.Second)
		wantText(t, "status", c.txnStatus(2, "tx"), "CompleteAbort")
		if c.completions[0].Commit {
			t.Error("committed")
		}
	})
}

// What a leader decided is void when it is written in a later epoch: it lost its leadership and won it again before it
// noticed, and does not know what was decided in between. The client is told that nothing happened, and nothing did.
func TestDecisionOfAnEarlierEpochIsVoid(t *testing.T) {
	in(t, 3, 1, func(t *testing.T, c *testCluster) {
		p := c.initProducer(1, "tx")
		wantText(t, "add", addCodes(c.ask(1, addRequest(3, "tx", p, "t", 0))), "[ok]")
		s := c.shards[0]
		s.mu.Lock()
		s.current.Epoch += 2 // nobody is told yet
		s.mu.Unlock()
		wantCode(t, "end", c.endTxn(1, "tx", p, true).ErrorCode, kerr.NotCoordinator)
		wantCode(t, "offset commit", commitCode(c.ask(1, commitRequest("g", 5))), kerr.NotCoordinator)
		for n, m := range s.machines {
			m.LeadershipChanged(s.current)
			if string(m.Snapshot()) != string(s.machines[0].Snapshot()) {
				t.Errorf("replica %d has another state", n)
			}
		}
		wantText(t, "status", c.txnStatus(1, "tx"), "Ongoing")
		if got := c.committed("g"); got != -1 {
			t.Errorf("committed offset %d", got)
		}
		wantCode(t, "end", c.endTxn(1, "tx", p, true).ErrorCode, nil)
	})
}

// Shards of a release without transactions: entries without a head, and snapshots of groups alone.
func TestStateOfEarlierReleases(t *testing.T) {
	const committed = "01010167017402000000000000000000000000000000" + "07d20906046d65746180a0d5edee660109"
	record := unhex(t, committed)
	s := newState()
	if err := s.apply(batch.Build([][]byte{record}, 0), 5); err != nil {
		t.Fatal(err)
	}
	old := group.NewState()
	if err := old.Replay(record); err != nil {
		t.Fatal(err)
	}
	restored := newState()
	if err := restored.restore(old.Snapshot()); err != nil || !bytes.Equal(restored.snapshot(), s.snapshot()) {
		t.Errorf("restored from an old snapshot: %v", err)
	}
	if err := restored.restore(s.snapshot()); err != nil || !bytes.Equal(restored.snapshot(), s.snapshot()) {
		t.Errorf("restored: %v", err)
	}
	if err := restored.restore(nil); err != nil || !bytes.Equal(restored.snapshot(), newState().snapshot()) {
		t.Errorf("restored from nothing: %v", err)
	}
	for _, bad := range [][]byte{{129}, {128}, {128, 5}, append(s.snapshot(), 0)} {
		if err := newState().restore(bad); err == nil {
			t.Errorf("%x is restored", bad)
		}
	}
}

func TestEntryHeads(t *testing.T) {
	record := unhex(t, "420102"+"7478") // a transactional id is deleted
	if got, want := buildEntry(300, [][]byte{record}, time.UnixMilli(0)), [][]byte{{255, 1, 0xac, 2}, record}; true {
		values, err := got.Values()
		if err != nil || len(values) != 2 || !bytes.Equal(values[0], want[0]) || !bytes.Equal(values[1], want[1]) {
			t.Errorf("entry %x, %v", values, err)
		}
	}
	for _, head := range [][]byte{{255, 2, 1}, {255}, {255, 1}, {255, 1, 1, 1}} {
		if err := newState().apply(batch.Build([][]byte{head}, 0), 1); err == nil {
			t.Errorf("head %x is read", head)
		}
	}
	if err := newState().apply(batch.Build([][]byte{{255, 1, 1}, {250}}, 0), 1); err == nil {
		t.Error("an unknown record is read")
	}
	if err := newState().apply(batch.Build([][]byte{{255, 1, 1}, {250}}, 0), 2); err != nil {
		t.Errorf("a void entry is looked at: %v", err)
	}
}

func TestProducerIDsComeFirst(t *testing.T) {
	in(t, 1, 1, func(t *testing.T, c *testCluster) {
		id := "tx"
		req := kmsg.NewPtrInitProducerIDRequest()
		req.Version, req.TransactionalID, req.TransactionTimeoutMillis = 5, &id, 60_000
		over, cancel := context.WithCancel(context.Background())
		cancel()
		resp := c.hosts[1].Handle(over, group.Client{}, req).(*kmsg.InitProducerIDResponse)
		wantCode(t, "client that is gone", resp.ErrorCode, kerr.CoordinatorNotAvailable)
		errs := c.hosts[1].AddPartitions(over, AddPartitions{
			TransactionalID: "tx", ProducerID: 5000, Partitions: []cluster.TopicPartition{{Topic: cluster.TopicID{9}}},
		})
		if !errors.Is(errs[0], kerr.CoordinatorNotAvailable) && !errors.Is(errs[0], kerr.InvalidProducerIDMapping) {
			t.Errorf("%v", errs)
		}
	})
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
