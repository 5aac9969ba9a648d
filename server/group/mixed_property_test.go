package group

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestMixedModel takes a group back and forth between the protocols: classic and consumer members come, go and die at random,
// while leaders change and commits are slow. Left alone, the partitions are all worked on, by one member each, whatever the
// group has become.
func TestMixedModel(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			m := &mixedModel{harness: newHarness(t), rng: rand.New(rand.NewPCG(uint64(seed), 7))}
			for range 150 {
				m.step()
			}
			m.rest()
		})
	}
}

type mixedModel struct {
	*harness
	rng       *rand.Rand
	names     int
	consumers []*consumer
	classics  []*classicConsumer
}

func (m *mixedModel) step() {
	switch n := m.rng.IntN(100); {
	case n < 8 && len(m.consumers) < 3:
		m.names++
		m.consumers = append(m.consumers, m.consumer(fmt.Sprint("c", m.names), "t"))
	case n < 16 && len(m.classics) < 3:
		m.names++
		c := m.classic(fmt.Sprint("k", m.names))
		c.cooperates = m.rng.IntN(2) == 0
		m.classics = append(m.classics, c)
	case n < 20 && len(m.consumers) > 0: // leaves or dies
		i := m.rng.IntN(len(m.consumers))
		if m.consumers[i].epoch > 0 && m.rng.IntN(2) == 0 {
			m.consumers[i].leave(leftEpoch)
		}
		m.consumers = append(m.consumers[:i], m.consumers[i+1:]...)
	case n < 24 && len(m.classics) > 0:
		i := m.rng.IntN(len(m.classics))
		if m.classics[i].id != "" && m.rng.IntN(2) == 0 {
			m.classics[i].leave()
		}
		m.classics = append(m.classics[:i], m.classics[i+1:]...)
	case n < 30:
		m.advance(time.Duration(m.rng.IntN(3000)) * time.Millisecond)
	case n < 34:
		m.failover()
	default:
		m.live()
	}
	m.check()
}

// live lets everybody do what clients do with a heartbeat.
func (m *mixedModel) live() {
	for _, c := range m.consumers {
		if c.beat() == "INVALID_REQUEST" {
			m.t.Fatal("invalid request")
		}
		c.obey()
	}
	for _, c := range m.classics {
		m.liveClassic(c)
	}
}

func (m *mixedModel) liveClassic(c *classicConsumer) {
	e := "REBALANCE_IN_PROGRESS"
	if c.generation >= 0 {
		e = c.heartbeat()
	}
	switch e {
	case "ok":
		return
	case "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION":
		c.id, c.generation, c.owned = "", -1, nil
	}
	if !c.cooperates {
		c.owned = nil
	}
	switch e := c.join(); e {
	case "ok":
	case "UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION":
		c.id, c.generation, c.owned = "", -1, nil
	case "REBALANCE_IN_PROGRESS", "parked":
		c.generation = -1
	default:
		m.t.Fatalf("a classic member cannot join: %s", e)
	}
}

// check is what holds at any time: nobody is known twice, and what a consumer group says of partitions is consistent (index
// checks that nobody has another's).
func (m *mixedModel) check() {
	if m.leader.consumers["g"] != nil && m.leader.groups["g"] != nil {
		m.t.Fatal("the group is known by both protocols")
	}
	s := m.state.groups["g"]
	if s != nil && s.consumer != nil && s.membership != nil {
		m.t.Fatal("the group is stored by both protocols")
	}
	if g := m.leader.consumers["g"]; g != nil && len(g.members) > 0 && g.consumers() == 0 {
		m.t.Fatal("a consumer group without a consumer")
	}
	if restored := NewState(); restored.Restore(m.state.Snapshot()) != nil {
		m.t.Fatal("the snapshot cannot be restored")
	}
}

func (m *mixedModel) rest() {
	if len(m.consumers)+len(m.classics) == 0 {
		m.consumers = append(m.consumers, m.consumer("last", "t"))
	}
	for range 60 {
		m.advance(2 * time.Second)
		m.live()
	}
	held := map[int32]string{}
	for _, c := range m.consumers {
		for _, partitions := range c.owned {
			for _, p := range partitions {
				if held[p] != "" {
					m.t.Fatalf("partition %d is worked on by %s and %s", p, held[p], c.name)
				}
				held[p] = c.name
			}
		}
	}
	for _, c := range m.classics {
		for _, partitions := range c.owned {
			for _, p := range partitions {
				if held[p] != "" {
					m.t.Fatalf("partition %d is worked on by %s and %s", p, held[p], c.name)
				}
				held[p] = c.name
			}
		}
	}
	if len(held) != 3 {
		m.t.Fatalf("%d of 3 partitions are worked on: %v; %d consumers, %d classic members, consumer group: %s", len(held), held,
			len(m.consumers), len(m.classics), m.groupState("g"))
	}
}
