package e2e

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestCoordinatorsMove moves all coordinator shards to other nodes and back while a program consumes, transforms and produces in
// transactions: each input is in the output once, and the group's offsets go on from where they were.
func TestCoordinatorsMove(t *testing.T) {
	const inputs = 600
	c := start(t, 5)
	createTopic(t, c, "in", 1)
	createTopic(t, c, "out", 1)
	producer := client(t, c)
	for i := range inputs {
		produce(t, producer, "in", fmt.Sprint(i))
	}
	done := make(chan error, 1)
	var processed atomic.Int64
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	go func() { done <- transform(ctx, c.Addresses(), inputs, &processed) }()

	adm := admin(t, c)
	moves := 0
	for round := 0; processed.Load() < inputs && ctx.Err() == nil; round++ {
		var req kadm.AlterPartitionAssignmentsReq
		for shard := range int32(16) {
			first := (int32(round) + shard) % 5
			req.Assign("__consumer_offsets", shard, []int32{1 + first, 1 + (first+1)%5, 1 + (first+2)%5})
		}
		responses, err := adm.AlterPartitionAssignments(within(t), req)
		must(t, err)
		must(t, responses.Error())
		eventually(t, "the shards have moved", func() bool {
			list, err := adm.ListPartitionReassignments(t.Context(), nil)
			return err == nil && len(list) == 0
		})
		moves++
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if moves < 2 {
		t.Errorf("%d moves of the shards while records were processed: the test proves little", moves)
	}
	seen := map[string]int{}
	for _, r := range readCommitted(t, c.Addresses(), "out", inputs) {
		seen[string(r.Value)]++
	}
	for i := range inputs {
		if n := seen[fmt.Sprint(i)]; n != 1 {
			t.Errorf("input %d is in the output %d times", i, n)
		}
	}
}

// transform copies topic in to topic out, exactly once, until it has copied n records.
func transform(ctx context.Context, brokers []string, n int, processed *atomic.Int64) error {
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(brokers...), kgo.TransactionalID("mover"), kgo.ConsumerGroup("movers"), kgo.ConsumeTopics("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(25*time.Millisecond), kgo.DefaultProduceTopic("out"),
	)
	if err != nil {
		return err
	}
	defer s.Close()
	for processed.Load() < int64(n) {
		fetches := s.PollRecords(ctx, 10)
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d records: %w", processed.Load(), n, ctx.Err())
		}
		if fetches.Empty() {
			continue
		}
		if err := s.Begin(); err != nil {
			return err
		}
		promise := kgo.AbortingFirstErrPromise(s.Client())
		count := int64(0)
		fetches.EachRecord(func(r *kgo.Record) {
			count++
			s.Produce(ctx, &kgo.Record{Value: r.Value}, promise.Promise())
		})
		committed, err := s.End(ctx, kgo.TransactionEndTry(promise.Err() == nil))
		if err != nil {
			return err
		}
		if committed {
			processed.Add(count)
		}
	}
	return nil
}

// readCommitted reads n committed records, and what else comes for a moment.
func readCommitted(t *testing.T, brokers []string, topic string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	must(t, err)
	defer cl.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := cl.PollFetches(within(t))
		must(t, fetches.Err())
		records = append(records, fetches.Records()...)
	}
	more, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	return append(records, cl.PollFetches(more).Records()...)
}
