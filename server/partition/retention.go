package partition

import (
	"encoding/binary"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/server/cluster"
)

// idempotent producers are forgotten after this long without an append (producer.id.expiration.ms).
const producerExpiry = 24 * time.Hour

// logConfig is the part of a topic's configuration that its log needs.
func logConfig(c cluster.TopicConfig) log.Config {
	return log.Config{
		SegmentBytes:       c.SegmentBytes,
		SegmentAge:         milliseconds(c.SegmentMs),
		IndexIntervalBytes: c.IndexIntervalBytes,
		FlushEveryAppend:   c.FlushEveryAppend(),
		FlushInterval:      milliseconds(c.FlushMs),
		FlushBytes:         backgroundFlushBytes,
	}
}

// backgroundFlushBytes is after how many bytes a topic that leaves flushing to the system is flushed all the same, in the
// background: it bounds what a restart has to scan.
const backgroundFlushBytes = 16 << 20

// milliseconds converts Kafka's durations; those that mean never stay the longest there is.
func milliseconds(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(max(ms, -1), most)) * time.Millisecond
}

// tick does what needs the clock: rolling, background flushes, forgetting idle producers and, on the leader, retention.
func (p *Partition) tick(now time.Time, interval time.Duration) error {
	if err := p.plog.Tick(now); err != nil {
		return err
	}
	p.machine.mu.Lock()
	p.machine.producers.expire(int64(producerExpiry / interval))
	p.machine.mu.Unlock()
	c := p.config.Load()
	if !c.CleanupDelete || (c.RetentionMs < 0 && c.RetentionBytes < 0) {
		return nil
	}
	g, _, err := p.leader(-1)
	if err != nil {
		return nil //nolint:nilerr // retention is the leader's business
	}
	age := time.Duration(-1)
	if c.RetentionMs >= 0 {
		age = milliseconds(c.RetentionMs)
	}
	to := p.plog.RetentionPoint(age, c.RetentionBytes, p.highWatermark(), now)
	if to > p.logStartOffset() {
		// Not waited for: the next tick proposes again what did not commit.
		g.Propose(batch.KindLogStart, binary.BigEndian.AppendUint64(nil, uint64(to)))
	}
	return nil
}
