package balance

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func open(ids ...int32) []Broker {
	var brokers []Broker
	for _, id := range ids {
		brokers = append(brokers, Broker{ID: id})
	}
	return brokers
}

// clustered places topics of a number of partitions round robin over brokers.
func clustered(topics, partitions, factor int, brokers ...int32) []Partition {
	var all []Partition
	next := 0
	for t := range topics {
		for n := range partitions {
			p := Partition{Topic: fmt.Sprintf("t%02d", t), Number: int32(n)}
			for i := range factor {
				p.Replicas = append(p.Replicas, brokers[(next+i)%len(brokers)])
			}
			next++
			all = append(all, p)
		}
	}
	return all
}

// after applies a plan and checks that it is well-formed.
func after(t *testing.T, partitions []Partition, moves []Move) []Partition {
	t.Helper()
	byName := map[string]Move{}
	for _, m := range moves {
		byName[fmt.Sprint(m.Topic, "/", m.Number)] = m
	}
	var all []Partition
	for _, p := range partitions {
		m, moved := byName[fmt.Sprint(p.Topic, "/", p.Number)]
		if moved {
			distinct := slices.Compact(slices.Sorted(slices.Values(m.To)))
			if !slices.Equal(m.From, p.Replicas) || len(m.To) != len(m.From) || len(distinct) != len(m.To) || slices.Equal(m.From, m.To) {
				t.Fatalf("move %+v of %+v", m, p)
			}
			p.Replicas = m.To
		}
		all = append(all, p)
	}
	return all
}

// unevenness returns by how much open brokers differ in what they hold and lead, over all and at most within a topic.
func unevenness(brokers []Broker, partitions []Partition) (replicas, leaders, topicReplicas, topicLeaders int) {
	p := newPlanner(brokers, partitions)
	span := func(have map[int32]int) int {
		least, most := 1<<30, 0
		for _, b := range p.open {
			least, most = min(least, have[b.ID]), max(most, have[b.ID])
		}
		return most - least
	}
	for _, t := range p.topics {
		topicReplicas, topicLeaders = max(topicReplicas, span(t.replicas)), max(topicLeaders, span(t.leaders))
	}
	return span(p.total.replicas), span(p.total.leaders), topicReplicas, topicLeaders
}

func replicasMoved(moves []Move) int {
	n := 0
	for _, m := range moves {
		n += len(m.Added())
	}
	return n
}

// TestGrow: from three brokers to five, every broker gets its share and nothing else moves.
func TestGrow(t *testing.T) {
	for _, c := range []struct{ topics, partitions, factor int }{{1, 30, 3}, {10, 6, 3}, {40, 1, 3}, {7, 5, 2}, {1, 16, 3}, {9, 10, 1}} {
		partitions := clustered(c.topics, c.partitions, c.factor, 1, 2, 3)
		brokers := open(1, 2, 3, 4, 5)
		moves, err := Even(brokers, partitions)
		if err != nil {
			t.Fatal(err)
		}
		grown := after(t, partitions, moves)
		replicas, leaders, topicReplicas, topicLeaders := unevenness(brokers, grown)
		if replicas > 1 || leaders > 1 || topicReplicas > 1 || topicLeaders > 1 {
			t.Errorf("%+v: replicas differ by %d, leaders by %d, of a topic by %d and %d", c, replicas, leaders, topicReplicas, topicLeaders)
		}
		for _, m := range moves {
			for _, to := range m.Added() {
				if to < 4 {
					t.Errorf("%+v: %+v moves a replica between the old brokers", c, m)
				}
			}
		}
		// Two of five brokers are new: they get two fifths, rounded up at most once per topic and broker.
		if n, most := replicasMoved(moves), c.topics*(c.partitions*c.factor*2/5+2); n > most {
			t.Errorf("%+v: %d replicas move, at most %d need to", c, n, most)
		}
		if again, _ := Even(brokers, grown); len(again) != 0 {
			t.Errorf("%+v: a balanced cluster is balanced again: %+v", c, again)
		}
	}
}

