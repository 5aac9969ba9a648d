package group

import (
	"iter"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/timers"
)

// Topics is what a Leader must know about topics.
type Topics interface {
	// ByName returns a topic's id and its number of partitions.
	ByName(name string) (id [16]byte, partitions int32, ok bool)
	// ByID returns a topic's name and its number of partitions.
	ByID(id [16]byte) (name string, partitions int32, ok bool)
	// Names iterates over the names of all topics.
	Names() iter.Seq[string]
	// Version grows with every change of the metadata that the other methods answer from.
	Version() uint64
}

// Environment is what a Leader gets from outside.
type Environment struct {
	Config Config
	// Topics returns the topics as they are known now.
	Topics func() Topics
	// ProducerIDExpiration returns what is in effect of producer.id.expiration.ms; nil: what Config says.
	ProducerIDExpiration func() time.Duration
	// GroupConfig returns a config that was set for a group by itself; ok is false when none was.
	GroupConfig func(group, name string) (value string, ok bool)
	// NewID returns a random UUID in its usual text form.
	NewID  func() string
	Logger *slog.Logger
}

// Write asks the host to replicate records, all or none.
type Write struct {
	// Records are to be replayed in this order. None makes the Write a barrier: Done is due when the Writes before it are
	// done.
	Records [][]byte
	// OffsetsOnly says that the Leader's memory does not depend on the records: when they cannot be written, Done with an
	// error settles it. After any other Write has failed the host must Close the Leader and make a new one from State.
	OffsetsOnly bool
	// Done must be called once, after the records were replayed here or failed.
	Done func(now time.Time, err *kerr.Error)
}

// Leader decides for the groups of one shard.
type Leader struct {
	env       Environment
	state     *State
	groups    map[string]*liveGroup
	consumers map[string]*consumerGroup // all groups of the consumer protocol
	shares    map[string]*shareGroup    // all share groups
	// deleting counts the deletions on their way, by group: such a group's durable part is as good as gone.
	deleting map[string]int
	// writing counts all records on their way, by group: what State says of such a group is about to change.
	writing map[string]int
	// verifying, committing and ending are what is under way of transactions, by producer id: commits whose transaction is
	// being verified, pending offsets being written, ends being written.
	verifying  map[int64]map[*Verification]struct{}
	committing map[int64]int
	ending     map[int64]int
	writes     []Write
	tasks      []*ShareTask
	parked     map[*altering]struct{} // wait for partitions' leaders
	timers     timers.Heap
	retention  timers.Timer
	closed     *kerr.Error // what everybody is answered who is still to be; nil before Close
}

// NewLeader starts to coordinate the groups of state, which the host goes on replaying records into. Every member gets a
// full session timeout from now on.
func NewLeader(env Environment, state *State, now time.Time) *Leader {
	l := &Leader{
		env:        env,
		state:      state,
		groups:     map[string]*liveGroup{},
		consumers:  map[string]*consumerGroup{},
		shares:     map[string]*shareGroup{},
		deleting:   map[string]int{},
		writing:    map[string]int{},
		verifying:  map[int64]map[*Verification]struct{}{},
		committing: map[int64]int{},
		ending:     map[int64]int{},
		parked:     map[*altering]struct{}{},
	}
	for id, s := range sorted(state.groups) {
		if s.consumer != nil {
			g := l.newConsumerGroup(id, s.consumer.clone())
			l.consumers[id] = g
			l.resume(g, now)
		}
		if s.share != nil {
			g := l.newShareGroup(id, s.share.clone(), now)
			l.shares[id] = g
			l.tendPartitions(g)
		}
		if s.membership != nil && len(s.membership.Members) > 0 {
			g := l.load(id)
			for _, m := range g.members {
				l.touch(m, now)
			}
			if len(g.members) > int(env.Config.MaxSize) {
				l.prepareRebalance(g, now, "group.max.size was lowered")
			}
		}
	}
	l.retention.Fire = l.checkRetention
	l.timers.Schedule(&l.retention, now.Add(env.Config.OffsetsRetentionCheckInterval))
	return l
}

// Handle decides one request; reply gets the response now or later, with the request's version. Requests about several
// groups must have been split: DescribeGroups, DeleteGroups and OffsetFetch (in the form of version 8) name one group.
// The request's strings are kept and must not change; its byte slices are copied.
// It panics on requests that are not group requests.
func (l *Leader) Handle(now time.Time, client Client, req kmsg.Request, reply Reply) {
	version := req.GetVersion()
	versioned := func(r kmsg.Response) {
		r.SetVersion(version)
		reply(r)
	}
	switch req := req.(type) {
	case *kmsg.JoinGroupRequest:
		l.join(now, client, req, versioned)
	case *kmsg.SyncGroupRequest:
		l.sync(now, req, versioned)
	case *kmsg.HeartbeatRequest:
		l.heartbeat(now, req, versioned)
	case *kmsg.LeaveGroupRequest:
		l.leave(now, req, versioned)
	case *kmsg.ConsumerGroupHeartbeatRequest:
		l.consumerHeartbeat(now, client, req, versioned)
	case *kmsg.ConsumerGroupDescribeRequest:
		versioned(l.describeConsumer(req))
	case *kmsg.ShareGroupHeartbeatRequest:
		l.shareHeartbeat(now, client, req, versioned)
	case *kmsg.ShareGroupDescribeRequest:
		versioned(l.describeShare(req))
	case *kmsg.DescribeShareGroupOffsetsRequest:
		versioned(l.describeShareOffsets(req))
	case *kmsg.AlterShareGroupOffsetsRequest:
		l.alterShareOffsets(now, req, versioned)
	case *kmsg.DeleteShareGroupOffsetsRequest:
		l.deleteShareOffsets(req, versioned)
	case *kmsg.OffsetCommitRequest:
		l.commitOffsets(now, req, versioned)
	case *kmsg.OffsetFetchRequest:
		l.fetchOffsets(req, versioned)
	case *kmsg.OffsetDeleteRequest:
		l.deleteOffsets(now, req, versioned)
	case *kmsg.ListGroupsRequest:
		versioned(l.list(req))
	case *kmsg.DescribeGroupsRequest:
		versioned(l.describe(req))
	case *kmsg.DeleteGroupsRequest:
		l.deleteGroup(req, versioned)
	default:
		panic("not a group request: " + kmsg.NameForKey(req.Key()))
	}
}

