package group

import "slices"

// assignorSimple is the assignor of share groups (group.share.assignors).
const assignorSimple = "simple"

// assignSimple is the assignor of share groups. Other than in those of consumers a partition may be several members'. Every partition
// that somebody reads has a member at least, and every member that could have partitions has one at least: when there are
// fewer partitions than members, they are shared, all by the same number of members as far as can be. Beyond that it moves as
// few as it takes.
//
// in.partitions are those that may be assigned, of which there may be fewer than the topic has.
func assignSimple(in simpleInput) []assignment {
	result := make([]assignment, len(in.members))
	for i := range result {
		result[i] = assignment{}
	}
	if in.same() {
		everybody := make([]int, len(in.members))
		for i := range everybody {
			everybody[i] = i
		}
		if len(everybody) > 0 {
			in.share(in.members[0].topics, everybody, result)
		}
		return result
	}
	readers := in.readers()
	for _, topic := range sortedTopics(readers) {
		in.share([]topicID{topic}, readers[topic], result)
	}
	return result
}

// simpleInput is what assignSimple decides by.
type simpleInput struct {
	members    []assignorMember // in the order of their ids
	partitions assignment
}

// same says whether all members read the same topics.
func (in *simpleInput) same() bool {
	return !slices.ContainsFunc(in.members, func(m assignorMember) bool { return !slices.Equal(m.topics, in.members[0].topics) })
}

func (in *simpleInput) readers() map[topicID][]int {
	all := assignorInput{members: in.members}
	return all.readers()
}

// share divides the partitions of topics among members who all read them.
func (in *simpleInput) share(topics []topicID, readers []int, result []assignment) {
	s := sharing{held: make([]int, len(readers))}
	for _, topic := range topics {
		for _, partition := range in.partitions[topic] {
			s.partitions = append(s.partitions, sharedPartition{topic: topic, partition: partition})
		}
	}
	if len(s.partitions) == 0 {
		return
	}
	s.most = (len(readers) + len(s.partitions) - 1) / len(s.partitions)
	total := s.most * len(s.partitions)
	s.quota, s.extra = total/len(readers), total%len(readers)
	in.keep(&s, topics, readers)
	s.fill(s.quota)
	s.fill(s.quota + 1)
	for i := range s.partitions {
		p := &s.partitions[i]
		for _, reader := range p.readers {
			a := result[readers[reader]]
			a[p.topic] = append(a[p.topic], p.partition)
		}
	}
}

// keep leaves members what they had.
func (in *simpleInput) keep(s *sharing, topics []topicID, readers []int) {
	for reader, i := range readers {
		first := 0 // of the topic, in s.partitions
		for _, topic := range topics {
			for _, partition := range in.members[i].previous[topic] {
				if n, found := slices.BinarySearch(in.partitions[topic], partition); found {
					s.give(reader, &s.partitions[first+n])
				}
			}
			first += len(in.partitions[topic])
		}
	}
}

// sharing is the division of some partitions among those who read them, in the making. Readers are named by their index.
type sharing struct {
	partitions []sharedPartition
	most       int   // how many share a partition
	quota      int   // how many partitions everybody has at least
	extra      int   // how many readers may have one more than that
	held       []int // partitions by reader
}

type sharedPartition struct {
	topic     topicID
	partition int32
	readers   []int
}

// give gives a partition to a reader if neither has enough.
func (s *sharing) give(reader int, p *sharedPartition) bool {
	switch {
	case len(p.readers) >= s.most || s.held[reader] > s.quota:
		return false
	case s.held[reader] == s.quota && s.extra == 0:
		return false
	case s.held[reader] == s.quota:
		s.extra--
	}
	p.readers = append(p.readers, reader)
	s.held[reader]++
	return true
}

// fill gives partitions that too few share to readers that have less than limit, in turns. One that only readers have who have
// it already stays as it is: it has a reader, and a fair division of the others is worth more than moving them.
func (s *sharing) fill(limit int) {
	var hungry []int
	for reader, held := range s.held {
		if held < limit {
			hungry = append(hungry, reader)
		}
	}
	next := 0
	for i := range s.partitions {
		p := &s.partitions[i]
		for tried := 0; len(p.readers) < s.most && tried < len(hungry); {
			next %= len(hungry)
			reader := hungry[next]
			if slices.Contains(p.readers, reader) || !s.give(reader, p) {
				tried++
				next++
				continue
			}
			tried = 0
			if s.held[reader] >= limit {
				hungry = slices.Delete(hungry, next, next+1)
			} else {
				next++
			}
		}
	}
}
