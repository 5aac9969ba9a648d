package partition

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log/batch"
)

// validate checks a produced batch against the format and the topic's configuration, and stamps what the broker decides
// about its timestamps. Errors of package batch are passed on: they have codes of their own.
func (p *Partition) validate(b batch.Batch) (batch.Header, error) {
	c := p.config.Load()
	s, err := batch.Validate(b, batch.Limits{MaxBytes: c.MaxMessageBytes})
	if err != nil {
		return batch.Header{}, err
	}
	if c.CleanupCompact && s.WithoutKey > 0 {
		return batch.Header{}, fmt.Errorf("%w: compacted topic cannot accept message without key in topic partition %s-%d",
			kerr.InvalidRecord, p.Topic, p.ID.Partition)
	}
	now := p.now().UnixMilli()
	switch {
	case c.LogAppendTime:
		b.SetMaxTimestamp(now, true)
		return b.Header(), nil
	case s.MinTimestamp != batch.NoTimestamp && s.MinTimestamp < now-c.TimestampBeforeMaxMs && c.TimestampBeforeMaxMs < now:
		return batch.Header{}, fmt.Errorf("%w: timestamp %d is older than message.timestamp.before.max.ms allows",
			kerr.InvalidTimestamp, s.MinTimestamp)
	case s.MaxTimestamp != batch.NoTimestamp && s.MaxTimestamp-now > c.TimestampAfterMaxMs:
		return batch.Header{}, fmt.Errorf("%w: timestamp %d is further ahead than message.timestamp.after.max.ms allows",
			kerr.InvalidTimestamp, s.MaxTimestamp)
	}
	if s.Header.MaxTimestamp != s.MaxTimestamp {
		// The time index relies on it, so a producer's claim is corrected, as Kafka does.
		b.SetMaxTimestamp(s.MaxTimestamp, false)
		return b.Header(), nil
	}
	return s.Header, nil
}
