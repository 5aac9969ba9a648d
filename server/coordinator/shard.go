package coordinator

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/invariant"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/group"
	"balsa/server/txn"
)

// shard is one replica of a coordinator shard: the raft.StateMachine, and, while this node leads it, the group.Leader and
// the txn.Leader, which come and go together.
type shard struct {
	id     int32
	config Config
	env    environments
	logger *slog.Logger

	wake chan struct{} // capacity 1: the run loop has something to look at
	stop chan struct{} // closed by close
	done chan struct{} // closed when the run loop has ended

	mu         sync.Mutex // never held while waiting for anything
	group      Group      // nil before start
	leadership raft.Leadership
	state      *state
	leader     *group.Leader // nil unless this node coordinates
	txn        *txn.Leader   // nil when leader is
	leading    context.Context
	resign     func() // ends leading; nil when leader is
	epoch      int64  // of leader, or of the last one
	failed     int64  // an epoch that must not be led again: it ended in the middle of something
	unsettled  int    // entries in flight
	queue      []queued
	armed      time.Time // when the run loop's timer fires; zero while it looks around anyway
	closed     bool
	shareTasks []*group.ShareTask // that leader asked for, and nobody is at yet
	sharing    int                // tasks that somebody is at
	// shareRequests counts them, for their share.Epoch. Within a term of Raft there is one process, so it never falls.
	shareRequests int64
	sharers       sync.WaitGroup // who is at them
}

var _ raft.StateMachine = (*shard)(nil)

// environments is what leaders of either kind get from outside.
type environments struct {
	group group.Environment
	txn   txn.Environment
}

// queued is a write that waits to be proposed.
type queued struct {
	group.Write
	leader *group.Leader // in whose time it was asked for
}

func newShard(id int32, c Config, env environments) *shard {
	return &shard{
		id:         id,
		config:     c,
		env:        env,
		logger:     c.Logger.With("shard", id),
		wake:       make(chan struct{}, 1),
		stop:       make(chan struct{}),
		done:       make(chan struct{}),
		leadership: raft.Leadership{Leader: raft.NoNode},
		state:      newState(),
		epoch:      -1,
		failed:     -1,
	}
}

// Apply implements raft.StateMachine. A record that this release cannot read ends the process: going on would mean
// another state than that of the other replicas.
func (s *shard) Apply(entries []raft.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.Kind != batch.KindData {
			continue
		}
		err := s.state.apply(batch.Batch(e.Payload), e.Epoch)
		invariant.Check(err == nil, "coordinator shard %d: entry %d: %v", s.id, e.Index, err)
	}
}

// Snapshot implements raft.StateMachine.
func (s *shard) Snapshot() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.snapshot()
}

// Restore implements raft.StateMachine. It is for replicas that follow; a leader's state comes only from Apply.
func (s *shard) Restore(snapshot []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.restore(snapshot)
}

// LeadershipChanged implements raft.StateMachine.
func (s *shard) LeadershipChanged(l raft.Leadership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leadership = l
	s.followLeadership(time.Now())
	s.poke()
}

// followLeadership makes the leaders come and go with Raft's leadership.
func (s *shard) followLeadership(now time.Time) {
	leads := s.group != nil && !s.closed && s.leadership.Leader == s.config.Node && s.leadership.Ready
	epoch := int64(s.leadership.Epoch)
	if s.leader != nil && (!leads || s.epoch != epoch) {
		s.stepDown()
	}
	// Within an epoch a second leader must start from all that the first has written. In a later epoch that is a given:
	// Ready says that everything of earlier ones is applied.
	clean := epoch != s.epoch || s.unsettled == 0
	if s.leader == nil && leads && epoch != s.failed && clean {
		s.logger.Debug("coordinator shard is led here", "epoch", epoch)
		var ctx context.Context
		ctx, s.resign = context.WithCancel(context.Background())
		s.leader, s.epoch = group.NewLeader(s.env.group, s.state.group, now), epoch
		s.txn = txn.NewLeader(s.env.txn, s.state.txn, int32(epoch), now)
		s.leading = ctx
		s.collect()
	}
}

// stepDown drops what only the leader knew, and answers everybody who waits for it. Writes that were proposed are settled
// with their proposals.
func (s *shard) stepDown() {
	s.logger.Debug("coordinator shard is no longer led here", "epoch", s.epoch)
	s.resign()
	l, t := s.leader, s.txn
	s.leader, s.txn, s.resign = nil, nil, nil
	queue := s.queue
	s.queue, s.shareTasks = nil, nil
	t.Close(kerr.NotCoordinator)
	for _, q := range queue {
		q.Done(time.Now(), kerr.NotCoordinator)
	}
	l.Close(kerr.NotCoordinator)
}

// handle decides a request, or answers why this node does not.
func (s *shard) handle(client group.Client, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		c.fail(s.whyNot())
		return
	}
	s.leader.Handle(time.Now(), client, c.req, c.reply)
	s.decided()
}

func (s *shard) whyNot() *kerr.Error {
	if s.leadership.Leader == s.config.Node && !s.closed {
		return kerr.CoordinatorLoadInProgress
	}
	return kerr.NotCoordinator
}

// decide runs f with the leader, if this node coordinates.
func (s *shard) decide(f func(l *group.Leader, now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != nil {
		f(s.leader, time.Now())
		s.decided()
	}
}

// collect takes over what the leaders want to be done.
func (s *shard) collect() {
	for _, w := range s.leader.TakeWrites() {
		s.queue = append(s.queue, queued{w, s.leader})
	}
	for _, w := range s.txn.TakeWrites() {
		// Like offsets, and unlike memberships: the leader's memory does not run ahead of what is written.
		s.queue = append(s.queue, queued{group.Write{Records: w.Records, OffsetsOnly: true, Done: w.Done}, s.leader})
	}
	s.shareTasks = append(s.shareTasks, s.leader.TakeShareTasks()...)
	s.startShareTasks()
	for _, c := range s.txn.TakeCompletions() {
		t := s.txn
		s.config.Complete(s.leading, c, func() { s.completed(t, c.TransactionalID) })
	}
}

// decided collects, and sees to it that the run loop learns of new writes and of earlier deadlines.
func (s *shard) decided() {
	before := len(s.queue)
	s.collect()
	if len(s.queue) > before || s.nextDeadline().Before(s.armed) {
		s.poke()
	}
}

func (s *shard) nextDeadline() time.Time {
	g, t := s.leader.NextDeadline(), s.txn.NextDeadline()
	if t.Before(g) {
		return t
	}
	return g
}

func (s *shard) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// start begins to serve with g.
func (s *shard) start(g Group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.group != nil {
		return
	}
	s.group = g
	if l := g.Leadership(); l.Epoch >= s.leadership.Epoch {
		s.leadership = l
	}
	s.followLeadership(time.Now())
	go s.run()
}

// close stops serving and waits for the shard's goroutines. Writes on their way are answered with NOT_COORDINATOR.
func (s *shard) close() {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return
	}
	s.closed = true
	running := s.group != nil
	s.followLeadership(time.Now())
	close(s.stop)
	s.mu.Unlock()
	if running {
		<-s.done
	}
	s.sharers.Wait()
}
