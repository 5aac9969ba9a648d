package group

import (
	"slices"
	"time"

	"balsa/internal/invariant"
	"balsa/internal/timers"
)

// groupState is Kafka's ClassicGroupState.
type groupState uint8

const (
	stateEmpty               groupState = iota // no members; may have offsets
	statePreparingRebalance                    // waits for members to (re)join
	stateCompletingRebalance                   // waits for the leader's assignment
	stateStable
)

func (s groupState) String() string {
	switch s {
	case stateEmpty:
		return "Empty"
	case statePreparingRebalance:
		return "PreparingRebalance"
	case stateCompletingRebalance:
		return "CompletingRebalance"
	case stateStable:
		return "Stable"
	}
	return stateDead
}

// stateDead is what DescribeGroups calls a group that does not exist.
const stateDead = "Dead"

// consumerProtocolType is the protocol type of consumers. Others, such as "connect" and "sr", are opaque to us.
const consumerProtocolType = "consumer"

// liveGroup is a group as its coordinator knows it. Groups that are Empty may be absent from memory; State has them.
type liveGroup struct {
	id           string
	state        groupState
	initial      bool // in PreparingRebalance: the group was empty before, and joins are gathered for a while
	generation   int32
	protocolType string
	protocol     string // chosen by the last rebalance; "" without members
	leader       string // member id; "" when none
	stateTime    int64  // ms; noTime when unknown

	members []*member // in the order of joining
	byID    map[string]*member
	static  map[string]string // group.instance.id to member id
	// pending holds the ids handed out with MEMBER_ID_REQUIRED whose owners have not joined yet, with their timeouts.
	pending     map[string]*timers.Timer
	pendingSync map[string]bool // members that have not sent SyncGroup in this generation
	subscribed  *topicSet       // nil when unknown: not consumers, or a subscription that cannot be read

	newMember bool // somebody joined since the initial rebalance's delay was last extended
	assigning bool // the leader's assignment is being written

	joinTimer timers.Timer // ends PreparingRebalance
	syncTimer timers.Timer // removes members that do not sync
}

func newLiveGroup(id string) *liveGroup {
	return &liveGroup{
		id:          id,
		stateTime:   noTime,
		byID:        map[string]*member{},
		static:      map[string]string{},
		pending:     map[string]*timers.Timer{},
		pendingSync: map[string]bool{},
	}
}

// loadLiveGroup makes a group of its durable part.
func loadLiveGroup(id string, m *Membership) *liveGroup {
	g := newLiveGroup(id)
	if m == nil {
		return g
	}
	g.generation, g.protocolType, g.stateTime = m.Generation, m.ProtocolType, m.StateTime
	for _, s := range m.Members {
		g.add(loadMember(s, m.Protocol))
	}
	if len(g.members) > 0 {
		g.state = stateStable
		g.protocol = m.Protocol
		if g.byID[m.Leader] != nil {
			g.leader = m.Leader
		}
	}
	g.subscribed = g.subscribedTopics()
	return g
}

func (g *liveGroup) setState(s groupState, now time.Time) {
	g.initial = s == statePreparingRebalance && g.state == stateEmpty
	g.state = s
	g.assigning = false
	g.stateTime = now.UnixMilli()
}

func (g *liveGroup) add(m *member) {
	invariant.Check(g.byID[m.id] == nil, "group %q: member %q added twice", g.id, m.id)
	if m.instanceID != nil {
		_, exists := g.static[*m.instanceID]
		invariant.Check(!exists, "group %q: static member %q added twice", g.id, *m.instanceID)
		g.static[*m.instanceID] = m.id
	}
	if g.leader == "" {
		g.leader = m.id
	}
	g.members = append(g.members, m)
	g.byID[m.id] = m
}

// remove takes a member out; its timers and parked requests are the caller's.
func (g *liveGroup) remove(m *member) {
	delete(g.byID, m.id)
	g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
	if m.instanceID != nil {
		delete(g.static, *m.instanceID)
	}
	if g.leader == m.id {
		g.leader = ""
		if len(g.members) > 0 {
			g.leader = g.members[0].id
		}
	}
	delete(g.pendingSync, m.id)
}

// awaitingJoin counts the members with a parked JoinGroup.
func (g *liveGroup) awaitingJoin() (n int) {
	for _, m := range g.members {
		if m.join != nil {
			n++
		}
	}
	return n
}

func (g *liveGroup) allJoined() bool {
	return len(g.pending) == 0 && g.awaitingJoin() == len(g.members)
}

// rebalanceTimeout is how long a rebalance waits: the longest that a member asked for.
func (g *liveGroup) rebalanceTimeout() (d time.Duration) {
	for _, m := range g.members {
		d = max(d, m.rebalanceTimeout)
	}
	return d
}

// supports says whether a member with these protocols could be in the group: the type is the group's, and one protocol
// is supported by all members.
func (g *liveGroup) supports(protocolType string, names []string) bool {
	if g.state == stateEmpty {
		return protocolType != "" && len(names) > 0
	}
	if len(g.members) > 0 && protocolType != g.protocolType {
		return false
	}
	return protocolType != "" && slices.ContainsFunc(names, func(name string) bool {
		return !slices.ContainsFunc(g.members, func(m *member) bool { return !m.supports(name) })
	})
}

// selectProtocol lets each member vote for the first of its protocols that all support. Kafka leaves ties to a hash
// map; here the first name in alphabetical order wins, so that a replayed decision is the same.
func (g *liveGroup) selectProtocol() string {
	invariant.Check(len(g.members) > 0, "group %q: protocol selection without members", g.id)
	count := map[string]int{}
	for _, m := range g.members {
		seen := map[string]bool{}
		for _, p := range m.protocols {
			if !seen[p.name] {
				seen[p.name] = true
				count[p.name]++
			}
		}
	}
	candidates := map[string]bool{}
	for name, n := range count {
		candidates[name] = n == len(g.members)
	}
	votes := map[string]int{}
	for _, m := range g.members {
		votes[m.vote(candidates)]++
	}
	best := ""
	for name, n := range sorted(votes) {
		if n > votes[best] {
			best = name
		}
	}
	return best
}

func (g *liveGroup) isConsumer() bool { return g.protocolType == consumerProtocolType }

// isSubscribed says whether the group may be reading a topic. Consumers whose subscription cannot be read might be
// reading anything.
func (g *liveGroup) isSubscribed(topic string) bool {
	if g.subscribed == nil {
		return g.isConsumer()
	}
	return g.subscribed.has(topic)
}

// membership returns the durable form with the given assignments.
func (g *liveGroup) membership(assignments map[string][]byte) Membership {
	m := Membership{
		Generation:   g.generation,
		ProtocolType: g.protocolType,
		Protocol:     g.protocol,
		Leader:       g.leader,
		StateTime:    g.stateTime,
	}
	for _, mem := range g.members {
		m.Members = append(m.Members, mem.stored(g.protocol, assignments[mem.id]))
	}
	return m
}
