package group

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestConsumerModel drives a group of the consumer protocol with random members that join, leave, crash, dawdle and change
// their subscription, with topics that come, grow and go, with commits that are slow and leaders that change. At any time no
// two members that are in the group by their own knowledge work on the same partition; and left alone, the group comes to
// rest with every partition at somebody who reads it.
func TestConsumerModel(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			m := newConsumerModel(t, rand.New(rand.NewPCG(uint64(seed), 4)), seed%2 == 0)
			for range 250 {
				m.step()
				m.check()
			}
			m.rest()
		})
	}
}

type consumerModel struct {
	*harness
	rng     *rand.Rand
	members []*modelConsumer
	names   int
	// patient groups never fence a member for being slow. Then nobody works on what is not his for as long as he has reason to
	// believe that he is a member.
	patient bool
}

// modelConsumer is a consumer whose heartbeats may be under way.
type modelConsumer struct {
	*consumer
	asked   *kmsg.Response // a heartbeat on its way; nil when none
	crashed bool
	sent    time.Time // when it asked
	heard   time.Time // when it asked what was answered last
}

func newConsumerModel(t *testing.T, rng *rand.Rand, patient bool) *consumerModel {
	m := &consumerModel{harness: newHarness(t), rng: rng, patient: patient}
	for range 5 {
		m.members = append(m.members, m.newMember())
	}
	return m
}

func (m *consumerModel) newMember() *modelConsumer {
	m.names++
	c := m.consumer(fmt.Sprint("m", m.names))
	if c.rebalance = 20_000; m.patient {
		c.rebalance = 3_600_000
	}
	m.choose(c)
	if m.rng.IntN(4) == 0 {
		c.instance = text(fmt.Sprint("i", m.rng.IntN(3)))
	}
	if m.rng.IntN(3) == 0 {
		c.assignor = text([]string{assignorRange, assignorUniform}[m.rng.IntN(2)])
	}
	return &modelConsumer{consumer: c, heard: m.now}
}

func (m *consumerModel) choose(c *consumer) {
	c.topics, c.regex = [][]string{{"t"}, {"u"}, {"t", "u"}, {"t", "u", "v"}, {}}[m.rng.IntN(5)], nil
	if m.rng.IntN(4) == 0 {
		c.regex = text([]string{"[tuv]", "v|w", ".*"}[m.rng.IntN(3)])
	}
}

func (m *consumerModel) step() {
	i := m.rng.IntN(len(m.members))
	c := m.members[i]
	switch n := m.rng.IntN(100); {
	case n < 60:
		m.beatOne(c)
	case n < 70:
		m.advance(time.Duration(m.rng.IntN(8000)) * time.Millisecond)
	case n < 74:
		c.crashed = true // its partitions are worked on until it finds out
	case n < 78:
		if c.asked == nil && c.epoch > 0 && !c.crashed {
			epoch := int32(leftEpoch)
			if c.instance != nil && m.rng.IntN(2) == 0 {
				epoch = staticLeftEpoch
			}
			c.leave(epoch)
			m.members[i] = m.newMember()
		}
	case n < 80:
		if c.epoch > 0 && c.asked == nil && !c.crashed {
			// Changing the subscription by a full heartbeat.
			m.choose(c.consumer)
			req := c.request()
			req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.SubscribedTopicRegex = c.rebalance, c.topics, c.regex
			if req.SubscribedTopicRegex == nil {
				req.SubscribedTopicRegex = text("")
			}
			c.asked, c.sent = m.send(c.name, req), m.now
		}
	case n < 84:
		m.changeTopics()
	case n < 88:
		m.hold = true
	case n < 94:
		m.hold = false
		m.settle()
	case n < 96:
		m.failover()
	case n < 98:
		if len(m.held) > 0 {
			m.commitOne()
			m.settle()
		}
	default:
		if len(m.members) < 9 {
			m.members = append(m.members, m.newMember())
		}
	}
	m.mourn()
}

// beatOne lets a member do one thing: take in an answer, do as it was told, or send a heartbeat.
func (m *consumerModel) beatOne(c *modelConsumer) {
	switch {
	case c.crashed:
	case c.asked == nil:
		c.asked, c.sent = m.send(c.name, c.request()), m.now
	case *c.asked != nil:
		c.take((*c.asked).(*kmsg.ConsumerGroupHeartbeatResponse))
		c.asked, c.heard = nil, c.sent
		if m.rng.IntN(3) > 0 {
			c.obey()
		}
	case m.rng.IntN(3) == 0:
		c.asked, c.full = nil, true // it asks again
	}
}

