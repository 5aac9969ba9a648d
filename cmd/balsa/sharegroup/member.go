package sharegroup

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Config is what a Member needs.
type Config struct {
	Client *kgo.Client
	Topic  string
	Group  string
	ID     string        // that of a receipt; empty: a new one
	Lock   time.Duration // of what is received; 0: the group's share.record.lock.duration.ms
	// Patience is for how long a call goes on while no broker answers it. Leaders change within that time.
	Patience time.Duration
}

// Member receives messages of one topic for one group, and decides about them.
//
// Receive and Close are for one goroutine; Acknowledge may be called by any.
type Member struct {
	config Config
	admin  *kadm.Client
	id     string

	// polls end with this context; running counts them.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards the three below
	topicID kadm.TopicID
	links   map[int32]*link // by node
	leader  map[int32]*link // by partition

	// The receiving goroutine's own.
	arrived  chan answer // from polls; as many fit as there are polls
	polls    int         // that have not been heard of
	buffer   []Message   // received, but not yet returned
	answered time.Time   // when a broker last answered
	turn     int         // which leader is asked first
}

// maxPolls is how many polls can be under way. A cluster with more nodes than that is asked in turns.
const maxPolls = 256

// New returns a member once it knows the leaders of the topic.
func New(ctx context.Context, config Config) (*Member, error) {
	m := &Member{
		config: config, admin: kadm.NewClient(config.Client), id: config.ID,
		links: map[int32]*link{}, leader: map[int32]*link{}, arrived: make(chan answer, maxPolls),
	}
	if m.id == "" {
		m.id = newID()
	}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := m.refresh(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// newID makes an id of 25 characters; brokers take up to 36.
func newID() string {
	var random [12]byte
	_, _ = rand.Read(random[:]) // never fails
	return DetachedPrefix + base64.RawURLEncoding.EncodeToString(random[:])
}

// Receipt names a message that this member received.
func (m *Member) Receipt(message Message) Receipt {
	return Receipt{
		Topic: m.config.Topic, Partition: message.Partition, Offset: message.Offset, Group: m.config.Group, Member: m.id,
	}
}

// refresh learns the leaders. A leader that stays keeps its session.
func (m *Member) refresh(ctx context.Context) error {
	details, err := m.admin.ListTopicsWithInternal(ctx, m.config.Topic)
	if err != nil {
		return fmt.Errorf("find the leaders of %s: %w", m.config.Topic, err)
	}
	detail, ok := details[m.config.Topic]
	if !ok || errors.Is(detail.Err, kerr.UnknownTopicOrPartition) {
		return &gone{topic: m.config.Topic}
	}
	if detail.Err != nil {
		return fmt.Errorf("find the leaders of %s: %w", m.config.Topic, detail.Err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.topicID = detail.ID
	clear(m.leader)
	for _, l := range m.links {
		l.partitions = nil
	}
	for _, p := range detail.Partitions.Sorted() {
		if p.Leader < 0 {
			continue
		}
		l := m.links[p.Leader]
		if l == nil {
			l = newLink(p.Leader)
			m.links[p.Leader] = l
		}
		l.partitions = append(l.partitions, p.Partition)
		m.leader[p.Partition] = l
	}
	return nil
}

// gone is the error of a topic that does not exist, or not any more.
type gone struct{ topic string }

func (e *gone) Error() string { return "topic " + e.topic + " does not exist" }
func (e *gone) Unwrap() error { return kerr.UnknownTopicOrPartition }

// leaders returns the links that lead something, each call beginning with the next, so that none is always asked last.
func (m *Member) leaders() []*link {
	m.mu.Lock()
	defer m.mu.Unlock()
	var links []*link
	for _, l := range m.links {
		if len(l.partitions) > 0 {
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b *link) int { return int(a.node - b.node) })
	if len(links) > 0 {
		m.turn = (m.turn + 1) % len(links)
		links = append(links[m.turn:], links[:m.turn]...)
	}
	return links
}

// retryPause is how long a member waits before it asks again after an error.
const retryPause = 100 * time.Millisecond

// recover prepares another attempt after err, or returns why there is no use in one. since is when this began to fail.
func (m *Member) recover(ctx context.Context, err error, since time.Time) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case !Temporary(err) || time.Since(since) > m.config.Patience:
		return err
	}
	if !sleep(ctx, retryPause) {
		return ctx.Err()
	}
	if err := m.refresh(ctx); err != nil {
		if _, isGone := errors.AsType[*gone](err); isGone || !Temporary(err) {
			return err
		}
	}
	return nil
}

// Temporary says whether another attempt may do better. Errors that are not Kafka's are those of connections.
func Temporary(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
		return false
	}
	if _, ok := errors.AsType[*kerr.Error](err); !ok {
		return true
	}
	return kerr.IsRetriable(err) || errors.Is(err, kerr.ShareSessionNotFound) || errors.Is(err, kerr.InvalidShareSessionEpoch)
}

// sleep returns false if the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
