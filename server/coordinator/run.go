package coordinator

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

const (
	// maxInFlight bounds a shard's proposals. More would not make the disk faster; fewer and larger entries do.
	maxInFlight = 8
	// maxEntryBytes ends an entry that gathers writes. One write larger than it is an entry of its own.
	maxEntryBytes = 1 << 20
	// retryLead is how soon a leader whose proposal was refused without a change of leadership tries again.
	retryLead = 100 * time.Millisecond
)

// inFlight is a proposed entry with the writes in it.
type inFlight struct {
	proposal Proposal
	entry    batch.Batch // nil for barriers alone
	epoch    log.Epoch   // in which it was decided
	writes   []queued
}

// run proposes what is queued, settles proposals in order, and keeps time. It is the only goroutine that proposes.
func (s *shard) run() {
	defer close(s.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var flying []inFlight
	for {
		flying = s.propose(flying)
		timer.Reset(s.arm())
		var settled <-chan struct{}
		if len(flying) > 0 {
			settled = flying[0].proposal.Done()
		}
		select {
		case <-settled:
			s.settle(flying[0])
			flying = flying[1:]
			s.setUnsettled(len(flying))
		case <-s.wake:
		case <-timer.C:
		case <-s.stop:
			s.abandon(flying)
			return
		}
		s.tick()
	}
}

// propose turns the queue into entries while there is room.
func (s *shard) propose(flying []inFlight) []inFlight {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return flying
		}
		writes, values := s.take(len(flying) >= maxInFlight)
		g, epoch := s.group, log.Epoch(s.epoch)
		s.mu.Unlock()
		switch {
		case len(writes) == 0:
			return flying
		case len(values) > 0:
			entry := buildEntry(epoch, values, time.Now())
			flying = append(flying, inFlight{g.Propose(batch.KindData, entry), entry, epoch, writes})
			s.setUnsettled(len(flying))
		case len(flying) > 0:
			last := &flying[len(flying)-1] // only barriers: done when what they wait for is
			last.writes = append(last.writes, writes...)
		default:
			s.settle(inFlight{proposal: settledProposal{}, writes: writes})
		}
	}
}

// take removes the next entry's writes from the queue; when full only barriers.
func (s *shard) take(full bool) (writes []queued, values [][]byte) {
	n, size := 0, 0
	for ; n < len(s.queue); n++ {
		w := &s.queue[n]
		if full && len(w.Records) > 0 {
			break
		}
		bytes := 0
		for _, r := range w.Records {
			bytes += len(r)
		}
		if size > 0 && size+bytes > maxEntryBytes {
			break
		}
		size += bytes
		values = append(values, w.Records...)
	}
	writes = append(writes, s.queue[:n]...)
	rest := s.queue[n:]
	if len(rest) == 0 {
		rest = nil
	}
	s.queue = rest
	return writes, values
}

// settle tells the writes of an entry what became of it.
func (s *shard) settle(f inFlight) {
	err := f.outcome()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	lost := false
	for _, w := range f.writes {
		w.Done(now, errorCode(err))
		lost = lost || err != nil && !w.OffsetsOnly && w.leader == s.leader
	}
	if s.leader == nil {
		return
	}
	if !lost {
		s.collect()
		return
	}
	// The leader's memory is ahead of what was written, so it begins again from what is: in this epoch when the entry was
	// refused, in a later one when it is unknown what became of it.
	s.logger.Warn("coordinator shard could not write", "epoch", s.epoch, "err", err)
	if errors.Is(err, raft.ErrLeadershipLost) || errors.Is(err, raft.ErrClosed) {
		s.failed = s.epoch
	}
	s.stepDown()
}

// outcome says what became of an entry whose proposal is settled.
func (f *inFlight) outcome() error {
	if err := f.proposal.Wait(context.Background()); err != nil {
		return err
	}
	if f.entry != nil && f.entry.Header().Epoch != f.epoch {
		return errVoid
	}
	return nil
}

// tick lets the leader do what is due, and makes one when it can.
func (s *shard) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		// After a refused proposal leadership may be as before: nobody tells us then.
		if s.mayLeadAgain() {
			s.leadership = s.group.Leadership()
			s.followLeadership(time.Now())
		}
		return
	}
	s.leader.Expire(time.Now())
	s.txn.Expire(time.Now())
	s.collect()
}

// mayLeadAgain says whether leading in the current epoch has ended only because an entry was refused.
func (s *shard) mayLeadAgain() bool {
	return s.leader == nil && !s.closed && s.unsettled == 0 && s.leadership.Leader == s.config.Node &&
		s.leadership.Ready && int64(s.leadership.Epoch) != s.failed
}

func (s *shard) setUnsettled(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsettled = n
}

// arm returns how long the run loop may sleep.
func (s *shard) arm() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.leader != nil:
		s.armed = s.nextDeadline()
	case s.mayLeadAgain():
		s.armed = now.Add(retryLead)
	default:
		s.armed = now.Add(time.Hour)
	}
	return max(s.armed.Sub(now), 0)
}

// abandon answers the writes of entries whose outcome nobody will wait for.
func (s *shard) abandon(flying []inFlight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range flying {
		for _, w := range f.writes {
			w.Done(time.Now(), kerr.NotCoordinator)
		}
	}
}

// settledProposal is the outcome of a barrier with nothing before it.
type settledProposal struct{}

func (settledProposal) Done() <-chan struct{}      { return nil }
func (settledProposal) Wait(context.Context) error { return nil }

// errorCode maps a proposal's error. All of them mean that the client should ask who coordinates now.
func errorCode(err error) *kerr.Error {
	if err == nil {
		return nil
	}
	return kerr.NotCoordinator
}
