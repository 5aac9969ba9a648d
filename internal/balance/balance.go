// Package balance plans which replicas of a cluster's partitions should move where: off brokers that leave, and from brokers that have
// more than their share to those that have less. It only computes; the same input always gives the same plan.
//
// A plan moves no more data than it must. Among the ways that are left it keeps the partitions of each topic, then those of all topics,
// spread evenly over the brokers and over their racks, and lets every broker lead its share.
package balance

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Broker is one that holds or may get replicas.
type Broker struct {
	ID     int32
	Rack   string // racks count only if every open broker has one
	Closed bool   // gets nothing new, and keeps what it has unless it is leaving
	// Leaving brokers lose everything they have. They are closed, too.
	Leaving bool
}

// Partition is where one partition is, the preferred leader first.
type Partition struct {
	Topic    string
	Number   int32
	Replicas []int32
}

// Move is what a plan changes about one partition.
type Move struct {
	Topic  string
	Number int32
	From   []int32 // the replicas it has
	To     []int32 // the replicas it is to have, the preferred leader first
}

// Added returns the brokers that have to get the partition's data.
func (m *Move) Added() []int32 {
	return slices.DeleteFunc(slices.Clone(m.To), func(id int32) bool { return slices.Contains(m.From, id) })
}

// Apply makes partitions what moves make of them.
func Apply(partitions []Partition, moves []Move) {
	type key struct {
		topic  string
		number int32
	}
	to := make(map[key][]int32, len(moves))
	for _, m := range moves {
		to[key{m.Topic, m.Number}] = m.To
	}
	for i := range partitions {
		if replicas, moved := to[key{partitions[i].Topic, partitions[i].Number}]; moved {
			partitions[i].Replicas = replicas
		}
	}
}

// Diff returns the moves that lead from one state of the same partitions, in the same order, to another.
func Diff(before, after []Partition) []Move {
	var moves []Move
	for i, p := range before {
		if !slices.Equal(p.Replicas, after[i].Replicas) {
			moves = append(moves, Move{Topic: p.Topic, Number: p.Number, From: p.Replicas, To: after[i].Replicas})
		}
	}
	return moves
}

// Drain plans how the leaving brokers lose what they have, and nothing else. The error says which partition has more replicas than
// there are brokers left.
func Drain(brokers []Broker, partitions []Partition) ([]Move, error) {
	p := newPlanner(brokers, partitions)
	if err := p.evacuate(); err != nil {
		return nil, err
	}
	return p.moves(), nil
}

// Even plans how all open brokers get even shares of replicas and leaderships, and the leaving ones lose theirs. The error is that of
// Drain.
func Even(brokers []Broker, partitions []Partition) ([]Move, error) {
	p := newPlanner(brokers, partitions)
	if err := p.evacuate(); err != nil {
		return nil, err
	}
	p.spread()
	p.spreadLeaders()
	return p.moves(), nil
}

type planner struct {
	open    []Broker // those that may get replicas, by id
	leaving map[int32]bool
	rack    map[int32]string // empty when racks do not count
	placed  []*placed
	topics  []*topic
	total   counts
}

// counts is how much each broker has.
type counts struct{ replicas, leaders map[int32]int }

func newCounts() counts { return counts{map[int32]int{}, map[int32]int{}} }

type placed struct {
	Partition
	before []int32
	topic  *topic
}

type topic struct {
	counts
	partitions []*placed
}

func newPlanner(brokers []Broker, partitions []Partition) *planner {
	p := &planner{leaving: map[int32]bool{}, rack: map[int32]string{}, total: newCounts()}
	racks := true
	for _, b := range brokers {
		p.leaving[b.ID] = b.Leaving
		if !b.Leaving && !b.Closed {
			p.open = append(p.open, b)
			racks = racks && b.Rack != ""
		}
		p.rack[b.ID] = b.Rack
	}
	if !racks {
		clear(p.rack)
	}
	slices.SortFunc(p.open, func(a, b Broker) int { return cmp.Compare(a.ID, b.ID) })
	sorted := slices.SortedFunc(slices.Values(partitions), func(a, b Partition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Number, b.Number))
	})
	for _, part := range sorted {
		if n := len(p.topics); n == 0 || p.topics[n-1].partitions[0].Topic != part.Topic {
			p.topics = append(p.topics, &topic{counts: newCounts()})
		}
		t := p.topics[len(p.topics)-1]
		at := &placed{Partition: part, before: part.Replicas, topic: t}
		at.Replicas = slices.Clone(part.Replicas)
		t.partitions, p.placed = append(t.partitions, at), append(p.placed, at)
		for _, id := range at.Replicas {
			t.replicas[id]++
			p.total.replicas[id]++
		}
		if len(at.Replicas) > 0 {
			t.leaders[at.Replicas[0]]++
			p.total.leaders[at.Replicas[0]]++
		}
	}
	return p
}

