package sharegroup

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
)

// link is a member's share session with one broker. Each request of a session carries its next epoch, so they are sent
// one at a time.
type link struct {
	node       int32
	partitions []int32 // that the broker leads; guarded by Member.mu

	turn chan struct{} // capacity 1: who has put something in may use what follows
	// epoch is that of the next request; 0 opens a session.
	epoch int32
	// fetched are the partitions that the session is about; none if it was opened to acknowledge.
	fetched []int32

	polling bool // the receiving goroutine's own: a poll is under way
}

func newLink(node int32) *link { return &link{node: node, turn: make(chan struct{}, 1)} }

func (l *link) take(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *link) give() { <-l.turn }

// settle notes how a request of the session ended: after an error a new session begins.
func (l *link) settle(err error) {
	switch {
	case err != nil:
		l.epoch, l.fetched = 0, nil
	case l.epoch == math.MaxInt32:
		l.epoch = 1
	default:
		l.epoch++
	}
}

// maxFetchBytes bounds an answer. More than that is rarely of use to a command.
const maxFetchBytes = 32 << 20

// fetch acquires up to limit messages from one leader, waiting for the first. Messages and an error may both be there: of
// some partitions each.
func (m *Member) fetch(ctx context.Context, l *link, limit int, wait time.Duration) ([]Message, error) {
	if err := l.take(ctx); err != nil {
		return nil, err
	}
	defer l.give()
	m.mu.Lock()
	topicID, partitions := m.topicID, slices.Clone(l.partitions)
	m.mu.Unlock()
	if !slices.Equal(partitions, l.fetched) {
		l.epoch = 0
	}
	req := m.fetchRequest(l.epoch)
	req.MaxWaitMillis = int32(min(wait.Milliseconds(), math.MaxInt32))
	req.MaxRecords, req.BatchSize = int32(min(limit, math.MaxInt32)), int32(min(limit, math.MaxInt32))
	if m.config.Lock > 0 {
		protocol.SetMillisTag(&req.UnknownTags, protocol.TagVisibility, m.config.Lock)
	}
	if l.epoch == 0 {
		topic := kmsg.NewShareFetchRequestTopic()
		topic.TopicID = topicID
		for _, partition := range partitions {
			p := kmsg.NewShareFetchRequestTopicPartition()
			p.Partition = partition
			topic.Partitions = append(topic.Partitions, p)
		}
		req.Topics = append(req.Topics, topic)
	}
	resp, err := m.request(ctx, l, req)
	if err != nil {
		return nil, err
	}
	l.fetched = partitions
	response := resp.(*kmsg.ShareFetchResponse)
	lock := m.config.Lock
	if lock == 0 {
		lock = time.Duration(response.AcquisitionLockTimeoutMillis) * time.Millisecond
	}
	messages, gaps, err := m.messages(response, topicID, time.Now().Add(lock))
	if len(gaps) > 0 {
		// Offsets without a record. If this fails they are acquired again, and found to be gaps again.
		_, _ = m.acknowledgeAt(ctx, l, Gap, 0, gaps)
	}
	return messages, err
}

func (m *Member) fetchRequest(epoch int32) *kmsg.ShareFetchRequest {
	req := kmsg.NewPtrShareFetchRequest()
	req.GroupID, req.MemberID, req.ShareSessionEpoch = &m.config.Group, &m.id, epoch
	req.MinBytes, req.MaxBytes = 1, maxFetchBytes
	req.ShareAcquireMode = 1 // no more records than MaxRecords
	return req
}

// request sends a request of the session, whose turn the caller has, and returns its answer without an error of the whole.
func (m *Member) request(ctx context.Context, l *link, req kmsg.Request) (resp kmsg.Response, err error) {
	defer func() { l.settle(err) }()
	resp, err = m.config.Client.Broker(int(l.node)).Request(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("ask node %d: %w", l.node, err)
	}
	switch r := resp.(type) {
	case *kmsg.ShareFetchResponse:
		err = codeError(r.ErrorCode, r.ErrorMessage)
	case *kmsg.ShareAcknowledgeResponse:
		err = codeError(r.ErrorCode, r.ErrorMessage)
	}
	return resp, err
}

// codeError is an error code with the broker's explanation.
func codeError(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err != nil && message != nil && *message != "" {
		return fmt.Errorf("%w (%s)", err, *message)
	}
	return err
}

// messages takes out of a response what was acquired. The records are whole batches, so there may be others among them.
func (m *Member) messages(resp *kmsg.ShareFetchResponse, topicID kadm.TopicID, until time.Time) (messages []Message, gaps map[int32][]int64, err error) {
	gaps = map[int32][]int64{}
	for i := range resp.Topics {
		if resp.Topics[i].TopicID != topicID {
			continue
		}
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if failed := codeError(p.ErrorCode, p.ErrorMessage); failed != nil {
				err = fmt.Errorf("receive from %s/%d: %w", m.config.Topic, p.Partition, failed)
				continue
			}
			records, failed := m.records(p)
			if failed != nil {
				err = fmt.Errorf("read records of %s/%d: %w", m.config.Topic, p.Partition, failed)
			}
			for _, acquired := range p.AcquiredRecords {
				next := acquired.FirstOffset
				for len(records) > 0 && records[0].Offset <= acquired.LastOffset {
					record := records[0]
					records = records[1:]
					if record.Offset < next {
						continue
					}
					for ; next < record.Offset; next++ {
						gaps[p.Partition] = append(gaps[p.Partition], next)
					}
					messages = append(messages, Message{Record: record, Deliveries: int(acquired.DeliveryCount), LockedUntil: until})
					next++
				}
				for ; failed == nil && next <= acquired.LastOffset; next++ {
					gaps[p.Partition] = append(gaps[p.Partition], next)
				}
			}
		}
	}
	return messages, gaps, err
}

func (m *Member) records(p *kmsg.ShareFetchResponseTopicPartition) ([]*kgo.Record, error) {
	fetched := kmsg.NewFetchResponseTopicPartition()
	fetched.Partition, fetched.RecordBatches = p.Partition, p.Records
	partition, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Topic: m.config.Topic, Partition: p.Partition,
	}, &fetched, kgo.DefaultDecompressor(), nil)
	return partition.Records, partition.Err
}
