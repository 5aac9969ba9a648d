package group

import (
	"maps"
	"slices"
)

// topicID is a topic's UUID.
type topicID = [16]byte

// assignment is a set of partitions by topic, each list in ascending order and not empty. It is not changed once a
// record or a member has it.
type assignment map[topicID][]int32

// ownership is the set of partitions that a member has, each with the member epoch in which it was assigned (KIP-1251).
// It is not changed once a member has it.
type ownership map[topicID]map[int32]int32

func (a assignment) has(topic topicID, partition int32) bool {
	_, found := slices.BinarySearch(a[topic], partition)
	return found
}

func (a assignment) equal(b assignment) bool { return maps.EqualFunc(a, b, slices.Equal) }

// with returns the union of two sets.
func (a assignment) with(b assignment) assignment {
	if len(b) == 0 {
		return a
	}
	union := make(assignment, len(a)+len(b))
	maps.Copy(union, a)
	for topic, partitions := range b {
		merged := slices.Concat(union[topic], partitions)
		slices.Sort(merged)
		union[topic] = slices.Compact(merged)
	}
	return union
}

// without returns what is in a and not in b.
func (a assignment) without(b assignment) assignment {
	rest := maps.Clone(a)
	for topic := range b {
		kept := slices.DeleteFunc(slices.Clone(a[topic]), func(partition int32) bool { return b.has(topic, partition) })
		if len(kept) > 0 {
			rest[topic] = kept
		} else {
			delete(rest, topic)
		}
	}
	return rest
}

func (a assignment) count() (n int) {
	for _, partitions := range a {
		n += len(partitions)
	}
	return n
}

func (o ownership) has(topic topicID, partition int32) bool {
	_, ok := o[topic][partition]
	return ok
}

func (o ownership) add(topic topicID, partition, epoch int32) {
	if o[topic] == nil {
		o[topic] = map[int32]int32{}
	}
	o[topic][partition] = epoch
}

// samePartitions says whether two sets are the same, whenever their partitions were assigned.
func (o ownership) samePartitions(other ownership) bool {
	return maps.EqualFunc(o, other, func(a, b map[int32]int32) bool {
		if len(a) != len(b) {
			return false
		}
		for partition := range a {
			if _, ok := b[partition]; !ok {
				return false
			}
		}
		return true
	})
}

func (o ownership) equal(other ownership) bool {
	return maps.EqualFunc(o, other, func(a, b map[int32]int32) bool { return maps.Equal(a, b) })
}

// partitions returns the set without its epochs.
func (o ownership) partitions() assignment {
	a := make(assignment, len(o))
	for topic, partitions := range o {
		a[topic] = slices.Sorted(maps.Keys(partitions))
	}
	return a
}

// sortedTopics returns the topics in the order of their ids, for what must not depend on the order of a map.
func sortedTopics[V any](m map[topicID]V) []topicID {
	return slices.SortedFunc(maps.Keys(m), func(a, b topicID) int { return slices.Compare(a[:], b[:]) })
}

func (e *encoder) assignment(a assignment) {
	e.Uvarint(uint64(len(a)))
	for _, topic := range sortedTopics(a) {
		e.ID(topic)
		e.Uvarint(uint64(len(a[topic])))
		for _, partition := range a[topic] {
			e.Varint(int64(partition))
		}
	}
}

func (e *encoder) ownership(o ownership) {
	e.Uvarint(uint64(len(o)))
	for _, topic := range sortedTopics(o) {
		e.ID(topic)
		e.Uvarint(uint64(len(o[topic])))
		for partition, epoch := range sorted(o[topic]) {
			e.Varint(int64(partition))
			e.Varint(int64(epoch))
		}
	}
}

const (
	// minTopicBytes is the least that a topic takes: its id and a count.
	minTopicBytes = 17
	// minPartitionBytes and minOwnedBytes are the least that a partition takes without and with an epoch.
	minPartitionBytes, minOwnedBytes = 1, 2
)

func (d *decoder) assignment() assignment {
	n := d.Count(minTopicBytes)
	a := make(assignment, n)
	for range n {
		topic := d.ID()
		partitions := make([]int32, d.Count(minPartitionBytes))
		for i := range partitions {
			partitions[i] = d.I32()
		}
		slices.Sort(partitions)
		if partitions = slices.Compact(partitions); len(partitions) > 0 {
			a[topic] = partitions
		}
	}
	return a
}

func (d *decoder) ownership() ownership {
	n := d.Count(minTopicBytes)
	o := make(ownership, n)
	for range n {
		topic := d.ID()
		for range d.Count(minOwnedBytes) {
			partition := d.I32()
			o.add(topic, partition, d.I32())
		}
	}
	return o
}
