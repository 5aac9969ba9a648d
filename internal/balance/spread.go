package balance

import (
	"cmp"
	"slices"
)

// spread moves replicas from brokers with many to brokers with few, first within each topic and then over all of them, until no two
// brokers differ by more than one, or racks and replicas that are there already are in the way. Every move makes the sum of squares of
// one of the two smaller and of the other not larger, so it ends.
func (p *planner) spread() {
	for _, t := range p.topics {
		for p.moveOne(t.partitions, t.replicas, func(*placed, int32, int32) bool { return true }) {
		}
	}
	for p.moveOne(p.placed, p.total.replicas, func(at *placed, from, to int32) bool {
		return at.topic.replicas[from] > at.topic.replicas[to]
	}) {
	}
}

// pair is two brokers of which one has more than the other.
type pair struct{ from, to int32 }

// unequal returns the pairs of open brokers that differ by two or more, the most unequal first.
func (p *planner) unequal(have map[int32]int) []pair {
	var pairs []pair
	for _, from := range p.open {
		for _, to := range p.open {
			if have[from.ID]-have[to.ID] >= 2 {
				pairs = append(pairs, pair{from.ID, to.ID})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		return cmp.Compare(have[b.from]-have[b.to], have[a.from]-have[a.to])
	})
	return pairs
}

// moveOne moves one replica between the most unequal brokers between which one may move; false if there is none. Of those it prefers
// a follower: it takes no leadership with it.
func (p *planner) moveOne(among []*placed, have map[int32]int, may func(at *placed, from, to int32) bool) bool {
	for _, pair := range p.unequal(have) {
		var best *placed
		for _, at := range among {
			i := slices.Index(at.Replicas, pair.from)
			if i < 0 || slices.Contains(at.Replicas, pair.to) || !may(at, pair.from, pair.to) ||
				p.inRack(at, pair.to, pair.from) > p.inRack(at, pair.from, pair.from) {
				continue
			}
			best = at
			if i > 0 {
				break
			}
		}
		if best != nil {
			p.replace(best, pair.from, pair.to)
			return true
		}
	}
	return false
}

// spreadLeaders changes the order of replicas, which moves no data, until no two brokers differ by more than one in the partitions of
// a topic that they lead, and then in those of all topics, as far as the replicas allow.
func (p *planner) spreadLeaders() {
	for _, t := range p.topics {
		for p.passOne(t.partitions, t.leaders, func(*placed, int32) bool { return true }) {
		}
	}
	for p.passOne(p.placed, p.total.leaders, func(at *placed, to int32) bool {
		return at.topic.leaders[at.Replicas[0]] > at.topic.leaders[to]
	}) {
	}
}

// handover makes a replica of a partition its preferred leader.
type handover struct {
	at *placed
	to int32
}

// passOne passes one leadership from a broker to one that leads at least two fewer, perhaps by way of others; false if it cannot.
func (p *planner) passOne(among []*placed, leads map[int32]int, may func(at *placed, to int32) bool) bool {
	ledBy := map[int32][]*placed{}
	for _, at := range among {
		if len(at.Replicas) > 0 {
			ledBy[at.Replicas[0]] = append(ledBy[at.Replicas[0]], at)
		}
	}
	heavy := slices.Clone(p.open)
	slices.SortStableFunc(heavy, func(a, b Broker) int { return cmp.Compare(leads[b.ID], leads[a.ID]) })
	for _, from := range heavy {
		if path := p.lighter(from.ID, ledBy, leads, may); path != nil {
			for _, h := range path {
				p.prefer(h.at, h.to)
			}
			return true
		}
	}
	return false
}

// lighter searches, breadth first, for the shortest way from a broker to an open one that leads at least two fewer. The last step comes
// first.
func (p *planner) lighter(from int32, ledBy map[int32][]*placed, leads map[int32]int, may func(at *placed, to int32) bool) []handover {
	came := map[int32]handover{from: {}}
	for queue := []int32{from}; len(queue) > 0; queue = queue[1:] {
		for _, at := range ledBy[queue[0]] {
			for _, to := range at.Replicas[1:] {
				if _, seen := came[to]; seen || !p.isOpen(to) || !may(at, to) {
					continue
				}
				came[to] = handover{at, to}
				if leads[to]+2 <= leads[from] {
					var path []handover
					for h := came[to]; h.at != nil; h = came[h.at.Replicas[0]] {
						path = append(path, h)
					}
					return path
				}
				queue = append(queue, to)
			}
		}
	}
	return nil
}

func (p *planner) isOpen(id int32) bool {
	_, ok := slices.BinarySearchFunc(p.open, id, func(b Broker, id int32) int { return cmp.Compare(b.ID, id) })
	return ok
}

// prefer makes broker `to` the preferred leader.
func (p *planner) prefer(at *placed, to int32) {
	from, i := at.Replicas[0], slices.Index(at.Replicas, to)
	at.Replicas[0], at.Replicas[i] = to, from
	for _, c := range []counts{p.total, at.topic.counts} {
		c.leaders[from]--
		c.leaders[to]++
	}
}
