package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/invariant"
)

// SharePartition names a partition of which a group has a share partition.
type SharePartition struct {
	Topic     [16]byte
	Partition int32
}

// ShareTaskKind says what is to be done about share partitions.
type ShareTaskKind uint8

// The kinds of tasks.
const (
	InitializeShare ShareTaskKind = iota // make them where there are none
	DeleteShare                          // take them away
	AlterShare                           // let them begin at Starts
)

func (k ShareTaskKind) String() string {
	switch k {
	case InitializeShare:
		return "initialize"
	case DeleteShare:
		return "delete"
	case AlterShare:
		return "alter"
	}
	return "unknown"
}

// ShareTask is what a Leader asks the partitions' leaders for. It is on record, and may be repeated.
type ShareTask struct {
	Kind       ShareTaskKind
	Group      string
	Partitions []SharePartition
	Starts     []int64 // with AlterShare: an offset for each partition

	done func(now time.Time, errs []*kerr.Error)
}

// inTopics returns the partitions as a set.
func inTopics(partitions []SharePartition) assignment {
	a := assignment{}
	for _, p := range partitions {
		a[p.Topic] = append(a[p.Topic], p.Partition)
	}
	for topic := range a {
		slices.Sort(a[topic])
		a[topic] = slices.Compact(a[topic])
	}
	return a
}

// TakeShareTasks returns what is to be done about share partitions since the last call. ShareTaskDone must be called for each.
func (l *Leader) TakeShareTasks() []*ShareTask {
	tasks := l.tasks
	l.tasks = nil
	return tasks
}

// ShareTaskDone takes what became of a task: an error for each partition, nil where it was done. What failed will be
// asked for again.
func (l *Leader) ShareTaskDone(now time.Time, t *ShareTask, errs []*kerr.Error) {
	invariant.Check(len(errs) == len(t.Partitions), "%d errors for %d share partitions", len(errs), len(t.Partitions))
	t.done(now, errs)
}

// shareRetryDelay is how long share partitions wait for another try; with each that fails, the next waits for twice as long, up to
// shareRetryMax.
const (
	shareRetryDelay = time.Second
	shareRetryMax   = 30 * time.Second
)

// reserve keeps others from asking for something else to be done about share partitions, until ask has been told what became
// of it.
func (g *shareGroup) reserve(partitions []SharePartition) {
	for _, p := range partitions {
		g.busy[p]++
	}
}

// ask asks for something to be done about share partitions that are reserved. The group may be gone when it is, if the topics
// are.
func (l *Leader) ask(g *shareGroup, t *ShareTask, done func(now time.Time, errs []*kerr.Error)) {
	t.Group = g.id
	t.done = func(now time.Time, errs []*kerr.Error) {
		for _, p := range t.Partitions {
			count(g.busy, p, -1)
		}
		done(now, errs)
	}
	l.tasks = append(l.tasks, t)
}

// tendPartitions asks for share partitions to be made that members need, and for those to be deleted that have to go, as far as
// that is on record, nobody is at it already and it did not fail just now.
func (l *Leader) tendPartitions(g *shareGroup) {
	if l.shares[g.id] != g {
		return
	}
	topics := l.env.Topics()
	doomed := &ShareTask{Kind: DeleteShare, Partitions: l.due(g, shareDeleting, func(topicID) bool { return true })}
	if len(doomed.Partitions) > 0 {
		g.reserve(doomed.Partitions)
		l.ask(g, doomed, func(now time.Time, errs []*kerr.Error) {
			if l.shares[g.id] == g {
				l.sharesDeleted(g, now, doomed, errs)
			}
		})
	}
	wanted := &ShareTask{Kind: InitializeShare, Partitions: l.due(g, shareInitializing, func(id topicID) bool {
		name, _, ok := topics.ByID(id)
		return ok && g.reads(name)
	})}
	if len(wanted.Partitions) > 0 {
		g.reserve(wanted.Partitions)
		l.ask(g, wanted, func(now time.Time, errs []*kerr.Error) {
			if l.shares[g.id] == g {
				l.initialized(g, now, wanted, errs).commit(func(*kerr.Error) {})
			}
		})
	}
}

// due returns the partitions in a state that are to be seen to.
func (l *Leader) due(g *shareGroup, state sharePartitionState, wanted func(topic topicID) bool) (due []SharePartition) {
	if len(g.partitions[state]) == 0 {
		return nil
	}
	recorded := l.state.groups[g.id]
	if recorded == nil || recorded.share == nil {
		return nil
	}
	for _, topic := range sortedTopics(g.partitions[state]) {
		if !wanted(topic) {
			continue
		}
		for _, partition := range g.partitions[state][topic] {
			p := SharePartition{topic, partition}
			if g.busy[p] == 0 && !g.failed[p] && recorded.share.partitions[state].has(topic, partition) {
				due = append(due, p)
			}
		}
	}
	return due
}

// outcome returns the partitions of a task that were seen to. The others are tried again after a while.
func (l *Leader) outcome(g *shareGroup, now time.Time, t *ShareTask, errs []*kerr.Error) []SharePartition {
	var done []SharePartition
	var last *kerr.Error
	for i, p := range t.Partitions {
		if errs[i] == nil {
			done = append(done, p)
			continue
		}
		g.failed[p], last = true, errs[i]
	}
	if last != nil {
		l.env.Logger.Info("share partitions are not seen to", "group", g.id, "task", t.Kind.String(), "partitions",
			len(t.Partitions)-len(done), "err", last)
		if !g.retry.Armed() {
			g.retryDelay = min(max(2*g.retryDelay, shareRetryDelay), shareRetryMax)
			l.timers.Schedule(&g.retry, now.Add(g.retryDelay))
		}
	} else {
		g.retryDelay = 0
	}
	return done
}

// initialized takes note of share partitions that are there. The change that it returns is to be committed; members get the
// partitions with their next heartbeats.
func (l *Leader) initialized(g *shareGroup, now time.Time, t *ShareTask, errs []*kerr.Error) *shareChange {
	c := l.shareChange(g)
	there := inTopics(slices.DeleteFunc(l.outcome(g, now, t, errs), func(p SharePartition) bool {
		return g.partitionState(p.Topic, p.Partition) != shareInitializing
	}))
	c.move(there, shareInitialized)
	for topic := range there {
		if name, _, ok := l.env.Topics().ByID(topic); ok && g.reads(name) {
			c.set(g.epoch+1, g.targetEpoch, g.topicsHash)
			break
		}
	}
	return c
}
