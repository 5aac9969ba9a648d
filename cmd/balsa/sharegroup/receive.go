package sharegroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Message is a record that a member holds.
type Message struct {
	*kgo.Record
	Deliveries  int       // this one included
	LockedUntil time.Time // by the clock of this process
}

// answer is what a poll brought.
type answer struct {
	link     *link
	messages []Message
	err      error
}

// pollTime is how long one poll waits at most, so that a leader that moved is noticed.
const pollTime = 5 * time.Second

// Receive returns up to limit messages as soon as there is one, or none when wait is over.
//
// First it asks one leader after another without waiting, so that it takes no more than limit. When there is nothing it
// waits at all of them at once. Then two may answer together: what is more than limit is kept for the next call, for as
// long as its lock lasts.
func (m *Member) Receive(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	begun := time.Now()
	deadline := begun.Add(wait)
	m.answered = begun
	look := true
	for {
		err := m.attempt(ctx, limit, look, deadline)
		if messages := m.unpack(limit); len(messages) > 0 {
			return messages, nil
		}
		if look = err != nil; look {
			if err := m.recover(ctx, m.subscribed(ctx, err), m.answered); err != nil {
				return nil, err
			}
		}
		if !time.Now().Before(deadline) && (err == nil || m.answered.After(begun)) {
			return nil, nil
		}
	}
}

// subscribed makes an error that subscribing remedies one to try again after: the group has no place in this topic yet, or
// not in partitions that were added since. Kafka calls such a partition unknown.
func (m *Member) subscribed(ctx context.Context, err error) error {
	if !errors.Is(err, kerr.GroupIDNotFound) && !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return err
	}
	if err := Subscribe(ctx, m.config.Client, m.config.Group, m.config.Topic, m.config.Patience); err != nil {
		return err
	}
	return kerr.CoordinatorLoadInProgress
}

// attempt asks the leaders once. What it gets is in the buffer.
func (m *Member) attempt(ctx context.Context, limit int, look bool, deadline time.Time) error {
	m.collect()
	if len(m.buffer) > 0 {
		return nil
	}
	links := m.leaders()
	if look {
		if err := m.look(ctx, links, limit); err != nil || len(m.buffer) > 0 {
			return err
		}
	}
	wait := min(time.Until(deadline), pollTime)
	if wait <= 0 {
		return nil
	}
	if len(links) == 0 {
		return fmt.Errorf("no partition of %s has a leader", m.config.Topic)
	}
	m.poll(links, limit, wait)
	return m.await(ctx)
}

// look asks each leader for what it has now, until there is enough. An error of one does not hide what others have.
func (m *Member) look(ctx context.Context, links []*link, limit int) (failed error) {
	for _, l := range links {
		if l.polling {
			continue
		}
		messages, err := m.fetch(ctx, l, limit-len(m.buffer), 0)
		if err == nil {
			m.answered = time.Now()
		} else if failed == nil {
			failed = err
		}
		if m.buffer = append(m.buffer, messages...); len(m.buffer) >= limit {
			return nil
		}
	}
	return failed
}

// poll begins to wait at every leader where nobody waits yet, for its share of the messages that are wanted.
func (m *Member) poll(links []*link, limit int, wait time.Duration) {
	share := (limit + len(links) - 1) / len(links)
	for _, l := range links {
		if l.polling || m.polls >= maxPolls {
			continue
		}
		l.polling = true
		m.polls++
		m.running.Go(func() {
			messages, err := m.fetch(m.ctx, l, share, wait)
			m.arrived <- answer{l, messages, err}
		})
	}
}

// await returns when a poll brought something, or all have ended.
func (m *Member) await(ctx context.Context) error {
	for m.polls > 0 {
		select {
		case a := <-m.arrived:
			if err := m.heard(a); err != nil || len(m.buffer) > 0 {
				m.collect()
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (m *Member) heard(a answer) error {
	a.link.polling = false
	m.polls--
	m.buffer = append(m.buffer, a.messages...)
	if a.err == nil {
		m.answered = time.Now()
	}
	return a.err
}

// collect takes in what polls have brought. Their errors are met again by who asks next.
func (m *Member) collect() {
	for {
		select {
		case a := <-m.arrived:
			_ = m.heard(a)
		default:
			return
		}
	}
}

// unpack takes up to limit messages out of the buffer. Those whose lock may have ended are left to whoever gets them next.
func (m *Member) unpack(limit int) []Message {
	var messages []Message
	now := time.Now()
	for len(m.buffer) > 0 && len(messages) < limit {
		if message := m.buffer[0]; message.LockedUntil.After(now) {
			messages = append(messages, message)
		}
		m.buffer = m.buffer[1:]
	}
	return messages
}

// closingTime is how long Close waits for polls under way: those of leaders that answer together with the one that Receive
// returned for.
const closingTime = 25 * time.Millisecond

// Close ends the polls. It returns up to limit messages that they have brought meanwhile, and gives back the others. The
// caller closes the client after that, which tells the brokers that nobody waits for their answers.
func (m *Member) Close(ctx context.Context, limit int) ([]Message, error) {
	m.collect()
	for timer := time.After(closingTime); m.polls > 0; {
		select {
		case a := <-m.arrived:
			_ = m.heard(a)
			continue
		case <-timer:
		}
		break
	}
	m.cancel()
	m.running.Wait()
	m.collect()
	messages := m.unpack(limit)
	var places []Place
	for _, message := range m.buffer {
		places = append(places, Place{message.Partition, message.Offset})
	}
	m.buffer = nil
	for place, err := range m.Acknowledge(ctx, Release, 0, places) {
		return messages, fmt.Errorf("give back the message at %s/%d@%d: %w", m.config.Topic, place.Partition, place.Offset, err)
	}
	return messages, nil
}
