package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// sizes of record values; the large one makes batches of very different lengths.
var sizes = []int{1, 100, 1000, 3, 10_000, 257, 100_000, 64}

// newRecord makes record i of a wave: key, headers and timestamp identify it; some values are null or empty.
func (s *scenario) newRecord(wave string, i int) *kgo.Record {
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
	return &kgo.Record{
		Topic:     s.topic,
		Partition: int32(i % partitions),
		Key:       []byte(key),
		Value:     value,
		Headers:   []kgo.RecordHeader{{Key: "wave", Value: []byte(wave)}, {Key: "n", Value: n}, {Key: "null"}},
		Timestamp: time.UnixMilli(s.base + int64(i)),
	}
}

func (s *scenario) produce(wave string, codec kgo.CompressionCodec) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.produceWave(ctx, wave, codec)
	}
}

// produceWave writes perCodec records with an idempotent acks=all producer (franz-go's default) and notes what was
// acknowledged, checking that every partition's offsets go on without gaps.
func (s *scenario) produceWave(ctx context.Context, wave string, codec kgo.CompressionCodec) error {
	cl, err := s.client(
		kgo.ProducerBatchCompression(codec),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(2*time.Millisecond),
	)
	if err != nil {
		return err
	}
	defer cl.Close()
	records := make([]*kgo.Record, perCodec)
	for i := range records {
		records[i] = s.newRecord(wave, i)
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	for _, r := range records {
		if want := int64(len(s.written[r.Partition])); r.Offset != want {
			return fmt.Errorf("%s was given offset %d of partition %d, want %d", r.Key, r.Offset, r.Partition, want)
		}
		s.written[r.Partition] = append(s.written[r.Partition], r)
	}
	return nil
}

// replay reads every partition from offset 0 and compares it with what was acknowledged.
func (s *scenario) replay(ctx context.Context) error {
	from := map[int32]kgo.Offset{}
	total := 0
	for p := range s.written {
		from[int32(p)] = kgo.NewOffset().At(0)
		total += len(s.written[p])
	}
	cl, err := s.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: from}))
	if err != nil {
		return err
	}
	defer cl.Close()
	var read [partitions][]*kgo.Record
	for n := 0; n < total; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %d of %d: %w", n, total, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read[r.Partition] = append(read[r.Partition], r)
			n++
		})
	}
	for p := range s.written {
		if len(read[p]) != len(s.written[p]) {
			return fmt.Errorf("partition %d: read %d records, wrote %d", p, len(read[p]), len(s.written[p]))
		}
		for i, want := range s.written[p] {
			if err := sameRecord(read[p][i], want); err != nil {
				return fmt.Errorf("partition %d offset %d: %w", p, i, err)
			}
		}
	}
	return nil
}

func sameRecord(got, want *kgo.Record) error {
	switch {
	case got.Offset != want.Offset:
		return fmt.Errorf("offset %d, want %d", got.Offset, want.Offset)
	case !bytes.Equal(got.Key, want.Key):
		return fmt.Errorf("key %q, want %q", got.Key, want.Key)
	case !bytes.Equal(got.Value, want.Value) || (got.Value == nil) != (want.Value == nil):
		return fmt.Errorf("value of %s differs (%d bytes, want %d)", want.Key, len(got.Value), len(want.Value))
	case !got.Timestamp.Equal(want.Timestamp):
		return fmt.Errorf("timestamp %v, want %v", got.Timestamp, want.Timestamp)
	case len(got.Headers) != len(want.Headers):
		return fmt.Errorf("%d headers, want %d", len(got.Headers), len(want.Headers))
	}
	for i, h := range want.Headers {
		if g := got.Headers[i]; g.Key != h.Key || !bytes.Equal(g.Value, h.Value) {
			return fmt.Errorf("header %d is %s=%x, want %s=%x", i, g.Key, g.Value, h.Key, h.Value)
		}
	}
	return nil
}
