package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/wire"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/partition"
)

// deadLettersService is the number under which brokers write each other's dead letters.
const deadLettersService uint8 = 15

const (
	// deadLetterTimeout bounds one attempt to write dead letters.
	deadLetterTimeout = 5 * time.Second
	// deadLetterBytes is from which size on dead letters go in several batches; smaller ones where the topic's max.message.bytes is
	// below it. One that is larger by itself goes by itself.
	deadLetterBytes = 256 << 10
	// truncatedHeader marks a dead letter whose record was too large for the dead-letter topic: it is left out.
	truncatedHeader = "__dlq.errors.truncated"
	// maxKeptHeader is up to which size headers stay on it: ours are smaller.
	maxKeptHeader = 256
)

// deadLetters writes dead letters to their topics (partition.DeadLetters).
type deadLetters struct {
	node       raft.NodeID
	partitions *partition.Manager
	image      func() *cluster.Image
	leader     func(topic cluster.TopicID, partition int32) raft.Leadership
	create     func(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
	call       callFunc
	logger     *slog.Logger
}

var _ partition.DeadLetters = (*deadLetters)(nil)

// WriteDeadLetters implements partition.DeadLetters. A topic that does not exist is made, as a queue of its own: without it records
// that nobody can process would be in the way for good.
func (l *deadLetters) WriteDeadLetters(
	ctx context.Context, topic string, from cluster.TopicPartition, records []batch.Record,
) (written int, err error) {
	ctx, cancel := context.WithTimeout(ctx, deadLetterTimeout)
	defer cancel()
	t, err := l.topic(ctx, topic)
	if err != nil {
		return 0, err
	}
	to := cluster.TopicPartition{Topic: t.ID, Partition: from.Partition % int32(len(t.Partitions))}
	for written < len(records) {
		left := records[written:]
		n := fitting(left)
		err := l.write(ctx, to, left[:n])
		for ; errors.Is(err, kerr.MessageTooLarge) && n > 1; err = l.write(ctx, to, left[:n]) {
			n /= 2
		}
		if errors.Is(err, kerr.MessageTooLarge) {
			l.logger.Warn("a dead letter is too large for its topic: written without its record", "topic", topic)
			err = l.write(ctx, to, []batch.Record{truncated(left[0])})
		}
		if err != nil {
			return written, fmt.Errorf("write dead letters to %s-%d: %w", topic, to.Partition, err)
		}
		written += n
	}
	return written, nil
}

// fitting is how many of the records go into one batch.
func fitting(records []batch.Record) int {
	bytes := 0
	for i := range records {
		r := &records[i]
		bytes += len(r.Key) + len(r.Value)
		for _, h := range r.Headers {
			bytes += len(h.Key) + len(h.Value)
		}
		if bytes > deadLetterBytes && i > 0 {
			return i
		}
	}
	return len(records)
}

func truncated(r batch.Record) batch.Record {
	headers := []batch.RecordHeader{{Key: []byte(truncatedHeader), Value: []byte("true")}}
	for _, h := range r.Headers {
		if len(h.Key) > len(truncatedHeader) || len(h.Value) > maxKeptHeader {
			continue
		}
		headers = append(headers, h)
	}
	return batch.Record{Timestamp: r.Timestamp, Headers: headers}
}

// topic returns the dead-letter topic, which it makes if there is none.
func (l *deadLetters) topic(ctx context.Context, name string) (*cluster.Topic, error) {
	if t := l.image().TopicsByName[name]; t != nil {
		return t, nil
	}
	policy := "ack"
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "cleanup.policy", &policy
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, -1
	topic.Configs = append(topic.Configs, config)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = req.MaxVersion()
	req.Topics = append(req.Topics, topic)
	req.TimeoutMillis = int32(deadLetterTimeout.Milliseconds())
	if _, err := l.create(ctx, req); err != nil {
		return nil, fmt.Errorf("create dead-letter topic %q: %w", name, err)
	}
	t := l.image().TopicsByName[name]
	if t == nil {
		return nil, fmt.Errorf("dead-letter topic %q: %w", name, kerr.UnknownTopicOrPartition)
	}
	l.logger.Info("dead-letter topic created", "topic", name)
	return t, nil
}

// write writes one batch.
func (l *deadLetters) write(ctx context.Context, to cluster.TopicPartition, records []batch.Record) error {
	b, err := batch.BuildRecords(records, batch.BuildOptions{})
	if err != nil {
		return err
	}
	for {
		err := l.attempt(ctx, to, b)
		if !errors.Is(err, kerr.NotLeaderForPartition) || !pause(ctx, sharePause) {
			return err
		}
	}
}

func (l *deadLetters) attempt(ctx context.Context, to cluster.TopicPartition, b batch.Batch) error {
	leader := l.leader(to.Topic, to.Partition).Leader
	switch leader {
	case raft.NoNode:
		return kerr.NotLeaderForPartition
	case l.node:
		return l.append(ctx, to, append(batch.Batch(nil), b...)) // it is changed in place, and may be tried again
	}
	e := wire.Encoder{}
	e.U8(deadLettersVersion)
	e.ID(to.Topic)
	e.Varint(int64(to.Partition))
	e.B = append(e.B, b...)
	answer, err := l.call(ctx, leader, deadLettersService, e.B)
	if err != nil {
		return fmt.Errorf("%w: %w", kerr.NotLeaderForPartition, err)
	}
	codes, err := decodeCodes(answer, 1)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(codes[0])
}

// A request is: version 1, topic id, partition as a varint, and the batch. Its answer is one error code, like that to markers.
const deadLettersVersion = 1

var errDeadLetters = errors.New("malformed dead letters")

// serve writes what another broker sends; its signature is raft.Service.
func (l *deadLetters) serve(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	d := wire.Decoder{B: payload}
	version := d.U8()
	to := cluster.TopicPartition{Topic: d.ID(), Partition: d.I32()}
	if d.Err != nil || version != deadLettersVersion {
		return nil, fmt.Errorf("%w: version %d: %w", errDeadLetters, version, d.Err)
	}
	ctx, cancel := context.WithTimeout(ctx, deadLetterTimeout)
	defer cancel()
	err := l.append(ctx, to, append(batch.Batch(nil), d.B...))
	return encodeCodes([]int16{wireCode(err)}), nil
}

func (l *deadLetters) append(ctx context.Context, to cluster.TopicPartition, b batch.Batch) error {
	p, err := l.partitions.Get(to.Topic, to.Partition)
	if err != nil {
		return err
	}
	a, err := p.ProduceDeadLetters(b)
	if err != nil {
		return err
	}
	_, err = a.Wait(ctx)
	return err
}
