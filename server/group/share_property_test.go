package group

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestShareModel drives two share groups with random members that join, leave, crash and change their subscription, with topics
// that come, grow and go, with administrators who set and delete offsets and groups, with commits and partitions' leaders that are slow
// and fail, done or not, and with leaders that change. At any time every share partition that exists is on record, so that it
// will be deleted with its group, and members are assigned such only as are there. Left alone, every partition of every topic
// that is read is at somebody's, and offsets are what was last set.
func TestShareModel(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			m := newShareModel(t, rand.New(rand.NewPCG(uint64(seed), 6)))
			for range 300 {
				m.step()
				m.check()
			}
			m.rest()
			m.end()
		})
	}
}

type shareModel struct {
	*harness
	rng     *rand.Rand
	members []*modelSharer
	names   int
	changes []*adminChange
	set     map[string]map[SharePartition]int64 // by group: offsets that were set, and not touched since
	quiet   map[string]time.Time                // by group: until when nobody joins
}

// modelSharer is a member whose heartbeats may be under way.
type modelSharer struct {
	*sharer
	asked   *kmsg.Response // a heartbeat on its way; nil when none
	crashed bool
}

// adminChange is a change by an administrator that is under way.
type adminChange struct {
	asked *kmsg.Response
	group string
	topic topicID
	start int64 // with AlterShareGroupOffsets, of partition 0
	alter bool
}

func newShareModel(t *testing.T, rng *rand.Rand) *shareModel {
	m := &shareModel{harness: newHarness(t), rng: rng, set: map[string]map[SharePartition]int64{"g": {}, "h": {}}, quiet: map[string]time.Time{}}
	for range 5 {
		m.members = append(m.members, m.newMember())
	}
	return m
}

func (m *shareModel) group() string { return []string{"g", "g", "g", "h"}[m.rng.IntN(4)] }

func (m *shareModel) newMember() *modelSharer {
	m.names++
	c := m.sharer(fmt.Sprint("m", m.names))
	c.group = m.group()
	m.choose(c)
	return &modelSharer{sharer: c}
}

func (m *shareModel) choose(c *sharer) {
	c.topics = [][]string{{"t"}, {"u"}, {"t", "u"}, {"t", "u", "v"}, {"v"}}[m.rng.IntN(5)]
	c.changed = true
}

func (m *shareModel) step() {
	i := m.rng.IntN(len(m.members))
	c := m.members[i]
	switch n := m.rng.IntN(100); {
	case n < 40:
		m.beatOne(c)
	case n < 48:
		m.administrate()
	case n < 55:
		m.advance(time.Duration(m.rng.IntN(8000)) * time.Millisecond)
	case n < 57:
		c.crashed = true
	case n < 62:
		if c.asked == nil && c.epoch > 0 && !c.crashed {
			c.leave()
			m.members[i] = m.newMember()
		}
	case n < 64:
		if c.asked == nil {
			m.choose(c.sharer)
		}
	case n < 68:
		m.changeTopics()
	case n < 71:
		m.hold = true
	case n < 76:
		m.hold = false
	case n < 79:
		m.shares.hold = true
	case n < 84:
		m.shares.hold = false
	case n < 86:
		m.failoverAnyhow()
	case n < 90:
		m.doOneTask()
	case n < 92:
		if len(m.held) > 0 {
			m.commitOne()
		}
	case n < 96:
		m.evacuate(m.group())
	case len(m.members) < 8:
		m.members = append(m.members, m.newMember())
	}
	m.settle()
	m.takeAnswers()
}

func (m *shareModel) beatOne(c *modelSharer) {
	switch {
	case c.epoch == 0 && m.now.Before(m.quiet[c.group]):
	case c.crashed:
		if m.rng.IntN(4) == 0 {
			*c = *m.newMember()
		}
	case c.asked == nil:
		c.asked = m.send(c.id, c.request())
	case *c.asked != nil && m.rng.IntN(8) > 0:
		c.take((*c.asked).(*kmsg.ShareGroupHeartbeatResponse))
		c.asked = nil
	case m.rng.IntN(3) == 0:
		c.asked, c.changed = nil, true // it asks again; the answer is lost
	}
}

