package group

import (
	"iter"
	"maps"
	"slices"
	"time"
)

// Floor is the lowest offset of a partition that a group needs.
type Floor struct {
	Topic     [16]byte
	Partition int32
	Offset    int64
}

// heldTopic is a topic that floors are asked for.
type heldTopic struct {
	id         topicID
	name       string
	partitions int32
}

// Floors returns what groups need of topics, which are given by id, one floor for a group and partition. A group of consumers that
// reads a topic needs everything that it has not committed; so does one that has committed some of its partitions and
// may be back. Who assigns partitions itself needs those only that it has committed. A share group needs everything of
// a topic's partitions until it has share partitions there, which know from then on; also without members, of a topic that has grown
// meanwhile.
func (l *Leader) Floors(now time.Time, topics [][16]byte) []Floor {
	var held []heldTopic
	known := l.env.Topics()
	for _, id := range topics {
		if name, partitions, ok := known.ByID(id); ok {
			held = append(held, heldTopic{id, name, partitions})
		}
	}
	if len(held) == 0 {
		return nil
	}
	var floors []Floor
	for group := range l.ids() {
		if g := l.shares[group]; g != nil {
			for i := range held {
				floors = g.appendFloors(floors, &held[i])
			}
			continue
		}
		s, reads := l.state.groups[group], l.reads(group, now)
		for i := range held {
			floors = s.appendFloors(floors, &held[i], reads(held[i].name))
		}
	}
	return floors
}

// ids iterates over the ids of all groups, those that are recorded and those that are about to be.
func (l *Leader) ids() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, known := range []iter.Seq[string]{maps.Keys(l.groups), maps.Keys(l.consumers), maps.Keys(l.shares)} {
			for id := range known {
				if l.state.groups[id] == nil && !yield(id) {
					return
				}
			}
		}
		for id := range l.state.groups {
			if !yield(id) {
				return
			}
		}
	}
}

// reads returns what says whether a group of consumers has members that read a topic, or that may.
func (l *Leader) reads(group string, now time.Time) func(topic string) bool {
	if g := l.consumers[group]; g != nil {
		names := g.subscribed(l.env.Topics(), now)
		return func(topic string) bool { return names[topic] }
	}
	g := l.groups[group] // a group that is not in memory has no members
	switch {
	case g == nil || len(g.members) == 0 || !g.isConsumer():
		return func(string) bool { return false }
	case g.state == statePreparingRebalance:
		return func(string) bool { return true } // what those who join read is known when they all have
	}
	return g.isSubscribed
}

// appendFloors adds the floors of a group of consumers; reads says whether it has members that read the topic.
func (g *stored) appendFloors(floors []Floor, t *heldTopic, reads bool) []Floor {
	everything := reads || g.returns(t)
	if !everything && (g == nil || len(g.offsets[t.name])+len(g.pending[t.name]) == 0) {
		return floors
	}
	for partition := range t.partitions {
		o, committed := g.offset(t.name, partition)
		switch {
		case committed && o.TopicID == t.id:
			floors = append(floors, Floor{t.id, partition, o.Offset})
		case everything || g.commits(t, partition):
			floors = append(floors, Floor{t.id, partition, 0})
		}
	}
	return floors
}

// returns says whether a group may be back for all of a topic: it has committed some of it, or is about to, and did not assign
// partitions itself.
func (g *stored) returns(t *heldTopic) bool {
	if g == nil || g.simple() {
		return false
	}
	for _, o := range g.offsets[t.name] {
		if o.TopicID == t.id {
			return true
		}
	}
	for partition := range g.pending[t.name] {
		if g.commits(t, partition) {
			return true
		}
	}
	return false
}

// commits says whether a transaction that has not ended commits an offset of a partition.
func (g *stored) commits(t *heldTopic, partition int32) bool {
	return g != nil && slices.ContainsFunc(g.pending[t.name][partition], func(o pendingOffset) bool { return o.offset.TopicID == t.id })
}

// appendFloors adds the floors of a share group.
func (g *shareGroup) appendFloors(floors []Floor, t *heldTopic) []Floor {
	initialized := g.partitions[shareInitialized]
	if len(initialized[t.id]) == 0 && !g.reads(t.name) {
		return floors
	}
	for partition := range t.partitions {
		if !initialized.has(t.id, partition) {
			floors = append(floors, Floor{t.id, partition, 0})
		}
	}
	return floors
}