// TestDrain: exactly what is on the leaving broker moves, evenly, to the others that are open.
func TestDrain(t *testing.T) {
	partitions := clustered(4, 15, 3, 1, 2, 3, 4, 5)
	brokers := open(1, 2, 3, 4, 5)
	brokers[3].Leaving = true
	brokers[0].Closed = true
	moves, err := Drain(brokers, partitions)
	if err != nil {
		t.Fatal(err)
	}
	drained := after(t, partitions, moves)
	on := map[int32]int{}
	for i, p := range drained {
		for j, id := range p.Replicas {
			on[id]++
			if before := partitions[i].Replicas[j]; before != id && before != 4 {
				t.Errorf("%s/%d: a replica moved from %d to %d", p.Topic, p.Number, before, id)
			}
		}
	}
	if on[4] != 0 || on[1] != 36 || replicasMoved(moves) != 36 {
		t.Errorf("replicas %v, %d moved", on, replicasMoved(moves))
	}
	if replicas, _, _, _ := unevenness(brokers, drained); replicas > 4 {
		t.Errorf("the load fell on few: %v", on)
	}
}

func TestDrainImpossible(t *testing.T) {
	brokers := open(1, 2, 3)
	brokers[2].Leaving = true
	_, err := Drain(brokers, []Partition{{"a", 0, []int32{1, 2}}, {"b", 7, []int32{1, 2, 3}}})
	if err == nil || !strings.Contains(err.Error(), "partition 7 of b has 3 replicas") {
		t.Errorf("%v", err)
	}
	// A broker that nobody knows any more can be drained, too.
	moves, err := Drain([]Broker{{ID: 1}, {ID: 2}, {ID: 9, Leaving: true}}, []Partition{{"a", 0, []int32{9, 1}}})
	if want := []Move{{"a", 0, []int32{9, 1}, []int32{2, 1}}}; err != nil || !reflect.DeepEqual(moves, want) {
		t.Errorf("%+v, %v", moves, err)
	}
}

// TestResize: up to five replicas and back to one, evenly, the preferred leaders staying where they are.
func TestResize(t *testing.T) {
	brokers := open(1, 2, 3, 4, 5)
	partitions := append(clustered(1, 20, 3, 1, 2, 3), Partition{"zz", 0, []int32{1}})
	for _, factor := range []int{4, 5, 2, 1} {
		moves, err := Resize(brokers, partitions, []string{"t00"}, factor)
		if err != nil || len(moves) != 20 {
			t.Fatalf("%d moves, %v", len(moves), err)
		}
		have := map[int32]int{}
		for i, m := range moves {
			if len(m.To) != factor || m.To[0] != m.From[0] || m.Topic != "t00" || len(slices.Compact(slices.Sorted(slices.Values(m.To)))) != factor {
				t.Errorf("%+v, want %d replicas", m, factor)
			}
			for _, id := range m.To {
				have[id]++
			}
			partitions[i].Replicas = m.To
		}
		if factor == 4 && (have[4] != 10 || have[5] != 10) || factor == 2 && max(have[1], have[2], have[3], have[4], have[5]) > 10 {
			t.Errorf("%d replicas: %v", factor, have)
		}
	}
	if _, err := Resize(brokers, partitions, []string{"t00"}, 6); err == nil {
		t.Error("six replicas on five brokers")
	}
}

func TestApplyAndDiff(t *testing.T) {
	before := clustered(2, 3, 2, 1, 2)
	moves, err := Even(open(1, 2, 3), before)
	if err != nil || len(moves) == 0 {
		t.Fatalf("%v, %v", moves, err)
	}
	result := slices.Clone(before)
	Apply(result, moves)
	if again := Diff(before, result); !reflect.DeepEqual(again, moves) {
		t.Errorf("%+v, want %+v", again, moves)
	}
	if !reflect.DeepEqual(before, clustered(2, 3, 2, 1, 2)) {
		t.Error("the partitions that were planned for changed")
	}
}

