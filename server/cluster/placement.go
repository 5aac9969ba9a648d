package cluster

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"balsa/raft"
)

// placer chooses replicas for the partitions of one topic. For each partition it takes the brokers that hold fewest
// replicas, first of this topic and then of all, so that a topic is spread over all brokers even when some of them are
// new and empty. With racks it takes as many different ones as it can (KIP-36). Of brokers that are equal it prefers those
// that do not yet share a partition of the topic, so that when one fails the others take over alike. Then the replica that
// leads fewest partitions becomes the preferred leader.
type placer struct {
	brokers []candidate
	loads   loads // of all topics; kept up to date for the next topic of the same request
	random  *rand.Rand
	racks   bool
	shared  [][]int // how many partitions of the topic two brokers share, by position
}

type candidate struct {
	id     raft.NodeID
	rack   string
	alive  bool
	load         // of this topic
	total  *load // of all topics
	inRack int   // replicas of the partition at hand in this one's rack
	chosen bool  // for the partition at hand
}

// load is how much is placed on a broker.
type load struct{ replicas, leaders int }

// loads is what is placed on each broker.
type loads map[raft.NodeID]*load

func (l loads) of(id raft.NodeID) *load {
	if l[id] == nil {
		l[id] = &load{}
	}
	return l[id]
}

func (l loads) add(p Partition) {
	for _, id := range p.Replicas {
		l.of(id).replicas++
	}
	l.of(p.Replicas[0]).leaders++
}

// countLoads counts what is placed in img, in one pass over all partitions.
func countLoads(img *Image) loads {
	l := loads{}
	for _, t := range img.Topics {
		for _, p := range t.Partitions {
			l.add(p)
		}
	}
	return l
}

// newPlacer returns a placer for a topic that already has the partitions existing. Brokers that are not alive are used only
// when there are fewer than replicationFactor others.
func (d *Decider) newPlacer(img *Image, l loads, existing []Partition, replicationFactor int) *placer {
	p := &placer{loads: l, random: d.Rand, racks: true}
	alive := 0
	for _, id := range d.openBrokers(img) {
		c := candidate{id: id, rack: img.Brokers[id].Rack, alive: d.Alive(id), total: l.of(id)}
		if c.alive {
			alive++
		}
		// As Kafka, ignore racks unless every broker has one.
		p.racks = p.racks && c.rack != ""
		p.brokers = append(p.brokers, c)
	}
	if alive >= replicationFactor {
		p.brokers = slices.DeleteFunc(p.brokers, func(c candidate) bool { return !c.alive })
	}
	p.shared = make([][]int, len(p.brokers))
	for i := range p.shared {
		p.shared[i] = make([]int, len(p.brokers))
	}
	p.countExisting(existing)
	return p
}

func (p *placer) countExisting(existing []Partition) {
	position := make(map[raft.NodeID]int, len(p.brokers))
	for i, c := range p.brokers {
		position[c.id] = i
	}
	for _, partition := range existing {
		var set []int
		for _, id := range partition.Replicas {
			if at, ok := position[id]; ok {
				set = append(set, at)
			}
		}
		p.share(set)
		if at, ok := position[partition.Replicas[0]]; ok {
			p.brokers[at].leaders++
		}
	}
}

// share notes that the brokers of set hold a partition of the topic together.
func (p *placer) share(set []int) {
	for _, i := range set {
		p.brokers[i].replicas++
		for _, j := range set {
			p.shared[i][j]++
		}
	}
}

// placeAll returns the replicas of the next n partitions, the preferred leader first. There must be at least
// replicationFactor brokers.
func (p *placer) placeAll(n, replicationFactor int) []Partition {
	sets := make([][]int, n)
	for i := range sets {
		sets[i] = p.nextSet(replicationFactor)
	}
	p.chooseLeaders(sets)
	partitions := make([]Partition, n)
	for i, set := range sets {
		for _, at := range set {
			partitions[i].Replicas = append(partitions[i].Replicas, p.brokers[at].id)
		}
		p.loads.add(partitions[i])
	}
	return partitions
}

// nextSet chooses the brokers of one partition, by position.
func (p *placer) nextSet(replicationFactor int) []int {
	for i := range p.brokers {
		p.brokers[i].inRack, p.brokers[i].chosen = 0, false
	}
	set := make([]int, 0, replicationFactor)
	for range replicationFactor {
		next := p.next(set)
		p.brokers[next].chosen = true
		for i := range p.brokers {
			if p.racks && p.brokers[i].rack == p.brokers[next].rack {
				p.brokers[i].inRack++
			}
		}
		set = append(set, next)
	}
	p.share(set)
	return set
}

// next returns the broker that suits best beside those of set; of equal ones, any.
func (p *placer) next(set []int) int {
	best, equals := -1, 0
	for i := range p.brokers {
		if p.brokers[i].chosen {
			continue
		}
		order := -1
		if best >= 0 {
			order = p.compare(i, best, set)
		}
		if order == 0 {
			equals++
			if p.random.IntN(equals) == 0 {
				best = i
			}
		}
		if order < 0 {
			best, equals = i, 1
		}
	}
	return best
}

// compare is below zero when broker i suits better than j beside the brokers of set.
func (p *placer) compare(i, j int, set []int) int {
	a, b := &p.brokers[i], &p.brokers[j]
	sharedA, sharedB := 0, 0
	for _, k := range set {
		sharedA += p.shared[i][k]
		sharedB += p.shared[j][k]
	}
	return cmp.Or(
		compareAlive(a, b),
		cmp.Compare(a.inRack, b.inRack),
		cmp.Compare(a.replicas, b.replicas),
		cmp.Compare(sharedA, sharedB),
		cmp.Compare(a.total.replicas, b.total.replicas),
	)
}
