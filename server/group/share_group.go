package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/timers"
)

// shareGroup is a share group as its coordinator knows it: the state that has been decided, which is that in State plus the
// records on their way, and what goes on about its share partitions.
type shareGroup struct {
	id string
	*shareState
	sessions map[string]*timers.Timer // by member id
	// version is that of the metadata in which the group's topics were looked up; 0 before the first time and when its share partitions
	// have changed since.
	version uint64
	// busy counts what is asked for of a partition's leader and not answered yet. failed are those that wait for retry, which was
	// armed with retryDelay last.
	busy       map[SharePartition]int
	failed     map[SharePartition]bool
	retry      timers.Timer
	retryDelay time.Duration
	// initializing is when share partitions were last begun to be made.
	initializing time.Time
	deletions    []*shareDeletion
}

// newShareGroup starts to coordinate a group, which is known when it is in l.shares. state is the caller's to give away.
func (l *Leader) newShareGroup(id string, state *shareState, now time.Time) *shareGroup {
	g := &shareGroup{
		id: id, shareState: state, sessions: map[string]*timers.Timer{}, busy: map[SharePartition]int{},
		failed: map[SharePartition]bool{}, initializing: now,
	}
	g.retry.Fire = func(now time.Time) {
		clear(g.failed)
		l.tendPartitions(g)
	}
	for id := range sorted(state.members) {
		l.touchShare(g, id, now)
	}
	return g
}

// touchShare starts a member's session over.
func (l *Leader) touchShare(g *shareGroup, id string, now time.Time) {
	session := g.sessions[id]
	if session == nil {
		session = &timers.Timer{Fire: func(now time.Time) {
			l.env.Logger.Info("group member is fenced", "group", g.id, "member", id, "reason", "session expired")
			c := l.shareChange(g)
			c.remove(id)
			c.commit(func(*kerr.Error) {})
		}}
		g.sessions[id] = session
	}
	l.timers.Schedule(session, now.Add(l.groupMillis(g.id, "share.session.timeout.ms", l.env.Config.ShareSessionTimeout)))
}

// dropShareGroup forgets a group, which is deleted.
func (l *Leader) dropShareGroup(g *shareGroup) {
	for _, session := range g.sessions {
		l.timers.Cancel(session)
	}
	l.timers.Cancel(&g.retry)
	delete(l.shares, g.id)
}

// reads says whether a member reads a topic.
func (g *shareGroup) reads(topic string) bool {
	for _, m := range g.members {
		if slices.Contains(m.topics, topic) {
			return true
		}
	}
	return false
}

// States of a share group, as Kafka calls them.
const (
	shareEmpty  = "Empty"
	shareStable = "Stable"
)

func (g *shareGroup) stateName() string {
	if len(g.members) == 0 {
		return shareEmpty
	}
	return shareStable
}

// shareChange is a decision about a share group: records that are in force here at once, and written together.
type shareChange struct {
	leader  *Leader
	group   *shareGroup
	records []record
}

func (l *Leader) shareChange(g *shareGroup) *shareChange { return &shareChange{leader: l, group: g} }

func (c *shareChange) do(r shareRecord) {
	r.applyTo(c.group.shareState)
	c.records = append(c.records, r)
}

// set puts the group's epochs on record.
func (c *shareChange) set(epoch, targetEpoch int32, topicsHash uint64) {
	c.do(shareGroupStored{c.group.id, epoch, targetEpoch, topicsHash})
}

// remove takes a member out. Who gets what it had is worked out when somebody asks.
func (c *shareChange) remove(id string) {
	g := c.group
	c.do(shareMemberRemoved{g.id, id})
	c.leader.timers.Cancel(g.sessions[id])
	delete(g.sessions, id)
	c.set(g.epoch+1, g.targetEpoch, hashTopics(g.subscribed(), c.leader.env.Topics()))
}

// commit tells done when what was decided, now and before, is durable, and sees to what that makes necessary on the
// partitions' leaders.
func (c *shareChange) commit(done func(err *kerr.Error)) {
	c.leader.commit(c.group.id, c.records, func(err *kerr.Error) {
		if err == nil {
			c.leader.tendPartitions(c.group)
		}
		done(err)
	})
}
