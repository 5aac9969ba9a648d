package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// member is one consumer of the group with a goroutine that polls it.
type member struct {
	cl   *kgo.Client
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	seen     map[string]bool // keys of the records it got
	assigned map[int32]bool
	err      error
}

func (s *scenario) join(ctx context.Context) (*member, error) {
	m := &member{seen: map[string]bool{}, assigned: map[int32]bool{}, done: make(chan struct{})}
	note := func(assigned bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for _, p := range parts[s.topic] {
				if assigned {
					m.assigned[p] = true
				} else {
					delete(m.assigned, p)
				}
			}
		}
	}
	cl, err := s.client(
		kgo.ConsumerGroup(s.group),
		kgo.ConsumeTopics(s.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.SessionTimeout(10*time.Second),
		kgo.OnPartitionsAssigned(note(true)),
		kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, parts map[string][]int32) {
			if err := cl.CommitUncommittedOffsets(ctx); err != nil {
				m.fail(fmt.Errorf("commit on revoke: %w", err))
			}
			note(false)(ctx, cl, parts)
		}),
		kgo.OnPartitionsLost(note(false)),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
	)
	if err != nil {
		return nil, err
	}
	m.cl = cl
	ctx, m.stop = context.WithCancel(ctx)
	go m.poll(ctx)
	return m, nil
}

func (m *member) poll(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		fetches := m.cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.Canceled) {
			m.fail(err)
		}
		m.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { m.seen[string(r.Key)] = true })
		m.mu.Unlock()
		m.cl.AllowRebalance()
	}
}

func (m *member) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = errors.Join(m.err, err)
}

// leave commits what the member has seen and leaves the group.
func (m *member) leave(ctx context.Context) error {
	m.stop()
	<-m.done
	defer m.cl.CloseAllowingRebalance()
	if err := m.cl.CommitUncommittedOffsets(ctx); err != nil {
		return fmt.Errorf("commit before leaving: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

func (m *member) partitions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.assigned)
}

// waitFor polls cond until it holds. The scenario runs against another process, so that there is nothing to be
// notified by.
func waitFor(ctx context.Context, what string, cond func() bool) error {
	for !cond() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// unseen counts the written records that no member got.
func (s *scenario) unseen(members ...*member) int {
	seen := map[string]bool{}
	for _, m := range members {
		m.mu.Lock()
		for k := range m.seen {
			seen[k] = true
		}
		m.mu.Unlock()
	}
	n := 0
	for _, records := range s.written {
		for _, r := range records {
			if !seen[string(r.Key)] {
				n++
			}
		}
	}
	return n
}

// groupRebalance has one member take all partitions, a second one join and leave again, with records written in each
// phase: none may be missed.
func (s *scenario) groupRebalance(ctx context.Context) error {
	a, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer a.cl.CloseAllowingRebalance()
	if err := waitFor(ctx, "the first member to own all partitions", func() bool { return a.partitions() == partitions }); err != nil {
		return err
	}
	b, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer b.cl.CloseAllowingRebalance()
	shared := func() bool { return a.partitions() == partitions/2 && b.partitions() == partitions/2 }
	if err := waitFor(ctx, "the members to share the partitions", shared); err != nil {
		return err
	}
	if err := s.produceWave(ctx, "both", kgo.NoCompression()); err != nil {
		return err
	}
	if err := waitFor(ctx, "both members to get all records", func() bool { return s.unseen(a, b) == 0 }); err != nil {
		return fmt.Errorf("%w (%d missing)", err, s.unseen(a, b))
	}
	if err := b.leave(ctx); err != nil {
		return fmt.Errorf("second member: %w", err)
	}
	if err := waitFor(ctx, "the first member to take over", func() bool { return a.partitions() == partitions }); err != nil {
		return err
	}
	if err := s.produceWave(ctx, "alone", kgo.SnappyCompression()); err != nil {
		return err
	}
	if err := waitFor(ctx, "the first member to get the rest", func() bool { return s.unseen(a, b) == 0 }); err != nil {
		return fmt.Errorf("%w (%d missing)", err, s.unseen(a, b))
	}
	if err := a.leave(ctx); err != nil {
		return fmt.Errorf("first member: %w", err)
	}
	return nil
}

// commitResume writes on and joins the group anew: only what came after the commit may be seen.
func (s *scenario) commitResume(ctx context.Context) error {
	if err := s.produceWave(ctx, "after", kgo.ZstdCompression()); err != nil {
		return err
	}
	m, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer m.cl.CloseAllowingRebalance()
	count := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.seen)
	}
	if err := waitFor(ctx, "the records after the commit", func() bool { return count() >= perCodec }); err != nil {
		return err
	}
	if err := m.leave(ctx); err != nil {
		return err
	}
	for k := range m.seen {
		if len(k) < 5 || k[:5] != "after" {
			return fmt.Errorf("got %s, which was committed before", k)
		}
	}
	return nil
}