// mourn replaces members that crashed, and makes those stop working that have not heard from the group for so long that it
// has given them up, as clients do.
func (m *consumerModel) mourn() {
	for i, c := range m.members {
		if m.now.Sub(c.heard) < m.config.ConsumerSessionTimeout-time.Second {
			continue
		}
		c.owned, c.told, c.epoch = assignment{}, nil, 0
		if c.crashed {
			m.members[i] = m.newMember()
		}
		c.heard = m.now
		c.asked, c.full = nil, true
	}
}

func (m *consumerModel) changeTopics() {
	names := []string{"t", "u", "v", "w"}
	name := names[m.rng.IntN(len(names))]
	switch _, exists := m.topics.ids[name]; {
	case !exists:
		m.topics.create(name, 1+m.rng.Int32N(6))
	case m.rng.IntN(3) == 0:
		m.topics.remove(name)
	default:
		m.topics.partitions[name] += m.rng.Int32N(3)
		m.topics.version++
	}
}

// check is what holds at any time. A member is in the group by its own knowledge while it has an epoch and has been heard within
// the session timeout; a member that the coordinator fenced for being slow to give up partitions may not know it yet.
func (m *consumerModel) check() {
	type key struct {
		topic     topicID
		partition int32
	}
	g := m.leader.consumers["g"]
	holders := map[key]string{}
	for _, c := range m.members {
		if known := g != nil && g.members[c.id] != nil; !known && !m.patient {
			continue
		}
		for topic, partitions := range c.owned {
			for _, p := range partitions {
				k := key{topic, p}
				if other := holders[k]; other != "" {
					m.t.Fatalf("partition %x/%d is worked on by %s and %s", topic[8:], p, other, c.id)
				}
				holders[k] = c.id
				if g == nil {
					m.t.Fatalf("%s works for a group that is not there", c.id)
				}
				if known := g.owners[topic][p]; known != c.id && (m.patient || m.memberKnows(c)) {
					m.t.Fatalf("%s works on %x/%d, which belongs to %q", c.id, topic[8:], p, known)
				}
			}
		}
	}
	restored := NewState()
	if err := restored.Restore(m.state.Snapshot()); err != nil || !bytes.Equal(restored.Snapshot(), m.state.Snapshot()) {
		m.t.Fatalf("snapshot does not restore to the same state (%v)", err)
	}
	if g != nil && m.leader.writing["g"] == 0 {
		live := &State{groups: map[string]*stored{"g": {consumer: g.consumerState}}}
		durable := &State{groups: map[string]*stored{"g": {consumer: m.state.groups["g"].consumer}}}
		if !bytes.Equal(live.Snapshot(), durable.Snapshot()) {
			m.t.Fatal("with nothing on its way the leader's memory differs from what is durable")
		}
	}
}

// memberKnows says whether what a member holds must be in line with the group: it is, by epoch, the member that the
// coordinator knows.
func (m *consumerModel) memberKnows(c *modelConsumer) bool {
	g := m.leader.consumers["g"]
	return c.epoch > 0 && c.epoch == g.members[c.id].epoch
}

// rest lets the group come to rest, and checks that nothing is left over.
func (m *consumerModel) rest() {
	m.hold = false
	m.settle()
	for range 40 {
		m.advance(3 * time.Second)
		for i, c := range m.members {
			if c.crashed {
				m.members[i] = m.newMember()
				continue
			}
			c.full = c.full || c.asked != nil
			c.asked = nil
			c.beat()
			c.obey()
			c.heard = m.now
		}
	}
	m.check()
	g := m.leader.consumers["g"]
	if got := g.stateName(); got != consumerStable {
		for id, member := range sorted(g.members) {
			m.t.Logf("%s: epoch %d state %d assigned %d revoking %d", id, member.epoch, member.state,
				member.assigned.partitions().count(), member.revoking.partitions().count())
		}
		m.t.Fatalf("the group does not come to rest: %s", m.groupState("g"))
	}
	held := map[topicID]int32{}
	working := 0
	for _, c := range m.members {
		if g.members[c.id] == nil {
			continue // another member has its instance id
		}
		working++
		for topic, partitions := range c.owned {
			held[topic] += int32(len(partitions))
			name, count, ok := m.topics.ByID(topic)
			if !ok || partitions[len(partitions)-1] >= count {
				m.t.Fatalf("%s works on what does not exist", c.id)
			}
			if !g.subscribed(m.topics, m.now)[name] {
				m.t.Fatalf("%s works on %s, which nobody reads", c.id, name)
			}
		}
	}
	if working != len(g.members) {
		m.t.Fatalf("%d members, %d of them alive", len(g.members), working)
	}
	for name := range g.subscribed(m.topics, m.now) {
		if id, count, ok := m.topics.ByName(name); ok && held[id] != count {
			m.t.Fatalf("%d of %d partitions of %s are worked on", held[id], count, name)
		}
	}
}

