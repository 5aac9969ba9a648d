package group

import (
	"cmp"
	"slices"
)

// assignorInput is what a server-side assignor decides by.
type assignorInput struct {
	members    []assignorMember // in the order of their ids
	partitions map[topicID]int32
}

// assignorMember is a member as an assignor sees it.
type assignorMember struct {
	id         string
	instanceID *string
	topics     []topicID // what it reads, of those that exist, in the order of their ids
	previous   assignment
}

// assignor computes what each member should have, in the order of the input's members. Every partition of every topic
// that somebody reads is given to exactly one of those who read it. It is a function of its input alone.
type assignor func(in assignorInput) []assignment

// Names of the server-side assignors (group.consumer.assignors).
const (
	assignorUniform = "uniform"
	assignorRange   = "range"
)

func assignorNamed(name string) assignor {
	switch name {
	case assignorUniform:
		return assignUniform
	case assignorRange:
		return assignRanges
	}
	return nil
}

// readers returns, by topic, the indexes of the members that read it.
func (in *assignorInput) readers() map[topicID][]int {
	readers := map[topicID][]int{}
	for i := range in.members {
		for _, topic := range in.members[i].topics {
			readers[topic] = append(readers[topic], i)
		}
	}
	return readers
}

// assignRanges divides each topic by itself: the members in order get ranges of its partitions, as equal as can be. Members
// that read the same topics get the same partitions of each, which joins of topics rely on. The order is that of
// instance ids, then that of member ids, so that static members keep their ranges over a restart.
func assignRanges(in assignorInput) []assignment {
	order := make([]int, len(in.members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &in.members[i], &in.members[j]
		switch {
		case a.instanceID != nil && b.instanceID != nil:
			return cmp.Compare(*a.instanceID, *b.instanceID)
		case a.instanceID != nil:
			return -1
		case b.instanceID != nil:
			return 1
		}
		return cmp.Compare(a.id, b.id)
	})
	result := make([]assignment, len(in.members))
	for i := range result {
		result[i] = assignment{}
	}
	readers := in.readers()
	taken := map[topicID]int32{} // how many members have had their range
	next := map[topicID]int32{}  // the first partition that is left
	for _, i := range order {
		for _, topic := range in.members[i].topics {
			count, n := in.partitions[topic], int32(len(readers[topic]))
			quota := count / n
			if taken[topic] < count%n {
				quota++
			}
			taken[topic]++
			for range quota {
				result[i][topic] = append(result[i][topic], next[topic])
				next[topic]++
			}
		}
	}
	return result
}
