package coordinator

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/group"
)

func txnCommitRequest(version int16, id string, producerID, offset int64) *kmsg.TxnOffsetCommitRequest {
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version = version
	req.Group, req.ProducerID, req.Generation = id, producerID, -1
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.Partitions = "t", []kmsg.TxnOffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, t)
	return req
}

// commitTransactional returns the error of the one partition.
func (c *testCluster) commitTransactional(req *kmsg.TxnOffsetCommitRequest, verify func(context.Context, int32) error) error {
	resp := c.hosts[1].CommitTransactional(context.Background(), group.Client{}, req, verify).(*kmsg.TxnOffsetCommitResponse)
	if resp.Version != req.Version {
		c.t.Errorf("version %d answered with version %d", req.Version, resp.Version)
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

func (c *testCluster) committed(id string) int64 {
	resp := c.ask(1, fetchRequest(8, id)).(*kmsg.OffsetFetchResponse)
	return resp.Groups[0].Topics[0].Partitions[0].Offset
}

func TestCommitTransactional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 2, 3)
		defer c.close()
		ctx := context.Background()
		shard := c.hosts[1].Shard("g")
		asked := 0
		verify := func(_ context.Context, n int32) error {
			asked++
			if n != shard {
				t.Errorf("shard %d was verified, want %d", n, shard)
			}
			return nil
		}
		for range 2 {
			if err := c.commitTransactional(txnCommitRequest(5, "g", 7, 10), verify); err != nil {
				t.Fatal(err)
			}
		}
		if asked != 1 {
			t.Errorf("one transaction was verified %d times", asked)
		}
		if err := c.hosts[2].EndTransaction(ctx, shard, group.Marker{ProducerID: 7, Commit: true}); !errors.Is(err, kerr.NotCoordinator) {
			t.Errorf("end at a follower: %v", err)
		}
		if err := c.hosts[1].EndTransaction(ctx, shard, group.Marker{ProducerID: 7, Commit: true}); err != nil {
			t.Fatal(err)
		}
		if got := c.committed("g"); got != 10 {
			t.Errorf("committed %d", got)
		}
		if err := c.hosts[1].EndTransaction(ctx, shard, group.Marker{ProducerID: 7, CoordinatorEpoch: -1, Commit: true}); !errors.Is(err, kerr.TransactionCoordinatorFenced) {
			t.Errorf("end by an older coordinator: %v", err)
		}
		if err := c.hosts[1].EndTransaction(ctx, 99, group.Marker{ProducerID: 7, Commit: true}); !errors.Is(err, kerr.NotCoordinator) {
			t.Errorf("end in another shard: %v", err)
		}

		// The transaction ends, or leadership moves, between the verification and the commit.
		err := c.commitTransactional(txnCommitRequest(5, "g", 7, 20), func(context.Context, int32) error {
			return c.hosts[1].EndTransaction(ctx, shard, group.Marker{ProducerID: 7})
		})
		if !errors.Is(err, kerr.InvalidTxnState) {
			t.Errorf("commit after the end: %v", err)
		}
		err = c.commitTransactional(txnCommitRequest(5, "g", 7, 20), func(context.Context, int32) error {
			c.shards[shard].elect(1, true)
			return nil
		})
		if !errors.Is(err, kerr.CoordinatorLoadInProgress) {
			t.Errorf("commit after the leader began anew: %v", err)
		}
		if got := c.committed("g"); got != 10 {
			t.Errorf("committed %d", got)
		}
	})
}

func TestVerifyError(t *testing.T) {
	for _, test := range []struct {
		err     error
		version int16
		want    error
	}{
		{kerr.TransactionAbortable, 3, kerr.InvalidTxnState},
		{fmt.Errorf("wrapped: %w", kerr.TransactionAbortable), 4, kerr.TransactionAbortable},
		{kerr.ConcurrentTransactions, 4, kerr.CoordinatorNotAvailable},
		{kerr.ConcurrentTransactions, 5, kerr.ConcurrentTransactions},
		{kerr.NotCoordinator, 5, kerr.CoordinatorNotAvailable},
		{kerr.CoordinatorLoadInProgress, 5, kerr.CoordinatorNotAvailable},
		{context.Canceled, 5, kerr.CoordinatorNotAvailable},
		{kerr.ProducerFenced, 3, kerr.InvalidProducerEpoch},
	} {
		if got := verifyError(test.err, test.version); got != test.want {
			t.Errorf("%v v%d: %v, want %v", test.err, test.version, got, test.want)
		}
	}
}
