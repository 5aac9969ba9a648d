package cluster

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"balsa/internal/invariant"
)

// TopicConfig is the effective configuration of a topic on one broker: the topic's own values, then the dynamic ones of the
// broker and of all brokers, then the broker's static ones, then the defaults. Comments give Kafka's names; -1 is no
// bound, and math.MaxInt64 never, where Kafka has it so.
type TopicConfig struct {
	CleanupDelete          bool    // cleanup.policy contains delete
	CleanupCompact         bool    // cleanup.policy contains compact
	CleanupAck             bool    // cleanup.policy contains ack: a queue
	RetentionMs            int64   // retention.ms; only with CleanupDelete
	RetentionBytes         int64   // retention.bytes; only with CleanupDelete
	SegmentBytes           int64   // segment.bytes
	SegmentMs              int64   // segment.ms
	SegmentJitterMs        int64   // segment.jitter.ms
	IndexIntervalBytes     int     // index.interval.bytes
	FlushMessages          int64   // flush.messages; 1: fsync before every acknowledgement
	FlushMs                int64   // flush.ms
	MaxMessageBytes        int     // max.message.bytes
	Compression            string  // compression.type
	CompressionLevel       int     // compression.gzip.level, compression.lz4.level or compression.zstd.level, if Compression has one
	LogAppendTime          bool    // message.timestamp.type is LogAppendTime
	TimestampBeforeMaxMs   int64   // message.timestamp.before.max.ms
	TimestampAfterMaxMs    int64   // message.timestamp.after.max.ms
	MinInsyncReplicas      int     // min.insync.replicas
	DeleteRetentionMs      int64   // delete.retention.ms
	MinCompactionLagMs     int64   // min.compaction.lag.ms
	MaxCompactionLagMs     int64   // max.compaction.lag.ms
	MinCleanableDirtyRatio float64 // min.cleanable.dirty.ratio
}

// FlushEveryAppend says whether a record must be fsynced before it counts as stored by a replica.
func (c *TopicConfig) FlushEveryAppend() bool { return c.FlushMessages <= 1 }

// TopicConfig returns the effective configuration of t on the resolver's broker.
func (r *Resolver) TopicConfig(img *Image, t *Topic) TopicConfig {
	get := func(name string) string { return r.topicValue(img, t, name) }
	number := func(name string) int64 { return mustNumber(name, get(name)) }
	policies := splitList(get("cleanup.policy"))
	c := TopicConfig{
		CleanupDelete:          slices.Contains(policies, "delete"),
		CleanupCompact:         slices.Contains(policies, "compact"),
		CleanupAck:             slices.Contains(policies, "ack"),
		RetentionMs:            number("retention.ms"),
		RetentionBytes:         number("retention.bytes"),
		SegmentBytes:           number("segment.bytes"),
		SegmentMs:              number("segment.ms"),
		SegmentJitterMs:        number("segment.jitter.ms"),
		IndexIntervalBytes:     int(number("index.interval.bytes")),
		FlushMessages:          number("flush.messages"),
		FlushMs:                number("flush.ms"),
		MaxMessageBytes:        int(number("max.message.bytes")),
		Compression:            get("compression.type"),
		LogAppendTime:          get("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMs:   number("message.timestamp.before.max.ms"),
		TimestampAfterMaxMs:    number("message.timestamp.after.max.ms"),
		MinInsyncReplicas:      int(number("min.insync.replicas")),
		DeleteRetentionMs:      number("delete.retention.ms"),
		MinCompactionLagMs:     number("min.compaction.lag.ms"),
		MaxCompactionLagMs:     number("max.compaction.lag.ms"),
		MinCleanableDirtyRatio: mustFloat("min.cleanable.dirty.ratio", get("min.cleanable.dirty.ratio")),
	}
	switch c.Compression {
	case "gzip", "lz4", "zstd":
		c.CompressionLevel = int(number("compression." + c.Compression + ".level"))
	}
	if v := get("internal.segment.bytes"); v != "" {
		c.SegmentBytes = mustNumber("internal.segment.bytes", v)
	}
	return c
}

// The values were validated when they were set, so one that does not parse is a broken invariant.
func mustNumber(name, value string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	invariant.Check(err == nil, "stored config %s=%q is not a number", name, value)
	return n
}

func mustFloat(name, value string) float64 {
	f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	invariant.Check(err == nil && !math.IsNaN(f), "stored config %s=%q is not a number", name, value)
	return f
}
