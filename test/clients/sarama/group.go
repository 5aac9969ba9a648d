package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

// member is one consumer of the group; it is sarama's handler of the group's sessions.
type member struct {
	group sarama.ConsumerGroup
	stop  context.CancelFunc
	done  chan struct{}

	mu       sync.Mutex
	seen     map[string]bool // keys of the records it got
	assigned int             // partitions of the current session
	err      error
}

func (s *scenario) join(ctx context.Context) (*member, error) {
	c := s.config()
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Heartbeat.Interval = 500 * time.Millisecond
	c.Consumer.Group.Session.Timeout = 10 * time.Second
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	group, err := sarama.NewConsumerGroup(s.brokers, s.group, c)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	m := &member{group: group, done: make(chan struct{}), seen: map[string]bool{}}
	ctx, m.stop = context.WithCancel(ctx)
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{s.topic}, m); err != nil && !errors.Is(err, context.Canceled) {
				m.mu.Lock()
				m.err = errors.Join(m.err, err)
				m.mu.Unlock()
				return
			}
		}
	}()
	return m, nil
}

// Setup notes the new assignment.
func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, parts := range session.Claims() {
		m.assigned += len(parts)
	}
	return nil
}

// Cleanup commits at the end of a session, before the partitions move on.
func (m *member) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assigned = 0
	return nil
}

// ConsumeClaim reads one partition of the session.
func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case msg, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.mu.Lock()
			m.seen[string(msg.Key)] = true
			m.mu.Unlock()
			session.MarkMessage(msg, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

// leave ends the session, which commits, and leaves the group.
func (m *member) leave() error {
	m.stop()
	<-m.done
	err := m.group.Close()
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.err, err)
}

func (m *member) partitions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.assigned
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
			if !seen[string(r.key)] {
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
	defer a.stop()
	if err := waitFor(ctx, "the first member to own all partitions", func() bool { return a.partitions() == partitions }); err != nil {
		return err
	}
	b, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer b.stop()
	shared := func() bool { return a.partitions() == partitions/2 && b.partitions() == partitions/2 }
	if err := waitFor(ctx, "the members to share the partitions", shared); err != nil {
		return err
	}
	if err := s.produceWave("both", sarama.CompressionNone); err != nil {
		return err
	}
	if err := waitFor(ctx, "both members to get all records", func() bool { return s.unseen(a, b) == 0 }); err != nil {
		return fmt.Errorf("%w (%d missing)", err, s.unseen(a, b))
	}
	if err := b.leave(); err != nil {
		return fmt.Errorf("second member: %w", err)
	}
	if err := waitFor(ctx, "the first member to take over", func() bool { return a.partitions() == partitions }); err != nil {
		return err
	}
	if err := s.produceWave("alone", sarama.CompressionSnappy); err != nil {
		return err
	}
	if err := waitFor(ctx, "the first member to get the rest", func() bool { return s.unseen(a, b) == 0 }); err != nil {
		return fmt.Errorf("%w (%d missing)", err, s.unseen(a, b))
	}
	if err := a.leave(); err != nil {
		return fmt.Errorf("first member: %w", err)
	}
	return nil
}

// commitResume writes on and joins the group anew: only what came after the commit may be seen.
func (s *scenario) commitResume(ctx context.Context) error {
	if err := s.produceWave("after", sarama.CompressionZSTD); err != nil {
		return err
	}
	m, err := s.join(ctx)
	if err != nil {
		return err
	}
	defer m.stop()
	count := func() int {
		m.mu.Lock()
		defer m.mu.Unlock()
		return len(m.seen)
	}
	if err := waitFor(ctx, "the records after the commit", func() bool { return count() >= perCodec }); err != nil {
		return err
	}
	if err := m.leave(); err != nil {
		return err
	}
	for k := range m.seen {
		if !strings.HasPrefix(k, "after") {
			return fmt.Errorf("got %s, which was committed before", k)
		}
	}
	return nil
}