// TestAssignors checks both assignors on random groups: every partition of every topic that is read goes to exactly one
// reader; uniform assignments are balanced, and those of a group that has not changed stay as they are.
func TestAssignors(t *testing.T) {
	for seed := range 500 {
		rng := rand.New(rand.NewPCG(uint64(seed), 6))
		in := randomInput(rng, seed%2 == 0)
		for _, name := range []string{assignorRange, assignorUniform} {
			targets := assignorNamed(name)(in)
			checkAssigned(t, fmt.Sprint(name, " seed ", seed), in, targets)
			if name == assignorRange {
				continue
			}
			least, most := 1<<30, 0
			for _, a := range targets {
				least, most = min(least, a.count()), max(most, a.count())
			}
			if seed%2 == 0 && len(targets) > 0 && most-least > 1 {
				t.Fatalf("seed %d: members have %d to %d partitions", seed, least, most)
			}
			for i := range in.members {
				in.members[i].previous = targets[i]
			}
			for i, a := range assignUniform(in) {
				if !a.equal(targets[i]) {
					t.Fatalf("seed %d: the same again is not the same: %v, %v", seed, targets[i], a)
				}
			}
			// One member leaves: the others keep what they have.
			if len(in.members) > 1 && seed%2 == 0 {
				gone := rng.IntN(len(in.members))
				fewer := in
				fewer.members = append(append([]assignorMember(nil), in.members[:gone]...), in.members[gone+1:]...)
				kept := assignUniform(fewer)
				for i, m := range fewer.members {
					for topic, partitions := range m.previous {
						for _, p := range partitions {
							if !kept[i].has(topic, p) {
								t.Fatalf("seed %d: %s lost a partition when another member left", seed, m.id)
							}
						}
					}
				}
			}
		}
	}
}

func randomInput(rng *rand.Rand, same bool) assignorInput {
	in := assignorInput{partitions: map[topicID]int32{}}
	var topics []topicID
	for i := range 1 + rng.IntN(5) {
		id := topicID{byte(i + 1)}
		in.partitions[id] = 1 + rng.Int32N(9)
		topics = append(topics, id)
	}
	for i := range 1 + rng.IntN(7) {
		m := assignorMember{id: fmt.Sprint("m", i)}
		for _, topic := range topics {
			if same || rng.IntN(2) == 0 {
				m.topics = append(m.topics, topic)
			}
		}
		// What somebody had before may be anything: given twice, gone, or not read any more.
		m.previous = assignment{}
		for range rng.IntN(4) {
			m.previous[topicID{byte(rng.IntN(7))}] = []int32{rng.Int32N(5), 5 + rng.Int32N(6)}
		}
		in.members = append(in.members, m)
	}
	return in
}

func checkAssigned(t *testing.T, what string, in assignorInput, targets []assignment) {
	t.Helper()
	given := map[topicID]map[int32]bool{}
	for i, a := range targets {
		for topic, partitions := range a {
			reads := false
			for _, own := range in.members[i].topics {
				reads = reads || own == topic
			}
			for _, p := range partitions {
				if given[topic] == nil {
					given[topic] = map[int32]bool{}
				}
				if !reads || given[topic][p] || p < 0 || p >= in.partitions[topic] {
					t.Fatalf("%s: %x/%d is given to %s (reads it: %v, given before: %v)", what, topic[:1], p, in.members[i].id, reads,
						given[topic][p])
				}
				given[topic][p] = true
			}
		}
	}
	for topic, readers := range in.readers() {
		if len(given[topic]) != int(in.partitions[topic]) {
			t.Fatalf("%s: %d of %d partitions of %x are given to its %d readers", what, len(given[topic]), in.partitions[topic],
				topic[:1], len(readers))
		}
	}
}
