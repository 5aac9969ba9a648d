//go:build crash

package crash

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/harness"
)

const moveNodes = 5

// TestMove moves replicas between five nodes under load, again and again, and kills a node in the middle of each move: also those
// that come, those that go, and leaders. Every third move is canceled on its way.
func TestMove(t *testing.T) {
	s := newSuite(t, moveNodes, nil)
	s.startLoad()
	var outages []time.Duration
	for round := range *rounds {
		req := s.randomMove()
		s.reassign(req)
		s.pause(500 * time.Millisecond) // most moves take less
		victim, _ := s.victim()
		outage := s.load.Fault()
		s.Must(victim.Kill())
		if round%3 == 2 {
			s.cancel(req)
		}
		lasted, err := s.load.Wait(s.Within(patience), outage)
		if err != nil {
			t.Fatalf("round %d, %s killed: %v", round, victim.Name, err)
		}
		outages = append(outages, lasted...)
		s.pause(time.Second)
		s.Must(s.Cluster.Restore(s.Within(patience), victim))
		took := s.settled()
		t.Logf("round %d: %s killed; settled %v after it was back", round, victim.Name, took.Round(10*time.Millisecond))
	}
	s.logOutages("one node killed during moves", outages)
	s.finish()
}

// randomMove gives half of the partitions other replicas, and a coordinator shard.
func (s *suite) randomMove() kadm.AlterPartitionAssignmentsReq {
	var req kadm.AlterPartitionAssignmentsReq
	for p := range int32(*partitions) {
		if s.Rand.IntN(2) == 0 {
			req.Assign(topic, p, s.someNodes())
		}
	}
	req.Assign("__consumer_offsets", s.Rand.Int32N(16), s.someNodes())
	return req
}

// someNodes returns three nodes, in any order.
func (s *suite) someNodes() []int32 {
	var ids []int32
	for _, i := range s.Rand.Perm(len(s.Cluster.Nodes))[:3] {
		ids = append(ids, s.Cluster.Nodes[i].ID)
	}
	return ids
}

func (s *suite) reassign(req kadm.AlterPartitionAssignmentsReq) {
	s.Helper()
	responses, err := s.Admin.AlterPartitionAssignments(s.Within(patience), req)
	s.Must(err)
	s.Must(responses.Error())
}

// cancel cancels what is still under way of a reassignment.
func (s *suite) cancel(req kadm.AlterPartitionAssignmentsReq) {
	s.Helper()
	var back kadm.AlterPartitionAssignmentsReq
	for t, ps := range req {
		for p := range ps {
			back.CancelAssign(t, p)
		}
	}
	_, err := s.Admin.AlterPartitionAssignments(s.Within(patience), back) // some are done already
	s.Must(err)
}

// settled waits until no reassignment is under way and every broker says that all replicas are in sync, and returns how long that took.
func (s *suite) settled() time.Duration {
	s.Helper()
	begin := time.Now()
	s.Eventually("settle", 3*patience, func(ctx context.Context) error {
		// Not with kadm, which sends nothing unless topics are named.
		list, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, s.Client)
		if err != nil {
			return err
		}
		underWay := 0
		for i := range list.Topics {
			underWay += len(list.Topics[i].Partitions)
		}
		if underWay > 0 {
			return fmt.Errorf("%d reassignments are still under way", underWay)
		}
		for _, n := range s.Cluster.Nodes {
			if n.Running() {
				if err := s.inSync(ctx, n); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return time.Since(begin)
}

// inSync fails when a broker knows replicas that are out of sync, of all topics: also the coordinators' replicas must have come back before the
// next node may forget.
func (s *suite) inSync(ctx context.Context, n *harness.Node) error {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	resp, err := req.RequestWith(ctx, s.Client.Broker(int(n.ID)))
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			slices.Sort(p.Replicas)
			slices.Sort(p.ISR)
			if !slices.Equal(p.Replicas, p.ISR) {
				return fmt.Errorf("%s says that of the replicas %v of %s-%d only %v are in sync", n.Name, p.Replicas, *t.Topic, p.Partition, p.ISR)
			}
		}
	}
	return nil
}
