//go:build eos

package eos

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestExactlyOnce is the proof, with each of the two group protocols.
func TestExactlyOnce(t *testing.T) {
	for _, protocol := range []string{"classic", "consumer"} {
		t.Run(protocol, func(t *testing.T) {
			s := newSuite(t, protocol == "consumer")
			s.write(*records)
			s.startWorkers()
			started := time.Now()
			s.pacer.restart(started)
			exits := s.chaos()
			s.drain()
			took := time.Since(started)
			s.closed()
			s.verify()
			starts := 0
			for _, sl := range s.slots {
				starts += sl.starts
			}
			t.Logf("%d inputs in %v; %d workers started, %d of them ended by themselves", s.total(), took.Round(time.Second), starts, exits)
		})
	}
}

func (s *suite) total() int64 {
	sum := int64(0)
	for _, n := range s.inputs {
		sum += n
	}
	return sum
}

// drain lets the workers finish in peace, and fails when they do not get on.
func (s *suite) drain() {
	s.Helper()
	for {
		s.refill()
		if done, _ := s.progress(); done == s.total() {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	for _, sl := range s.slots {
		s.Dismiss(sl.Process)
	}
}

// closed waits until no transaction is open: the last stable offset of each output partition is its end. What killed
// workers left behind must be aborted when its timeout has passed.
func (s *suite) closed() {
	s.Helper()
	s.Eventually("close all transactions", patience, func(ctx context.Context) error {
		ends, err := s.Admin.ListEndOffsets(ctx, outputTopic)
		if err != nil {
			return err
		}
		stable, err := s.Admin.ListCommittedOffsets(ctx, outputTopic)
		if err != nil {
			return err
		}
		for p := range int32(partitions) {
			end, _ := ends.Lookup(outputTopic, p)
			lso, _ := stable.Lookup(outputTopic, p)
			if end.Err != nil || lso.Err != nil || lso.Offset != end.Offset {
				return fmt.Errorf("partition %d: last stable offset %d (%v), end %d (%v)%s", p, lso.Offset, lso.Err, end.Offset, end.Err, s.openTransactions())
			}
		}
		return nil
	})
}

// openTransactions says what the cluster knows of transactions, for messages.
func (s *suite) openTransactions() string {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	listed, err := s.Admin.ListTransactions(ctx, nil, nil)
	if err != nil {
		return fmt.Sprintf("; transactions: %v", err)
	}
	var b strings.Builder
	listed.Each(func(l kadm.ListedTransaction) { fmt.Fprintf(&b, "; %s: %s", l.TxnID, l.State) })
	return b.String()
}

// members says who is in the group and has which partitions, for messages.
func (s *suite) members() string {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	var b strings.Builder
	if s.consumer {
		described, err := s.Admin.DescribeConsumerGroups(ctx, s.group)
		g := described[s.group]
		fmt.Fprintf(&b, "; group (%v): %s, %d members, epoch %d", err, g.State, len(g.Members), g.Epoch)
		for _, m := range g.Members {
			fmt.Fprintf(&b, "\n%s, epoch %d, has %v, should have %v", m.MemberID, m.MemberEpoch,
				m.Assignment.Sorted(), m.TargetAssignment.Sorted())
		}
		return b.String()
	}
	described, err := s.Admin.DescribeGroups(ctx, s.group)
	g := described[s.group]
	fmt.Fprintf(&b, "; group (%v): %s, %d members", err, g.State, len(g.Members))
	for _, m := range g.Members {
		if a, ok := m.Assigned.AsConsumer(); ok {
			fmt.Fprintf(&b, "\n%s has %v", m.MemberID, a.Topics)
		}
	}
	return b.String()
}

// verify compares the output with the input: exactly once when read with isolation, not so without it.
func (s *suite) verify() {
	s.Helper()
	committed := s.read(kgo.ReadCommitted())
	n, err := committed.Finish()
	s.Must(err)
	s.Logf("read_committed: %d outputs of %d inputs, each exactly once and in order", n, s.total())
	uncommitted := s.read(kgo.ReadUncommitted())
	n, err = uncommitted.Finish()
	if err == nil || uncommitted.Count[Duplicate] == 0 {
		s.Errorf("read_uncommitted shows no aborted copy among %d outputs (%v): the test proves nothing", n, err)
	}
	s.Logf("read_uncommitted: %d outputs, %d of them duplicates", n, uncommitted.Count[Duplicate])
	if missing := uncommitted.Count[Missing] + uncommitted.Count[Phantom] + uncommitted.Count[Corrupt]; missing > 0 {
		s.Errorf("read_uncommitted: %v", err)
	}
}

// read gives all output, up to the end and in log order, to a Checker.
func (s *suite) read(isolation kgo.IsolationLevel) *Checker {
	s.Helper()
	c := NewChecker(s.inputs)
	s.Must(s.Read(s.Within(10*time.Minute), outputTopic, func(r *kgo.Record) { c.Add(r.Partition, r.Offset, r.Value) },
		kgo.FetchIsolationLevel(isolation)))
	return c
}
