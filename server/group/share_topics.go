package group

import (
	"slices"
	"time"
)

// refreshTopics bumps the group epoch if bump says so or the topics that the group reads have changed, and has share partitions made
// where there are none.
func (c *shareChange) refreshTopics(now time.Time, bump bool) {
	g, topics := c.group, c.leader.env.Topics()
	if !bump && g.version == topics.Version() {
		return
	}
	g.version = topics.Version()
	names := g.subscribed()
	if hash := hashTopics(names, topics); bump || hash != g.topicsHash {
		c.set(g.epoch+1, g.targetEpoch, hash)
	}
	absent := assignment{}
	for name := range names {
		if id, partitions, ok := topics.ByName(name); ok {
			if missing := g.absent(id, partitions); len(missing) > 0 {
				absent[id] = missing
			}
		}
	}
	if len(absent) > 0 {
		g.initializing = now
		c.move(absent, shareInitializing)
	}
}

// absent returns the partitions of a topic of which nothing is on record.
func (g *shareGroup) absent(topic topicID, partitions int32) (absent []int32) {
	known := 0
	for _, a := range g.partitions {
		known += len(a[topic])
	}
	if known >= int(partitions) {
		return nil
	}
	for partition := range partitions {
		if g.partitionState(topic, partition) == shareAbsent {
			absent = append(absent, partition)
		}
	}
	return absent
}

// move puts partitions on record as being in a state.
func (c *shareChange) move(partitions assignment, to sharePartitionState) {
	if len(partitions) > 0 {
		c.do(sharePartitionsMoved{c.group.id, to, partitions, c.leader.env.Topics().Version()})
	}
}

// retarget computes what each member should have, if that is not known for the group's epoch.
func (c *shareChange) retarget() {
	g := c.group
	if g.epoch <= g.targetEpoch {
		return
	}
	in := g.assignorInput(c.leader.env.Topics())
	changed := 0
	for i, target := range assignSimple(in) {
		if m := &in.members[i]; !target.equal(m.previous) {
			changed++
			c.do(shareTargetStored{g.id, m.id, target})
		}
	}
	c.set(g.epoch, g.epoch, g.topicsHash)
	c.leader.env.Logger.Info("group assignment computed", "group", g.id, "epoch", g.epoch, "members", len(in.members),
		"assignor", assignorSimple, "changed", changed)
}

func (g *shareGroup) assignorInput(topics Topics) simpleInput {
	in := simpleInput{partitions: g.partitions[shareInitialized]}
	for id, m := range sorted(g.members) {
		member := assignorMember{id: id, previous: g.target[id]}
		for _, name := range m.topics {
			if topic, _, ok := topics.ByName(name); ok {
				member.topics = append(member.topics, topic)
			}
		}
		slices.SortFunc(member.topics, func(a, b topicID) int { return slices.Compare(a[:], b[:]) })
		in.members = append(in.members, member)
	}
	return in
}
