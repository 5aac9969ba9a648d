package handler

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
	"balsa/server/cluster"
	"balsa/server/partition"
)

// fakeTransactions answers one call after another; the last answer stays.
type fakeTransactions struct {
	answers []error
	asked   []string
}

func (f *fakeTransactions) AddPartitions(_ context.Context, id string, producer int64, epoch int16,
	partitions []cluster.TopicPartition, verifyOnly bool,
) []error {
	f.asked = append(f.asked, fmt.Sprintf("%s %d/%d %v %v", id, producer, epoch, partitions, verifyOnly))
	err := f.answers[0]
	if len(f.answers) > 1 {
		f.answers = f.answers[1:]
	}
	errs := make([]error, len(partitions))
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// transactionTo is a Produce request of a transaction, to partitions of topic t.
func transactionTo(t *testing.T, version int16, partitions ...int32) *kmsg.ProduceRequest {
	t.Helper()
	req := produceTo(version, "t", idT, partitions...)
	req.TransactionID = kmsg.StringPtr("tx")
	for i := range req.Topics[0].Partitions {
		req.Topics[0].Partitions[i].Records = transactional(t, 7)
	}
	return req
}

func transactional(t *testing.T, producer int64) batch.Batch {
	t.Helper()
	b, err := batch.BuildRecords([]batch.Record{{Value: []byte("v")}}, batch.BuildOptions{
		Producer: &batch.Producer{ID: producer, Epoch: 2}, Transactional: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// One call for all partitions of the request: from version 12 on it adds them, before it only asks.
func TestProduceVerifiesTransactions(t *testing.T) {
	for _, version := range []int16{3, 11, 12, 13} {
		w := newWorld(t)
		txns := &fakeTransactions{answers: []error{nil}}
		w.broker.Transactions = txns
		resp := ask[*kmsg.ProduceResponse](w, transactionTo(t, version, 0, 1))
		for _, p := range resp.Topics[0].Partitions {
			if p.ErrorCode != 0 {
				t.Errorf("v%d: %+v", version, p)
			}
		}
		want := fmt.Sprintf("[tx 7/2 [%v-0 %v-1] %v]", idT, idT, version < 12)
		if fmt.Sprint(txns.asked) != want {
			t.Errorf("v%d: asked %v, want %s", version, txns.asked, want)
		}
		r := w.replica(idT, 0)
		if r.verifying != nil || r.epochBump != (version >= 12) {
			t.Errorf("v%d: verification %v is left, epoch bump %v", version, r.verifying, r.epochBump)
		}
		r.txnOpen = true
		w.replica(idT, 1).txnOpen = true
		if resp := ask[*kmsg.ProduceResponse](w, transactionTo(t, version, 0, 1)); resp.Topics[0].Partitions[1].ErrorCode != 0 {
			t.Errorf("v%d: %+v", version, resp)
		}
		if len(txns.asked) != 1 {
			t.Errorf("v%d: asked again about an open transaction", version)
		}
	}
}

func TestProduceVerificationErrors(t *testing.T) {
	for _, tt := range []struct {
		version int16
		err     error
		want    *kerr.Error
	}{
		{12, kerr.InvalidTxnState, kerr.InvalidTxnState},
		{12, fmt.Errorf("wrapped: %w", kerr.ProducerFenced), kerr.InvalidProducerEpoch},
		{12, kerr.InvalidProducerIDMapping, kerr.InvalidProducerIDMapping},
		{12, kerr.ConcurrentTransactions, kerr.ConcurrentTransactions},
		{11, kerr.ConcurrentTransactions, kerr.NotEnoughReplicas},
		{11, kerr.TransactionAbortable, kerr.TransactionAbortable},
		{10, kerr.TransactionAbortable, kerr.InvalidTxnState},
		{12, kerr.NotCoordinator, kerr.NotEnoughReplicas},
		{12, kerr.CoordinatorLoadInProgress, kerr.NotEnoughReplicas},
		{9, kerr.CoordinatorNotAvailable, kerr.NotEnoughReplicas},
		{12, errors.New("anything"), kerr.NotEnoughReplicas},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.broker.Transactions = &fakeTransactions{answers: []error{tt.err}}
			resp := ask[*kmsg.ProduceResponse](w, transactionTo(t, tt.version, 0))
			if got := resp.Topics[0].Partitions[0].ErrorCode; got != tt.want.Code {
				t.Errorf("v%d, %v: %v, want %v", tt.version, tt.err, kerr.ErrorForCode(got), tt.want)
			}
			if r := w.replica(idT, 0); len(r.batches) > 0 || r.verifying != nil {
				t.Errorf("v%d, %v: %d batches, verification %v", tt.version, tt.err, len(r.batches), r.verifying)
			}
		})
	}
}

// The transaction before may be about to complete.
func TestProduceWaitsForTheTransactionBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		txns := &fakeTransactions{answers: []error{kerr.ConcurrentTransactions, kerr.ConcurrentTransactions, nil}}
		w.broker.Transactions = txns
		resp := ask[*kmsg.ProduceResponse](w, transactionTo(t, 12, 0))
		if resp.Topics[0].Partitions[0].ErrorCode != 0 || len(txns.asked) != 3 {
			t.Errorf("%+v after %d calls", resp.Topics[0].Partitions[0], len(txns.asked))
		}
	})
}

func TestProduceOfTwoProducers(t *testing.T) {
	w := newWorld(t)
	w.broker.Transactions = &fakeTransactions{answers: []error{nil}}
	req := transactionTo(t, 12, 0, 1)
	req.Topics[0].Partitions[1].Records = transactional(t, 8)
	for _, p := range ask[*kmsg.ProduceResponse](w, req).Topics[0].Partitions {
		if p.ErrorCode != kerr.InvalidProducerIDMapping.Code {
			t.Errorf("%+v", p)
		}
	}
	if w.replica(idT, 0).verifying != nil {
		t.Error("a verification is left")
	}
}

func TestDescribeProducers(t *testing.T) {
	w := newWorld(t)
	w.replica(idT, 1).producers = []partition.ProducerState{
		{ProducerID: 5, ProducerEpoch: 2, LastSequence: 9, LastTimestamp: 100, CoordinatorEpoch: 3, TransactionStart: -1},
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	for topic, partitions := range map[string][]int32{"t": {1, 2}} {
		rt := kmsg.NewDescribeProducersRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.Topics = append(req.Topics, rt)
	}
	far := kmsg.NewDescribeProducersRequestTopic()
	far.Topic, far.Partitions = "far", []int32{0}
	req.Topics = append(req.Topics, far)
	resp := ask[*kmsg.DescribeProducersResponse](w, req)
	got := resp.Topics[0].Partitions
	if len(got[0].ActiveProducers) != 1 || got[0].ErrorCode != 0 {
		t.Fatalf("%+v", got[0])
	}
	a := got[0].ActiveProducers[0]
	if a.ProducerID != 5 || a.ProducerEpoch != 2 || a.LastSequence != 9 || a.LastTimestamp != 100 || a.CoordinatorEpoch != 3 ||
		a.CurrentTxnStartOffset != -1 {
		t.Errorf("%+v", a)
	}
	if got[1].ErrorCode != kerr.UnknownTopicOrPartition.Code || resp.Topics[1].Partitions[0].ErrorCode != kerr.NotLeaderForPartition.Code {
		t.Errorf("%+v, %+v", got[1], resp.Topics[1])
	}
}
