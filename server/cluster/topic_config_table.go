package cluster

import "github.com/twmb/franz-go/pkg/kmsg"

// DefaultFlushMessages is the default of flush.messages: every record is fsynced on a majority before it is acknowledged.
const DefaultFlushMessages = 1

const (
	typeBool   = kmsg.ConfigTypeBoolean
	typeString = kmsg.ConfigTypeString
	typeInt    = kmsg.ConfigTypeInt
	typeShort  = kmsg.ConfigTypeShort
	typeLong   = kmsg.ConfigTypeLong
	typeDouble = kmsg.ConfigTypeDouble
	typeList   = kmsg.ConfigTypeList
)

const maxLong = "9223372036854775807"

// topicConfigs is every topic config of Kafka 4, with balsa's defaults. Where a key has no effect, Doc says so.
var topicConfigs = newConfigTable([]ConfigDef{
	{
		Name: "cleanup.policy", Type: typeList, Default: "delete", Broker: "log.cleanup.policy", check: listOf("ack", "compact", "delete"),
		Doc: "What happens to old records: delete removes them by retention.ms and retention.bytes; compact keeps at least the last value of each key, and needs keys; ack makes the topic a queue, whose records go when every group that works on it has acknowledged them. Empty keeps everything.",
	},
	{
		Name: "compression.type", Type: typeString, Default: "producer", Broker: "compression.type",
		check: oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
		Doc:   "How record batches are compressed on disk and on the way to consumers; producer keeps what the producer sent, at no cost.",
	},
	{
		Name: "compression.gzip.level", Type: typeInt, Default: "-1", Broker: "compression.gzip.level", check: betweenOr(1, 9, -1),
		Doc: "The compression level when compression.type is gzip.",
	},
	{
		Name: "compression.lz4.level", Type: typeInt, Default: "9", Broker: "compression.lz4.level", check: between(1, 17),
		Doc: "The compression level when compression.type is lz4.",
	},
	{
		Name: "compression.zstd.level", Type: typeInt, Default: "3", Broker: "compression.zstd.level", check: between(-131072, 22),
		Doc: "The compression level when compression.type is zstd.",
	},
	{
		Name: "delete.retention.ms", Type: typeLong, Default: "86400000", Broker: "log.cleaner.delete.retention.ms", check: atLeast(0),
		Doc: "How long, in ms, compaction keeps tombstones.",
	},
	{
		Name: "file.delete.delay.ms", Type: typeLong, Default: "60000", Broker: "log.segment.delete.delay.ms", check: atLeast(0),
		Doc: "Kept for tools. A deleted segment's space is free as soon as the last reader has let go of it.",
	},
	{
		Name: "flush.messages", Type: typeLong, Default: "1", Broker: "log.flush.interval.messages", check: atLeast(1),
		Doc: "1, the default here, acknowledges a record only after a majority of its replicas have fsynced it. Any larger value, such as Kafka's default of 9223372036854775807, acknowledges it when a majority have it in memory, and leaves writing it to disk to flush.ms and the operating system.",
	},
	{
		Name: "flush.ms", Type: typeLong, Default: "1000", Broker: "log.flush.interval.ms", check: atLeast(0),
		Doc: "With flush.messages above 1: how long, in ms, a record may wait for its fsync in the background.",
	},
	{
		Name: "follower.replication.throttled.replicas", Type: typeList, Default: "", check: throttledReplicas("follower.replication.throttled.replicas"),
		Doc: "Kept for tools; leader.replication.throttled.rate is for all replicas that are being added.",
	},
	{
		Name: "index.interval.bytes", Type: typeInt, Default: "4096", Broker: "log.index.interval.bytes", check: atLeast(0),
		Doc: "How many bytes of records lie between two entries of a segment's index.",
	},
	{
		Name: "leader.replication.throttled.replicas", Type: typeList, Default: "", check: throttledReplicas("leader.replication.throttled.replicas"),
		Doc: "Kept for tools; leader.replication.throttled.rate is for all replicas that are being added.",
	},
	{
		Name: "local.retention.bytes", Type: typeLong, Default: "-2", Broker: "log.local.retention.bytes", check: atLeast(-2),
		Doc: "Kept for tools; without tiered storage all records are local.",
	},
	{
		Name: "local.retention.ms", Type: typeLong, Default: "-2", Broker: "log.local.retention.ms", check: atLeast(-2),
		Doc: "Kept for tools; without tiered storage all records are local.",
	},
	{
		Name: "max.compaction.lag.ms", Type: typeLong, Default: maxLong, Broker: "log.cleaner.max.compaction.lag.ms", check: atLeast(1),
		Doc: "The longest time, in ms, that a record stays out of compaction.",
	},
	{
		Name: "max.message.bytes", Type: typeInt, Default: "1048588", Broker: "message.max.bytes", check: atLeast(0),
		Doc: "The largest record batch that is accepted, in bytes, after compression.",
	},
	{
		Name: "message.timestamp.after.max.ms", Type: typeLong, Default: "3600000", Broker: "log.message.timestamp.after.max.ms", check: atLeast(0),
		Doc: "How far, in ms, a record's timestamp may be ahead of the broker's clock. Not checked with LogAppendTime.",
	},
	{
		Name: "message.timestamp.before.max.ms", Type: typeLong, Default: maxLong, Broker: "log.message.timestamp.before.max.ms", check: atLeast(0),
		Doc: "How far, in ms, a record's timestamp may be behind the broker's clock. Not checked with LogAppendTime.",
	},
	{
		Name: "message.timestamp.type", Type: typeString, Default: "CreateTime", Broker: "log.message.timestamp.type", check: oneOf("CreateTime", "LogAppendTime"),
		Doc: "Whether records keep the time that the producer gave them or get the broker's.",
	},
	{
		Name: "min.cleanable.dirty.ratio", Type: typeDouble, Default: "0.5", Broker: "log.cleaner.min.cleanable.ratio", check: betweenFloats(0, 1),
		Doc: "How much of a log must be uncompacted before compaction runs.",
	},
	{
		Name: "min.compaction.lag.ms", Type: typeLong, Default: "0", Broker: "log.cleaner.min.compaction.lag.ms", check: atLeast(0),
		Doc: "The shortest time, in ms, that a record stays out of compaction.",
	},
	{
		Name: "min.insync.replicas", Type: typeInt, Default: "1", Broker: "min.insync.replicas", check: atLeast(1),
		Doc: "Kept for tools. A record is acknowledged when a majority of the replicas have it, whatever acks and this value say.",
	},
	{
		Name: "preallocate", Type: typeBool, Default: "false", Broker: "log.preallocate",
		Doc: "Kept for tools; how segment files get their space is the broker's choice.",
	},
	{
		Name: "remote.log.copy.disable", Type: typeBool, Default: "false",
		Doc: "Kept for tools; there is no tiered storage.",
	},
	{
		Name: "remote.log.delete.on.disable", Type: typeBool, Default: "false",
		Doc: "Kept for tools; there is no tiered storage.",
	},
	{
		Name: "remote.storage.enable", Type: typeBool, Default: "false",
		Doc: "Tiered storage, which this broker does not have: only false is allowed.",
	},
	{
		Name: "retention.bytes", Type: typeLong, Default: "-1", Broker: "log.retention.bytes",
		Doc: "With the cleanup policy delete: how many bytes a partition keeps, in whole segments; a negative number sets no bound.",
	},
	{
		Name: "retention.ms", Type: typeLong, Default: "604800000", Broker: "log.retention.ms", check: atLeast(-1),
		Doc: "With the cleanup policy delete: how long records are kept, in ms, in whole segments (of a queue, with ack,delete: each by itself); -1 sets no bound.",
	},
	{
		Name: "segment.bytes", Type: typeInt, Default: "1073741824", Broker: "log.segment.bytes", check: atLeast(1 << 20),
		Doc: "The size at which a segment file is closed and the next one begun.",
	},
	{
		Name: "internal.segment.bytes", Type: typeInt, Default: "", Hidden: true, check: atLeast(1),
		Doc: "Overrides segment.bytes without its lower bound. For tests.",
	},
	{
		Name: "segment.index.bytes", Type: typeInt, Default: "10485760", Broker: "log.index.size.max.bytes", check: atLeast(4),
		Doc: "Kept for tools; an index grows with its segment.",
	},
	{
		Name: "segment.jitter.ms", Type: typeLong, Default: "0", Broker: "log.roll.jitter.ms", check: atLeast(0),
		Doc: "The most that segment.ms is shortened by at random, so that not all segments are closed at once.",
	},
	{
		Name: "segment.ms", Type: typeLong, Default: "604800000", Broker: "log.roll.ms", check: atLeast(1),
		Doc: "The age, in ms, at which a segment file is closed even if it is not full.",
	},
	{
		Name: "unclean.leader.election.enable", Type: typeBool, Default: "false", Broker: "unclean.leader.election.enable",
		Doc: "Has no effect: Raft never elects a replica that lacks an acknowledged record.",
	},
})