// evacuate lets all members of a group leave, and stay away for a while, so that administrators can work.
func (m *shareModel) evacuate(group string) {
	m.quiet[group] = m.now.Add(30 * time.Second)
	for i, c := range m.members {
		if c.group == group && c.epoch > 0 {
			c.leave()
			m.members[i] = m.newMember()
		}
	}
}

// doOneTask does a task out of turn, which may be told or not, and done or not.
func (m *shareModel) doOneTask() {
	if len(m.shares.tasks) == 0 {
		return
	}
	m.shares.err = []*kerr.Error{nil, kerr.LeaderNotAvailable, kerr.RequestTimedOut}[m.rng.IntN(3)]
	if m.shares.err == kerr.RequestTimedOut {
		m.perform(m.shares.tasks[0])
	}
	m.doTask()
	m.shares.err = nil
}

// failoverAnyhow changes the leader. What it asked for of partitions' leaders may have been done.
func (m *shareModel) failoverAnyhow() {
	for _, t := range m.shares.tasks {
		if m.rng.IntN(2) == 0 {
			m.perform(t)
		}
	}
	m.failover()
}

func (m *shareModel) changeTopics() {
	name := []string{"t", "u", "v"}[m.rng.IntN(3)]
	switch id, exists := m.topics.ids[name]; {
	case !exists:
		m.topics.create(name, 1+m.rng.Int32N(6))
	case m.rng.IntN(3) == 0:
		m.topics.remove(name)
		for group, starts := range m.shares.starts { // its partitions are gone, and so is what is asked of them
			for p := range starts {
				if p.Topic == id {
					delete(starts, p)
					delete(m.set[group], p)
				}
			}
		}
		m.leader.DeleteOrphans(m.now)
	default:
		m.topics.partitions[name] += m.rng.Int32N(3)
		m.topics.version++
	}
}

// administrate sets or deletes offsets, or deletes a group. What was set before counts no more.
func (m *shareModel) administrate() {
	change := &adminChange{group: m.group()}
	name := []string{"t", "u", "v"}[m.rng.IntN(3)]
	change.topic = m.topics.ids[name]
	concurrent := slices.ContainsFunc(m.changes, func(other *adminChange) bool { return other.group == change.group })
	forget := func(all bool) {
		for p := range m.set[change.group] {
			if all || p.Topic == change.topic {
				delete(m.set[change.group], p)
			}
		}
		for _, other := range m.changes {
			if other.group == change.group && (all || other.topic == change.topic) {
				other.alter = false // which of them comes last is not known
			}
		}
	}
	switch m.rng.IntN(6) {
	case 0, 1, 2:
		change.alter, change.start = !concurrent, m.rng.Int64N(1000)
		forget(false)
		change.asked = m.send("admin", alterRequest(change.group, name, change.start))
	case 3, 4:
		forget(false)
		change.asked = m.send("admin", deleteOffsetsRequest(change.group, name))
	default:
		forget(true)
		change.asked = m.send("admin", deleteGroupRequest(change.group))
	}
	m.changes = append(m.changes, change)
}

// takeAnswers reads what administrators are answered.
func (m *shareModel) takeAnswers() {
	m.changes = slices.DeleteFunc(m.changes, func(c *adminChange) bool {
		if *c.asked == nil {
			return false
		}
		if resp, ok := (*c.asked).(*kmsg.AlterShareGroupOffsetsResponse); ok && c.alter && resp.ErrorCode == 0 &&
			resp.Topics[0].Partitions[0].ErrorCode == 0 {
			if _, _, exists := m.topics.ByID(c.topic); exists {
				m.set[c.group][SharePartition{c.topic, 0}] = c.start
			}
		}
		return true
	})
}