// TestRacks: no plan brings replicas into one rack that were in two.
func TestRacks(t *testing.T) {
	var brokers []Broker
	for id := int32(1); id <= 6; id++ {
		brokers = append(brokers, Broker{ID: id, Rack: string('a' + id%3)})
	}
	partitions := clustered(3, 10, 3, 1, 2, 3) // one replica in each rack
	moves, err := Even(brokers, partitions)
	if err != nil {
		t.Fatal(err)
	}
	grown := after(t, partitions, moves)
	p := newPlanner(brokers, grown)
	for _, at := range p.placed {
		for _, id := range at.Replicas {
			if p.inRack(at, id, id) != 0 {
				t.Errorf("%s/%d: %v has two in one rack", at.Topic, at.Number, at.Replicas)
			}
		}
	}
	if replicas, _, _, _ := unevenness(brokers, grown); replicas > 1 {
		t.Errorf("replicas differ by %d", replicas)
	}
	brokers[5].Leaving = true
	moves, err = Drain(brokers, grown)
	if err != nil {
		t.Fatal(err)
	}
	p = newPlanner(brokers, after(t, grown, moves))
	for _, at := range p.placed {
		for _, id := range at.Replicas {
			if p.inRack(at, id, id) != 0 {
				t.Errorf("drained: %s/%d: %v has two in one rack", at.Topic, at.Number, at.Replicas)
			}
		}
	}
}

// TestRandomClusters: whatever is there, a plan is well-formed, empties who leaves, spares who is closed, and makes nothing less even.
func TestRandomClusters(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		n := 2 + random.IntN(6)
		var brokers []Broker
		for id := range n {
			brokers = append(brokers, Broker{ID: int32(id), Closed: random.IntN(6) == 0, Leaving: random.IntN(6) == 0})
		}
		var partitions []Partition
		for topic := range 1 + random.IntN(5) {
			factor := 1 + random.IntN(min(n, 4))
			for number := range 1 + random.IntN(12) {
				p := Partition{Topic: fmt.Sprint(topic), Number: int32(number)}
				for _, id := range random.Perm(n)[:factor] {
					p.Replicas = append(p.Replicas, int32(id))
				}
				partitions = append(partitions, p)
			}
		}
		moves, err := Even(brokers, partitions)
		if err != nil {
			continue // too few brokers
		}
		if again, _ := Even(brokers, partitions); !reflect.DeepEqual(moves, again) {
			t.Fatalf("seed %d: two plans for one cluster", seed)
		}
		result := after(t, partitions, moves)
		for i, p := range result {
			for _, b := range brokers {
				had, has := slices.Contains(partitions[i].Replicas, b.ID), slices.Contains(p.Replicas, b.ID)
				if b.Leaving && has || b.Closed && !b.Leaving && has != had {
					t.Fatalf("seed %d: %+v: %v became %v", seed, b, partitions[i].Replicas, p.Replicas)
				}
			}
		}
		replicas, _, topicReplicas, _ := unevenness(brokers, result)
		if replicas > 1 && topicReplicas <= 1 {
			// Possible where the replicas that are there already are in the way, as with a factor near the number of brokers.
			p := newPlanner(brokers, result)
			if p.moveOne(p.placed, p.total.replicas, func(at *placed, from, to int32) bool {
				return at.topic.replicas[from] > at.topic.replicas[to]
			}) {
				t.Fatalf("seed %d: a replica could still move", seed)
			}
		}
	}
}

// BenchmarkEven plans for 10,000 partitions on three brokers to which two come.
func BenchmarkEven(b *testing.B) {
	partitions := clustered(100, 100, 3, 1, 2, 3)
	for b.Loop() {
		if _, err := Even(open(1, 2, 3, 4, 5), partitions); err != nil {
			b.Fatal(err)
		}
	}
}