// replace puts broker `to` in the place of `from`.
func (p *planner) replace(at *placed, from, to int32) {
	i := slices.Index(at.Replicas, from)
	at.Replicas[i] = to
	for _, c := range []counts{p.total, at.topic.counts} {
		c.replicas[from]--
		c.replicas[to]++
		if i == 0 {
			c.leaders[from]--
			c.leaders[to]++
		}
	}
}

// inRack counts the replicas of a partition, without that on broker `except`, that are in the rack of broker id.
func (p *planner) inRack(at *placed, id, except int32) int {
	n, rack := 0, p.rack[id]
	for _, other := range at.Replicas {
		if rack != "" && other != except && p.rack[other] == rack {
			n++
		}
	}
	return n
}

// evacuate moves everything off the leaving brokers.
func (p *planner) evacuate() error {
	for _, at := range p.placed {
		for _, from := range slices.Clone(at.Replicas) {
			if !p.leaving[from] {
				continue
			}
			to, ok := p.refuge(at, from)
			if !ok {
				return fmt.Errorf("partition %d of %s has %d replicas, and no open broker is left that has none of them",
					at.Number, at.Topic, len(at.Replicas))
			}
			p.replace(at, from, to)
		}
	}
	return nil
}

// refuge returns the broker that suits best to take over a replica.
func (p *planner) refuge(at *placed, from int32) (int32, bool) {
	var fit []int32
	for _, b := range p.open {
		if !slices.Contains(at.Replicas, b.ID) {
			fit = append(fit, b.ID)
		}
	}
	if len(fit) == 0 {
		return 0, false
	}
	return slices.MinFunc(fit, func(a, b int32) int {
		return cmp.Or(
			cmp.Compare(p.inRack(at, a, from), p.inRack(at, b, from)),
			cmp.Compare(at.topic.replicas[a], at.topic.replicas[b]),
			cmp.Compare(p.total.replicas[a], p.total.replicas[b]),
			cmp.Compare(a, b),
		)
	}), true
}

// moves returns what changed, in the order of topics and partitions.
func (p *planner) moves() []Move {
	var moves []Move
	for _, at := range p.placed {
		if !slices.Equal(at.before, at.Replicas) {
			moves = append(moves, Move{Topic: at.Topic, Number: at.Number, From: at.before, To: at.Replicas})
		}
	}
	return moves
}

// Resize plans another number of replicas for all partitions of some topics. New replicas go where fewest are; those that are too many
// are taken off leaving brokers first, then off those that have most, and never is it the preferred leader. The error says that there
// are too few open brokers.
func Resize(brokers []Broker, partitions []Partition, topics []string, replicas int) ([]Move, error) {
	p := newPlanner(brokers, partitions)
	for _, at := range p.placed {
		if !slices.Contains(topics, at.Topic) {
			continue
		}
		for len(at.Replicas) > replicas {
			p.shrink(at)
		}
		for len(at.Replicas) < replicas {
			to, ok := p.refuge(at, -1)
			if !ok {
				return nil, fmt.Errorf("%d replicas of partition %d of %s are asked for, and only %d brokers can have one",
					replicas, at.Number, at.Topic, len(at.Replicas))
			}
			at.Replicas = append(at.Replicas, to)
			at.topic.replicas[to]++
			p.total.replicas[to]++
		}
	}
	return p.moves(), nil
}

// shrink takes away the replica that is missed least.
func (p *planner) shrink(at *placed) {
	followers := at.Replicas[1:]
	worst := slices.MaxFunc(followers, func(a, b int32) int {
		return cmp.Or(
			compareBool(p.leaving[a], p.leaving[b]),
			cmp.Compare(p.inRack(at, a, a), p.inRack(at, b, b)),
			cmp.Compare(at.topic.replicas[a], at.topic.replicas[b]),
			cmp.Compare(p.total.replicas[a], p.total.replicas[b]),
			cmp.Compare(a, b),
		)
	})
	i := slices.Index(at.Replicas, worst)
	at.Replicas = slices.Delete(at.Replicas, i, i+1)
	at.topic.replicas[worst]--
	p.total.replicas[worst]--
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
