//go:build crash

package crash

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
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
		s.must(victim.Kill())
		if round%3 == 2 {
			s.cancel(req)
		}
		lasted, err := s.load.Wait(s.within(patience), outage)
		if err != nil {
			t.Fatalf("round %d, %s killed: %v", round, victim.Name, err)
		}
		outages = append(outages, lasted...)
		s.pause(time.Second)
		s.must(victim.Process.Start())
		s.must(s.cluster.WaitServing(s.within(patience)))
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
		if s.rng.IntN(2) == 0 {
			req.Assign(topic, p, s.someNodes())
		}
	}
	req.Assign("__consumer_offsets", s.rng.Int32N(16), s.someNodes())
	return req
}

// someNodes returns three nodes, in any order.
func (s *suite) someNodes() []int32 {
	var ids []int32
	for _, i := range s.rng.Perm(len(s.cluster.Nodes))[:3] {
		ids = append(ids, s.cluster.Nodes[i].ID)
	}
	return ids
}

func (s *suite) reassign(req kadm.AlterPartitionAssignmentsReq) {
	s.Helper()
	responses, err := s.adm.AlterPartitionAssignments(s.within(patience), req)
	s.must(err)
	s.must(responses.Error())
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
	_, err := s.adm.AlterPartitionAssignments(s.within(patience), back) // some are done already
	s.must(err)
}

// settled waits until no reassignment is under way and every replica of the topic is in sync, and returns how long that took.
func (s *suite) settled() time.Duration {
	s.Helper()
	begin := time.Now()
	ctx := s.within(3 * patience)
	for {
		underWay, why := 0, ""
		// Not with kadm, which sends nothing unless topics are named.
		list, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, s.client)
		if err == nil {
			for i := range list.Topics {
				underWay += len(list.Topics[i].Partitions)
			}
		}
		m, metadataErr := s.adm.Metadata(ctx, topic)
		for _, p := range m.Topics[topic].Partitions {
			replicas, isr := slices.Clone(p.Replicas), slices.Clone(p.ISR)
			slices.Sort(replicas)
			slices.Sort(isr)
			if !slices.Equal(replicas, isr) {
				why = "replicas are not in sync"
			}
		}
		if err == nil && metadataErr == nil && underWay == 0 && why == "" {
			return time.Since(begin)
		}
		if ctx.Err() != nil {
			s.Fatalf("%d reassignments are still under way (%s; %v, %v)", underWay, why, err, metadataErr)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
