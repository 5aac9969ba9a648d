package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"balsa/raft"
)

// spread is how much more the busiest broker has than the idlest.
func spread(counts map[raft.NodeID]int, brokers int) int {
	least, most := 1<<30, 0
	for id := range brokers {
		n := counts[raft.NodeID(id+1)]
		least, most = min(least, n), max(most, n)
	}
	return most - least
}

func countPartitions(partitions []Partition) (replicas, leaders map[raft.NodeID]int) {
	replicas, leaders = map[raft.NodeID]int{}, map[raft.NodeID]int{}
	for _, p := range partitions {
		leaders[p.Replicas[0]]++
		for _, r := range p.Replicas {
			replicas[r]++
		}
	}
	return replicas, leaders
}

func checkDistinct(t *testing.T, partitions []Partition, factor int) {
	t.Helper()
	for i, p := range partitions {
		sorted := slices.Sorted(slices.Values(p.Replicas))
		if len(p.Replicas) != factor || len(slices.Compact(sorted)) != factor {
			t.Fatalf("partition %d has replicas %v, want %d different ones", i, p.Replicas, factor)
		}
	}
}

// TestPlacementIsEven: within one topic, no broker has more than one replica more than another, nor leads more than one
// partition more.
func TestPlacementIsEven(t *testing.T) {
	for brokers := 1; brokers <= 7; brokers++ {
		for factor := 1; factor <= min(brokers, 5); factor++ {
			for _, partitions := range []int{1, 2, 3, 5, 7, 12, 16, 50, 101} {
				w := newWorld(t, brokers)
				topic := w.create("t", int32(partitions), int16(factor))
				checkDistinct(t, topic.Partitions, factor)
				replicas, leaders := countPartitions(topic.Partitions)
				if s := spread(replicas, brokers); s > 1 {
					t.Errorf("%d brokers, %d replicas, %d partitions: replicas differ by %d: %v", brokers, factor, partitions, s, replicas)
				}
				if s := spread(leaders, brokers); s > 1 {
					t.Errorf("%d brokers, %d replicas, %d partitions: leaders differ by %d: %v", brokers, factor, partitions, s, leaders)
				}
			}
		}
	}
}

// TestManyTopicsAreEven: topics of one partition, which alone are never even, add up to an even load.
func TestManyTopicsAreEven(t *testing.T) {
	w := newWorld(t, 5)
	for i := range 103 {
		w.create(fmt.Sprintf("t%d", i), 1, 3)
	}
	var all []Partition
	for _, topic := range w.image.Topics {
		all = append(all, topic.Partitions...)
	}
	replicas, leaders := countPartitions(all)
	if s := spread(replicas, 5); s > 2 {
		t.Errorf("replicas differ by %d: %v", s, replicas)
	}
	if s := spread(leaders, 5); s > 2 {
		t.Errorf("leaders differ by %d: %v", s, leaders)
	}
}

// TestNewBrokerDoesNotGetAll: a topic is spread over all brokers even if one of them is empty.
func TestNewBrokerDoesNotGetAll(t *testing.T) {
	w := newWorld(t, 3)
	w.create("old", 100, 3)
	w.register(4, "")
	topic := w.create("new", 12, 3)
	replicas, leaders := countPartitions(topic.Partitions)
	if spread(replicas, 4) > 1 || spread(leaders, 4) > 1 {
		t.Errorf("replicas %v, leaders %v", replicas, leaders)
	}
}

func TestMorePartitionsStayEven(t *testing.T) {
	w := newWorld(t, 5)
	topic := w.create("t", 4, 3)
	for range 9 {
		req := morePartitions("t", int32(len(topic.Partitions)+3))
		w.do(req)
		topic = w.image.TopicsByName["t"]
		checkDistinct(t, topic.Partitions, 3)
		replicas, leaders := countPartitions(topic.Partitions)
		if spread(replicas, 5) > 1 || spread(leaders, 5) > 1 {
			t.Fatalf("%d partitions: replicas %v, leaders %v", len(topic.Partitions), replicas, leaders)
		}
	}
}

// TestFailoverIsSpread: when a broker fails, no other one takes over much more than its share, so the partitions that it
// shares with each other broker are about as many.
func TestFailoverIsSpread(t *testing.T) {
	w := newWorld(t, 6)
	topic := w.create("t", 60, 2)
	for id := raft.NodeID(1); id <= 6; id++ {
		shared := map[raft.NodeID]int{}
		for _, p := range topic.Partitions {
			if slices.Contains(p.Replicas, id) {
				for _, r := range p.Replicas {
					shared[r]++
				}
			}
		}
		shared[id] = 4 // 20 replicas, shared with 5 others
		if s := spread(shared, 6); s > 2 {
			t.Errorf("broker %d shares %v", id, shared)
		}
	}
}

