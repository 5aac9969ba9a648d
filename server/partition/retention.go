package partition

import (
	"encoding/binary"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/server/cluster"
)

// logConfig is the part of a topic's configuration that its log needs. A queue's segments have at most queueSegment bytes.
func logConfig(c cluster.TopicConfig, queueSegment int64) log.Config {
	age := milliseconds(c.SegmentMs)
	if c.CleanupCompact {
		age = min(age, milliseconds(c.MaxCompactionLagMs)) // what is in the active segment is not compacted
	}
	bytes := c.SegmentBytes
	if c.CleanupAck {
		bytes = min(bytes, queueSegment)
	}
	return log.Config{
		SegmentBytes:       bytes,
		SegmentAge:         age,
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

// tick does what needs the clock: rolling, background flushes, and forgetting producers that were idle for expiryTicks.
func (p *Partition) tick(now time.Time, expiryTicks int64) error {
	p.forgetFailed()
	p.tickShares()
	if err := p.plog.Tick(now); err != nil {
		return err
	}
	if err := p.giveBack(); err != nil {
		return err
	}
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	p.machine.producers.expire(expiryTicks)
	return nil
}

// retain proposes, on the leader, the log start offset that retention.ms and retention.bytes ask for. It does not wait for
// it: what does not commit is proposed again at the next check.
func (p *Partition) retain(now time.Time) {
	c := p.config.Load()
	if !c.CleanupDelete || c.CleanupAck { // see ExpireQueue
		return
	}
	g, _, err := p.leader(-1)
	if err != nil {
		return // the leader's business
	}
	age := time.Duration(-1)
	if c.RetentionMs >= 0 {
		age = milliseconds(c.RetentionMs)
	}
	to := p.plog.RetentionPoint(age, c.RetentionBytes, p.highWatermark(), now)
	if to > p.logStartOffset() {
		g.Propose(batch.KindLogStart, binary.BigEndian.AppendUint64(nil, uint64(to)))
	}
}
