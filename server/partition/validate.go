package partition

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/invariant"
	"balsa/log/batch"
	"balsa/server/cluster"
)

// validate checks a produced batch against the format and the topic's configuration, stamps what the broker decides about
// its timestamps, and compresses it again if the topic says how. It returns the batch to store: b itself, or a copy. Errors
// of package batch are passed on: they have codes of their own.
func (p *Partition) validate(b batch.Batch) (batch.Batch, batch.Header, error) {
	c := p.config.Load()
	s, err := batch.Validate(b, batch.Limits{MaxBytes: c.MaxMessageBytes})
	if err != nil {
		return nil, batch.Header{}, err
	}
	if c.CleanupCompact && s.WithoutKey > 0 {
		return nil, batch.Header{}, fmt.Errorf("%w: compacted topic cannot accept message without key in topic partition %s-%d",
			kerr.InvalidRecord, p.Topic, p.ID.Partition)
	}
	now := p.now().UnixMilli()
	if err := checkTimestamps(c, s, now); err != nil {
		return nil, batch.Header{}, err
	}
	if b, err = p.compress(b, c); err != nil {
		return nil, batch.Header{}, err
	}
	switch {
	case c.LogAppendTime:
		b.SetMaxTimestamp(now, true)
	case s.Header.MaxTimestamp != s.MaxTimestamp:
		// The time index relies on it, so a producer's claim is corrected, as Kafka does.
		b.SetMaxTimestamp(s.MaxTimestamp, false)
	}
	return b, b.Header(), nil
}

func checkTimestamps(c *cluster.TopicConfig, s batch.Summary, now int64) error {
	switch {
	case c.LogAppendTime:
	case s.MinTimestamp != batch.NoTimestamp && s.MinTimestamp < now-c.TimestampBeforeMaxMs && c.TimestampBeforeMaxMs < now:
		return fmt.Errorf("%w: timestamp %d is older than message.timestamp.before.max.ms allows",
			kerr.InvalidTimestamp, s.MinTimestamp)
	case s.MaxTimestamp != batch.NoTimestamp && s.MaxTimestamp-now > c.TimestampAfterMaxMs:
		return fmt.Errorf("%w: timestamp %d is further ahead than message.timestamp.after.max.ms allows",
			kerr.InvalidTimestamp, s.MaxTimestamp)
	}
	return nil
}

// compress brings b to the codec of compression.type. No lock is held: it slows down the producer's connection only.
func (p *Partition) compress(b batch.Batch, c *cluster.TopicConfig) (batch.Batch, error) {
	r := p.recompress.Load()
	if r == nil {
		return b, nil
	}
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	return r.Recompress(b, c.MaxMessageBytes, 0)
}

// recompressor is what compression.type asks for; nil for producer.
func recompressor(c cluster.TopicConfig) *batch.Recompressor {
	switch c.Compression {
	case "producer", "":
		return nil
	case "uncompressed":
		return batch.NewRecompressor(batch.CodecNone, 0)
	}
	codec, err := batch.ParseCodec(c.Compression)
	invariant.Check(err == nil, "stored config compression.type=%s is not known", c.Compression)
	return batch.NewRecompressor(codec, c.CompressionLevel)
}