// TestRacks: every partition is in as many racks as it can be, and the racks' brokers share evenly.
func TestRacks(t *testing.T) {
	for _, racks := range [][]string{
		{"a", "b", "c"},
		{"a", "a", "b", "b", "c", "c"},
		{"a", "a", "a", "b", "b", "b"},
		{"a", "a", "a", "b", "c"}, // uneven racks: spread first, evenness second
	} {
		for factor := 1; factor <= 3; factor++ {
			w := newWorld(t, len(racks))
			all := map[string]bool{}
			for i, rack := range racks {
				w.register(raft.NodeID(i+1), rack)
				all[rack] = true
			}
			topic := w.create("t", 24, int16(factor))
			checkDistinct(t, topic.Partitions, factor)
			for _, p := range topic.Partitions {
				in := map[string]bool{}
				for _, r := range p.Replicas {
					in[racks[r-1]] = true
				}
				if len(in) != min(factor, len(all)) {
					t.Fatalf("racks %v: replicas %v are in %d racks", racks, p.Replicas, len(in))
				}
			}
			replicas, leaders := countPartitions(topic.Partitions)
			if len(racks) != 5 && (spread(replicas, len(racks)) > 1 || spread(leaders, len(racks)) > 1) {
				t.Errorf("racks %v, %d replicas: replicas %v, leaders %v", racks, factor, replicas, leaders)
			}
		}
	}
}

// TestRacksNeedAllBrokers: with a broker whose rack is unknown, racks say nothing (RackAwareMode.Safe).
func TestRacksNeedAllBrokers(t *testing.T) {
	w := newWorld(t, 4)
	for i, rack := range []string{"a", "a", "a"} {
		w.register(raft.NodeID(i+1), rack)
	}
	replicas, _ := countPartitions(w.create("t", 20, 2).Partitions)
	if spread(replicas, 4) > 1 {
		t.Errorf("replicas %v", replicas)
	}
}

func TestPlacementPrefersLivingBrokers(t *testing.T) {
	w := newWorld(t, 4)
	w.dead[2] = true
	for _, p := range w.create("enough", 20, 3).Partitions {
		if slices.Contains(p.Replicas, 2) {
			t.Fatalf("replicas %v on a dead broker, with three others", p.Replicas)
		}
	}
	leads := map[raft.NodeID]bool{}
	for _, p := range w.create("all", 20, 4).Partitions {
		leads[p.Replicas[0]] = true
		if !slices.Contains(p.Replicas, 2) {
			t.Fatalf("replicas %v, want all four", p.Replicas)
		}
	}
	if leads[2] || len(leads) != 3 {
		t.Errorf("leaders %v, want the living brokers", leads)
	}
}

// TestPlacementIsDeterministic: the same image, request and random numbers give the same placement.
func TestPlacementIsDeterministic(t *testing.T) {
	a, b := newWorld(t, 5), newWorld(t, 5)
	for i := range 20 {
		name := fmt.Sprintf("t%d", i)
		if x, y := a.create(name, 7, 3), b.create(name, 7, 3); fmt.Sprint(x.Partitions) != fmt.Sprint(y.Partitions) || x.ID != y.ID {
			t.Fatalf("%v, then %v", x, y)
		}
	}
	c := newWorld(t, 5)
	c.decider.Rand = rand.New(rand.NewPCG(9, 9))
	starts := map[raft.NodeID]bool{}
	for i := range 30 {
		starts[c.create(fmt.Sprintf("t%d", i), 1, 1).Partitions[0].Replicas[0]] = true
	}
	if len(starts) != 5 {
		t.Errorf("30 topics start on %v", starts)
	}
}

func TestCoordinatorShardsAreSpreadBeforeAnyoneRegisters(t *testing.T) {
	for brokers := 1; brokers <= 5; brokers++ {
		w := newWorld(t, brokers)
		shards := w.image.Topics[CoordinatorTopic].Partitions
		checkDistinct(t, shards, min(3, brokers))
		replicas, leaders := countPartitions(shards)
		if spread(replicas, brokers) > 1 || spread(leaders, brokers) > 1 {
			t.Errorf("%d brokers: replicas %v, leaders %v", brokers, replicas, leaders)
		}
	}
}

func BenchmarkCreate10000Partitions(b *testing.B) {
	w := newWorld(b, 9)
	for b.Loop() {
		req := creation7(topicRequest("t", 10_000, 3))
		if _, err := w.decider.Decide(w.image, req); err != nil {
			b.Fatal(err)
		}
	}
}
