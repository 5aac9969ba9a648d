package cluster

import (
	"cmp"
	"slices"

	"balsa/raft"
)

// placer chooses replicas for the partitions of one topic. For each partition it takes the brokers that hold fewest
// replicas, first of this topic and then of all, so that a topic is spread over all brokers even when some of them are
// new and empty. With racks it takes as many different ones as it can (KIP-36). Of brokers that are equal it prefers those
// that do not yet share a partition of the topic, so that when one fails the others take over alike. Then the replica that
// leads fewest partitions becomes the preferred leader.
type placer struct {
	brokers []candidate // in ring order: the start was chosen at random by the caller
	loads   loads       // of all topics; kept up to date for the next topic of the same request
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
// when there are fewer than replicationFactor others. Ties go round the brokers from a random start.
func (d *Decider) newPlacer(img *Image, l loads, existing []Partition, replicationFactor int) *placer {
	p := &placer{loads: l, racks: true}
	alive := 0
	for _, id := range d.knownBrokers(img) {
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
	if n := len(p.brokers); n > 0 {
		start := d.Rand.IntN(n)
		p.brokers = slices.Concat(p.brokers[start:], p.brokers[:start])
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

// placeAll returns the replicas of the next n partitions.
func (p *placer) placeAll(n, replicationFactor int) []Partition {
	partitions := make([]Partition, n)
	for i := range partitions {
		partitions[i] = p.place(replicationFactor)
	}
	return partitions
}

// place returns the replicas of the next partition, the preferred leader first. There must be at least replicationFactor brokers.
func (p *placer) place(replicationFactor int) Partition {
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
	leader := p.leader(set)
	p.brokers[leader].leaders++
	replicas := []raft.NodeID{p.brokers[leader].id}
	for _, i := range set {
		if i != leader {
			replicas = append(replicas, p.brokers[i].id)
		}
	}
	placed := Partition{Replicas: replicas}
	p.loads.add(placed)
	return placed
}

func (p *placer) next(set []int) int {
	best := -1
	for i := range p.brokers {
		if !p.brokers[i].chosen && (best < 0 || p.compare(i, best, set) < 0) {
			best = i
		}
	}
	return best
}

// compare is below zero when broker i suits better than j beside the brokers of set.
func (p *placer) compare(i, j int, set []int) int {
	a, b := &p.brokers[i], &p.brokers[j]
	if a.alive != b.alive {
		if a.alive {
			return -1
		}
		return 1
	}
	sharedA, sharedB := 0, 0
	for _, k := range set {
		sharedA += p.shared[i][k]
		sharedB += p.shared[j][k]
	}
	return cmp.Or(
		cmp.Compare(a.inRack, b.inRack),
		cmp.Compare(a.replicas, b.replicas),
		cmp.Compare(sharedA, sharedB),
		cmp.Compare(a.total.replicas, b.total.replicas),
	)
}

func (p *placer) leader(set []int) int {
	return slices.MinFunc(set, func(i, j int) int {
		a, b := &p.brokers[i], &p.brokers[j]
		if a.alive != b.alive {
			if a.alive {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.leaders, b.leaders), cmp.Compare(a.total.leaders, b.total.leaders))
	})
}
