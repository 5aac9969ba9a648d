package group

import (
	"slices"
)

// assignUniform gives all members about the same number of partitions, whatever topics they are of, and moves as few as
// that takes. When all members read the same topics no two members differ by more than one; else no partition could move
// to another of its readers that has two less than who has it.
func assignUniform(in assignorInput) []assignment {
	u := newUniform(in)
	u.keep()
	u.distribute()
	u.balance()
	result := make([]assignment, len(in.members))
	for i := range result {
		result[i] = assignment{}
	}
	for _, topic := range sortedTopics(u.owner) {
		for partition, i := range u.owner[topic] {
			result[i][topic] = append(result[i][topic], int32(partition))
		}
	}
	return result
}

// uniform is an assignment in the making. Members are named by their index.
type uniform struct {
	in      assignorInput
	readers map[topicID][]int
	topics  []topicID         // those that are read, in the order of their ids
	owner   map[topicID][]int // by partition; nobody for none
	load    []int             // partitions by member
	quota   int               // what everybody has at least, when all read the same
	extra   int               // how many have one more than that
}

const nobody = -1

func newUniform(in assignorInput) *uniform {
	u := &uniform{in: in, readers: in.readers(), owner: map[topicID][]int{}, load: make([]int, len(in.members))}
	u.topics = sortedTopics(u.readers)
	for _, topic := range u.topics {
		owners := make([]int, in.partitions[topic])
		for partition := range owners {
			owners[partition] = nobody
		}
		u.owner[topic] = owners
	}
	return u
}

// same says whether all members read the same topics.
func (u *uniform) same() bool {
	for i := range u.in.members {
		if !slices.Equal(u.in.members[i].topics, u.in.members[0].topics) {
			return false
		}
	}
	return true
}

// keep leaves members what they had and may still have. When all read the same it is known beforehand how much that is.
func (u *uniform) keep() {
	limit := func() int { return int(^uint(0) >> 1) }
	taken := func(int) {}
	if n := len(u.in.members); n > 0 && u.same() {
		total := 0
		for _, topic := range u.topics {
			total += len(u.owner[topic])
		}
		u.quota, u.extra = total/n, total%n
		extra := u.extra
		limit = func() int {
			if extra > 0 {
				return u.quota + 1
			}
			return u.quota
		}
		taken = func(load int) {
			if load > u.quota {
				extra--
			}
		}
	}
	for i := range u.in.members {
		m := &u.in.members[i]
		for _, topic := range m.topics {
			owners := u.owner[topic]
			for _, partition := range m.previous[topic] {
				if int(partition) < len(owners) && owners[partition] == nobody && u.load[i] < limit() {
					owners[partition] = i
					u.load[i]++
				}
			}
		}
		taken(u.load[i])
	}
}

// distribute gives each partition that nobody has to the reader with the least. Topics with few readers go first, since
// they have the least choice.
func (u *uniform) distribute() {
	order := slices.Clone(u.topics)
	slices.SortStableFunc(order, func(a, b topicID) int { return len(u.readers[a]) - len(u.readers[b]) })
	for _, topic := range order {
		heap := newLoadHeap(u, u.readers[topic])
		for partition, owner := range u.owner[topic] {
			if owner == nobody {
				i := heap.least()
				u.owner[topic][partition] = i
				u.load[i]++
				heap.grown()
			}
		}
	}
}

// balance moves partitions from those who have much to those who have two less or more, until there are none. Each move
// makes the sum of the squares of the loads smaller, so it ends.
func (u *uniform) balance() {
	for moved := true; moved; {
		moved = false
		for _, topic := range u.topics {
			heap := newLoadHeap(u, u.readers[topic])
			for partition, owner := range u.owner[topic] {
				i := heap.least()
				if u.load[owner] < u.load[i]+2 {
					continue
				}
				u.owner[topic][partition] = i
				u.load[i]++
				u.load[owner]--
				heap = newLoadHeap(u, u.readers[topic])
				moved = true
			}
		}
	}
}

// loadHeap finds the member with the least load among some; of equals the first.
type loadHeap struct {
	u       *uniform
	members []int
}

func newLoadHeap(u *uniform, readers []int) *loadHeap {
	h := &loadHeap{u, slices.Clone(readers)}
	for i := len(h.members)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
	return h
}

func (h *loadHeap) less(i, j int) bool {
	a, b := h.members[i], h.members[j]
	if h.u.load[a] != h.u.load[b] {
		return h.u.load[a] < h.u.load[b]
	}
	return a < b
}

func (h *loadHeap) least() int { return h.members[0] }

// grown restores the order after the least has got more.
func (h *loadHeap) grown() { h.down(0) }

func (h *loadHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.members); child++ {
			if h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.members[i], h.members[least] = h.members[least], h.members[i]
		i = least
	}
}
