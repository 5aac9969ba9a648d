package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

// written is one acknowledged record.
type written struct {
	key, value []byte
	headers    []sarama.RecordHeader
	timestamp  time.Time
}

// sizes of record values; the large one makes batches of very different lengths.
var sizes = []int{1, 100, 1000, 3, 10_000, 257, 100_000, 64}

// newRecord makes record i of a wave: key, headers and timestamp identify it; some values are null or empty.
func (s *scenario) newRecord(wave string, i int) written {
	key := fmt.Sprintf("%s-%04d", wave, i)
	var value []byte
	switch {
	case i%50 == 7: // null
	case i%50 == 8:
		value = []byte{}
	default:
		size := sizes[i%len(sizes)]
		value = []byte(strings.Repeat(key+"|", size/len(key)+1)[:size])
	}
	n := binary.BigEndian.AppendUint32(nil, uint32(i))
	return written{
		key:       []byte(key),
		value:     value,
		headers:   []sarama.RecordHeader{{Key: []byte("wave"), Value: []byte(wave)}, {Key: []byte("n"), Value: n}},
		timestamp: time.UnixMilli(s.base + int64(i)),
	}
}

func (s *scenario) produce(wave string, codec sarama.CompressionCodec) func(context.Context) error {
	return func(context.Context) error { return s.produceWave(wave, codec) }
}

// produceWave writes perCodec records with an idempotent acks=all producer and notes what was acknowledged.
func (s *scenario) produceWave(wave string, codec sarama.CompressionCodec) error {
	c := s.config()
	c.Producer.Idempotent = true
	c.Net.MaxOpenRequests = 1 // sarama demands it for idempotence
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Compression = codec
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Return.Successes = true
	p, err := sarama.NewSyncProducer(s.brokers, c)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer p.Close()
	messages := make([]*sarama.ProducerMessage, perCodec)
	for i := range messages {
		messages[i] = message(s.topic, i, s.newRecord(wave, i))
	}
	if err := p.SendMessages(messages); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for i, m := range messages {
		if want := int64(len(s.written[m.Partition])); m.Offset != want {
			return fmt.Errorf("%s-%04d was given offset %d of partition %d, want %d", wave, i, m.Offset, m.Partition, want)
		}
		s.written[m.Partition] = append(s.written[m.Partition], s.newRecord(wave, i))
	}
	return nil
}

func message(topic string, i int, w written) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{
		Topic:     topic,
		Partition: int32(i % partitions),
		Key:       sarama.ByteEncoder(w.key),
		Headers:   w.headers,
		Timestamp: w.timestamp,
	}
	if w.value != nil {
		m.Value = sarama.ByteEncoder(w.value)
	}
	return m
}

// replay reads every partition from offset 0 and compares it with what was acknowledged.
func (s *scenario) replay(ctx context.Context) error {
	c, err := sarama.NewConsumer(s.brokers, s.config())
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	for p := range s.written {
		if err := s.replayPartition(ctx, c, int32(p)); err != nil {
			return fmt.Errorf("partition %d: %w", p, err)
		}
	}
	return nil
}

func (s *scenario) replayPartition(ctx context.Context, c sarama.Consumer, p int32) error {
	pc, err := c.ConsumePartition(s.topic, p, 0)
	if err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	defer pc.Close()
	for i, want := range s.written[p] {
		select {
		case got := <-pc.Messages():
			if got.Offset != int64(i) {
				return fmt.Errorf("offset %d, want %d", got.Offset, i)
			}
			if err := sameRecord(got, want); err != nil {
				return fmt.Errorf("offset %d: %w", i, err)
			}
		case <-ctx.Done():
			return fmt.Errorf("read %d of %d: %w", i, len(s.written[p]), ctx.Err())
		}
	}
	if end := pc.HighWaterMarkOffset(); end != int64(len(s.written[p])) {
		return fmt.Errorf("high watermark %d, want %d", end, len(s.written[p]))
	}
	return nil
}

func sameRecord(got *sarama.ConsumerMessage, want written) error {
	switch {
	case !bytes.Equal(got.Key, want.key):
		return fmt.Errorf("key %q, want %q", got.Key, want.key)
	case !bytes.Equal(got.Value, want.value) || (got.Value == nil) != (want.value == nil):
		return fmt.Errorf("value of %s differs (%d bytes, want %d)", want.key, len(got.Value), len(want.value))
	case !got.Timestamp.Equal(want.timestamp):
		return fmt.Errorf("timestamp %v, want %v", got.Timestamp, want.timestamp)
	case len(got.Headers) != len(want.headers):
		return fmt.Errorf("%d headers, want %d", len(got.Headers), len(want.headers))
	}
	for i, h := range want.headers {
		if g := got.Headers[i]; !bytes.Equal(g.Key, h.Key) || !bytes.Equal(g.Value, h.Value) {
			return fmt.Errorf("header %d is %s=%x, want %s=%x", i, g.Key, g.Value, h.Key, h.Value)
		}
	}
	return nil
}
