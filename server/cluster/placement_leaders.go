package cluster

import (
	"cmp"
	"slices"
)

// chooseLeaders moves the preferred leader of each set to its front, so that the brokers lead as evenly many partitions of the
// topic as the sets allow: first one by one, whoever leads fewest; then, where that left somebody with two more than
// somebody else, leadership is passed along from one to the other.
func (p *placer) chooseLeaders(sets [][]int) {
	totals := make([]int, len(p.brokers)) // of all topics; only breaks ties
	for i := range p.brokers {
		totals[i] = p.brokers[i].total.leaders
	}
	for _, set := range sets {
		leader := slices.MinFunc(set, func(i, j int) int {
			a, b := &p.brokers[i], &p.brokers[j]
			return cmp.Or(compareAlive(a, b), cmp.Compare(a.leaders, b.leaders), cmp.Compare(totals[i], totals[j]))
		})
		p.brokers[leader].leaders++
		totals[leader]++
		toFront(set, leader)
	}
	for p.passLeadership(sets) {
	}
}

func compareAlive(a, b *candidate) int {
	switch {
	case a.alive == b.alive:
		return 0
	case a.alive:
		return -1
	}
	return 1
}

func toFront(set []int, leader int) {
	at := slices.Index(set, leader)
	set[0], set[at] = set[at], set[0]
}

// passLeadership finds a broker that leads two or more partitions more than another that it can pass one to, perhaps by way of
// others, and does so. It returns false when there is none. Every pass makes the sum of squares smaller, so it ends.
func (p *placer) passLeadership(sets [][]int) bool {
	ledBy := make([][]int, len(p.brokers)) // which sets each broker leads
	for i, set := range sets {
		ledBy[set[0]] = append(ledBy[set[0]], i)
	}
	byLoad := make([]int, len(p.brokers))
	for i := range byLoad {
		byLoad[i] = i
	}
	slices.SortStableFunc(byLoad, func(i, j int) int { return cmp.Compare(p.brokers[j].leaders, p.brokers[i].leaders) })
	for _, from := range byLoad {
		if path := p.pathToLighter(from, sets, ledBy); path != nil {
			p.brokers[from].leaders--
			for _, step := range path {
				toFront(sets[step.set], step.to)
			}
			p.brokers[path[0].to].leaders++
			return true
		}
	}
	return false
}

// step hands the leadership of a set over to one of its members.
type step struct{ set, to int }

// pathToLighter searches, breadth first, for the shortest way to hand one leadership from a broker to one that leads at least two
// fewer. The last step comes first.
func (p *placer) pathToLighter(from int, sets [][]int, ledBy [][]int) []step {
	came := make([]step, len(p.brokers)) // how the search got to a broker
	seen := make([]bool, len(p.brokers))
	seen[from] = true
	queue := []int{from}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, set := range ledBy[at] {
			for _, to := range sets[set][1:] {
				if seen[to] || !p.brokers[to].alive {
					continue
				}
				seen[to], came[to] = true, step{set, to}
				if p.brokers[to].leaders+2 <= p.brokers[from].leaders {
					return pathTo(came, sets, to, from)
				}
				queue = append(queue, to)
			}
		}
	}
	return nil
}

func pathTo(came []step, sets [][]int, to, from int) []step {
	var path []step
	for to != from {
		path = append(path, came[to])
		to = sets[came[to].set][0]
	}
	return path
}