// TakeWrites returns what is to be written since the last call, in order.
func (l *Leader) TakeWrites() []Write {
	w := l.writes
	l.writes = nil
	return w
}

// NextDeadline returns when Expire has something to do.
func (l *Leader) NextDeadline() time.Time {
	at, _ := l.timers.Next() // there is always the retention check
	return at
}

// Expire does what is due: sessions, joins and syncs that time out, offsets past their retention.
func (l *Leader) Expire(now time.Time) { l.timers.Expire(now) }

// Close answers everything that is parked with err. The Leader must not be used afterwards; Writes on their way may
// still be Done.
func (l *Leader) Close(err *kerr.Error) {
	for _, g := range sorted(l.groups) {
		for _, m := range g.members {
			m.answerJoin(joinError(m.id, err))
			m.answerSync(syncError(err))
		}
	}
	for _, g := range sorted(l.shares) {
		for _, d := range g.deletions {
			d.done(nil, err)
		}
	}
	for a := range l.parked {
		a.fail(err)
	}
	l.closed, l.writes, l.tasks = err, nil, nil
	l.timers.Clear()
}

// find returns a group of the classic protocol that exists: in memory, or loaded from State. Nil when there is none.
func (l *Leader) find(id string) *liveGroup {
	if l.consumers[id] != nil || l.shares[id] != nil {
		return nil
	}
	if g := l.groups[id]; g != nil {
		return g
	}
	if l.state.groups[id] == nil || l.deleting[id] > 0 {
		return nil
	}
	return l.load(id)
}

func (l *Leader) load(id string) *liveGroup {
	var g *liveGroup
	if s := l.state.groups[id]; s != nil && l.deleting[id] == 0 {
		g = loadLiveGroup(id, s.membership)
	} else {
		g = newLiveGroup(id)
	}
	l.adopt(g)
	return g
}

// adopt makes a group of the classic protocol known.
func (l *Leader) adopt(g *liveGroup) {
	l.groups[g.id] = g
	g.syncTimer.Fire = func(now time.Time) { l.expireSync(g, now) }
	for _, m := range g.members {
		l.arm(g, m)
	}
}

// write asks for records of one group to be written, or with "" of none in particular.
func (l *Leader) write(group string, records []record, offsetsOnly bool, done func(now time.Time, err *kerr.Error)) {
	encoded := make([][]byte, len(records))
	for i, r := range records {
		encoded[i] = encodeRecord(r)
	}
	count(l.writing, group, 1)
	l.writes = append(l.writes, Write{
		Records:     encoded,
		OffsetsOnly: offsetsOnly,
		Done: func(now time.Time, err *kerr.Error) {
			count(l.writing, group, -1)
			done(now, err)
		},
	})
}

// commit writes what was decided about a group whose leader's copy is ahead of State, and tells done when that, and everything
// before it, is durable. Nobody may learn of a decision earlier: a successor that does not know it might decide otherwise.
func (l *Leader) commit(group string, records []record, done func(err *kerr.Error)) {
	if len(records) == 0 && l.writing[group] == 0 {
		done(nil)
		return
	}
	l.write(group, records, len(records) == 0, func(_ time.Time, err *kerr.Error) { done(err) })
}

// afterWrites sends the answer when everything that was asked to be written since mark (an earlier len(l.writes)) is
// done: at once when there is nothing.
func (l *Leader) afterWrites(mark int, answer func(err *kerr.Error)) {
	if len(l.writes) == mark {
		answer(nil)
		return
	}
	last := &l.writes[len(l.writes)-1]
	done := last.Done
	last.Done = func(now time.Time, err *kerr.Error) {
		done(now, err)
		answer(err)
	}
}

func count[K comparable](m map[K]int, key K, by int) {
	if m[key] += by; m[key] == 0 {
		delete(m, key)
	}
}

// removed drops a group from memory.
func (l *Leader) removed(g *liveGroup) {
	l.timers.Cancel(&g.joinTimer)
	l.timers.Cancel(&g.syncTimer)
	for _, t := range g.pending {
		l.timers.Cancel(t)
	}
	for _, m := range g.members {
		l.timers.Cancel(&m.session)
	}
	delete(l.groups, g.id)
}