// check is what holds at any time.
func (m *shareModel) check() {
	for group, starts := range m.shares.starts {
		var recorded *shareState
		if s := m.state.groups[group]; s != nil {
			recorded = s.share
		}
		for p := range starts {
			_, _, exists := m.topics.ByID(p.Topic)
			if exists && (recorded == nil || recorded.partitionState(p.Topic, p.Partition) == shareAbsent) {
				m.t.Fatalf("group %s: nobody knows of its share partition %x/%d", group, p.Topic[8:], p.Partition)
			}
		}
		if recorded == nil {
			continue
		}
		for id, member := range recorded.members {
			for topic, partitions := range member.assigned {
				for _, partition := range partitions {
					_, there := starts[SharePartition{topic, partition}]
					if _, _, exists := m.topics.ByID(topic); exists && !there {
						m.t.Fatalf("group %s: %s is assigned %x/%d, which is not there", group, id, topic[8:], partition)
					}
				}
			}
		}
	}
	restored := NewState()
	if err := restored.Restore(m.state.Snapshot()); err != nil || !bytes.Equal(restored.Snapshot(), m.state.Snapshot()) {
		m.t.Fatalf("snapshot does not restore to the same state (%v)", err)
	}
	for id, g := range m.leader.shares {
		if m.leader.writing[id] > 0 {
			continue
		}
		live := &State{groups: map[string]*stored{"g": {share: g.shareState}}}
		durable := &State{groups: map[string]*stored{"g": {share: m.state.groups[id].share}}}
		if !bytes.Equal(live.Snapshot(), durable.Snapshot()) {
			m.t.Fatal("with nothing on its way the leader's memory differs from what is durable")
		}
	}
}

// rest lets the groups come to rest, and checks that nothing is left over.
func (m *shareModel) rest() {
	m.hold, m.shares.hold = false, false
	m.settle()
	m.leader.DeleteOrphans(m.now)
	m.settle()
	for range 30 {
		m.advance(3 * time.Second)
		for i, c := range m.members {
			if c.crashed {
				m.members[i] = m.newMember()
				continue
			}
			c.changed = c.changed || c.asked != nil
			c.asked = nil
			c.beat()
		}
	}
	m.takeAnswers()
	m.check()
	if len(m.changes) > 0 {
		m.t.Fatalf("%d administrators are not answered", len(m.changes))
	}
	for _, group := range []string{"g", "h"} {
		m.checkShared(group)
		for p, start := range m.set[group] {
			if got, there := m.shares.starts[group][p]; !there || got != start {
				m.t.Fatalf("group %s: %x/%d starts at %d (%v), not at %d as was set", group, p.Topic[8:], p.Partition, got, there, start)
			}
		}
	}
}

// checkShared checks that every partition of a topic that is read is at somebody's who reads it, and nothing else.
func (m *shareModel) checkShared(group string) {
	held := map[SharePartition]int{}
	readers := map[topicID]int{}
	for _, c := range m.members {
		if c.group != group {
			continue
		}
		for _, name := range c.topics {
			if id, _, ok := m.topics.ByName(name); ok {
				readers[id]++
			}
		}
		for topic, partitions := range c.owned {
			name, count, ok := m.topics.ByID(topic)
			if !ok || partitions[len(partitions)-1] >= count || !slices.Contains(c.topics, name) {
				m.t.Fatalf("group %s: %s works on %x%v and reads %v", group, c.id, topic[8:], partitions, c.topics)
			}
			for _, partition := range partitions {
				held[SharePartition{topic, partition}]++
			}
		}
	}
	for topic := range readers {
		name, count, _ := m.topics.ByID(topic)
		for partition := range count {
			if held[SharePartition{topic, partition}] == 0 {
				m.t.Fatalf("group %s: nobody works on %s-%d: %s", group, name, partition, m.shareState(group))
			}
		}
	}
}

// end deletes the groups: nothing may remain of them.
func (m *shareModel) end() {
	for _, c := range m.members {
		if c.epoch > 0 {
			m.expect("leave", c.leave(), "ok")
		}
	}
	for _, group := range []string{"g", "h"} {
		if e := m.deleteGroup(group); e != "ok" && e != "GROUP_ID_NOT_FOUND" {
			m.t.Fatalf("delete group %s: %s", group, e)
		}
		if len(m.shares.starts[group]) > 0 || m.state.groups[group] != nil {
			m.t.Fatalf("group %s: %s is left", group, m.sharesOf(group))
		}
	}
	m.lead()
}
