// Package config is the broker's configuration: parsed by cmd, validated here, passed down as plain values.
package config

import (
	"strings"
	"time"
)

// Config is the broker configuration. The koanf name of a field is its name as a flag (--data-dir), in the YAML file
// (data-dir: ...) and, in capitals with underscores, in the environment (BALSA_DATA_DIR). Names in comments are the Kafka
// broker configs that the fields correspond to; DescribeConfigs shows them under those names.
type Config struct {
	NodeID     int32  `koanf:"node-id" yaml:"node-id"`         // node.id
	DataDir    string `koanf:"data-dir" yaml:"data-dir"`       // log.dirs
	Listen     string `koanf:"listen" yaml:"listen"`           // listeners: host:port for Kafka clients
	Advertise  string `koanf:"advertise" yaml:"advertise"`     // advertised.listeners; empty: Listen
	PeerListen string `koanf:"peer-listen" yaml:"peer-listen"` // host:port for other brokers; unused with no Peers
	Peers      []Peer `koanf:"peers" yaml:"peers"`             // all initial brokers, this one included; empty for a single node
	// Join is host:port,... of peer listeners of a cluster: a node that has no data joins it, instead of forming one with Peers. Like
	// controller.quorum.bootstrap.servers it may stay set; a node that has data finds the others by it.
	Join string `koanf:"join" yaml:"join"`
	Rack string `koanf:"rack" yaml:"rack"` // broker.rack
	// ReplicaSelector is replica.selector.class (KIP-392): RackAwareReplicaSelector lets consumers that say client.rack read from
	// a replica in their rack, LeaderReplicaSelector and empty from the leader only. Set it alike on all brokers.
	ReplicaSelector string `koanf:"replica-selector-class" yaml:"replica-selector-class"`

	AutoCreate    bool  `koanf:"auto-create-topics" yaml:"auto-create-topics"`                 // auto.create.topics.enable
	DeleteTopics  bool  `koanf:"delete-topics" yaml:"delete-topics"`                           // delete.topic.enable
	NumPartitions int32 `koanf:"num-partitions" yaml:"num-partitions"`                         // num.partitions
	Replication   int16 `koanf:"default-replication-factor" yaml:"default-replication-factor"` // default.replication.factor; 0: min(3, brokers)

	LogLevel      string        `koanf:"log-level" yaml:"log-level"`           // debug, info, warn, error
	LogFormat     string        `koanf:"log-format" yaml:"log-format"`         // text, json
	ShutdownGrace time.Duration `koanf:"shutdown-grace" yaml:"shutdown-grace"` // how long a stop may take to hand over leadership

	Limits `koanf:",squash" yaml:",inline"`
	Log    `koanf:",squash" yaml:",inline"`
	Groups `koanf:",squash" yaml:",inline"`

	Cleaner `koanf:",squash" yaml:",inline"`

	Transactions `koanf:",squash" yaml:",inline"`
}

// Limits bounds what clients may cost. Each limit is inclusive.
type Limits struct {
	MaxRequestBytes       int32         `koanf:"max-request-bytes" yaml:"max-request-bytes"`               // socket.request.max.bytes
	MaxConnections        int           `koanf:"max-connections" yaml:"max-connections"`                   // max.connections
	MaxConnectionsPerIP   int           `koanf:"max-connections-per-ip" yaml:"max-connections-per-ip"`     // max.connections.per.ip
	ConnectionsMaxIdle    time.Duration `koanf:"connections-max-idle" yaml:"connections-max-idle"`         // connections.max.idle.ms
	MaxInFlight           int           `koanf:"max-in-flight" yaml:"max-in-flight"`                       // unanswered requests of one connection
	QueuedMaxBytes        int64         `koanf:"queued-max-bytes" yaml:"queued-max-bytes"`                 // queued.max.request.bytes: request bytes in memory, all connections together
	FetchMaxBytes         int32         `koanf:"fetch-max-bytes" yaml:"fetch-max-bytes"`                   // fetch.max.bytes
	FetchSessionCacheSize int           `koanf:"fetch-session-cache-size" yaml:"fetch-session-cache-size"` // max.incremental.fetch.session.cache.slots
	MaxShareSessions      int           `koanf:"max-share-sessions" yaml:"max-share-sessions"`             // group.share.max.share.sessions
}

// Log holds the broker's defaults for topics that do not set their own; the topic config is in brackets. They can be
// overridden for all brokers or one with IncrementalAlterConfigs.
type Log struct {
	SegmentBytes   int32 `koanf:"log-segment-bytes" yaml:"log-segment-bytes"`     // log.segment.bytes [segment.bytes]
	SegmentMs      int64 `koanf:"log-roll-ms" yaml:"log-roll-ms"`                 // log.roll.ms [segment.ms]
	RetentionMs    int64 `koanf:"log-retention-ms" yaml:"log-retention-ms"`       // log.retention.ms [retention.ms]; -1: forever
	RetentionBytes int64 `koanf:"log-retention-bytes" yaml:"log-retention-bytes"` // log.retention.bytes [retention.bytes] per partition; -1: no bound
	// FlushMessages is log.flush.interval.messages [flush.messages]. 1, unlike Kafka's default, fsyncs on a majority before
	// a record is acknowledged; Kafka's default, 9223372036854775807, leaves it to the operating system.
	FlushMessages     int64         `koanf:"log-flush-interval-messages" yaml:"log-flush-interval-messages"`
	FlushMs           int64         `koanf:"log-flush-interval-ms" yaml:"log-flush-interval-ms"`   // log.flush.interval.ms [flush.ms]
	MaxMessageBytes   int32         `koanf:"message-max-bytes" yaml:"message-max-bytes"`           // message.max.bytes [max.message.bytes]
	MinInsyncReplicas int32         `koanf:"min-insync-replicas" yaml:"min-insync-replicas"`       // min.insync.replicas
	RetentionCheck    time.Duration `koanf:"log-retention-check" yaml:"log-retention-check"`       // log.retention.check.interval.ms
	ProducerIDExpiry  time.Duration `koanf:"producer-id-expiration" yaml:"producer-id-expiration"` // producer.id.expiration.ms
}

// Cleaner configures log compaction.
type Cleaner struct {
	CleanerThreads        int           `koanf:"log-cleaner-threads" yaml:"log-cleaner-threads"`                                 // log.cleaner.threads
	CleanerBuffer         int64         `koanf:"log-cleaner-dedupe-buffer" yaml:"log-cleaner-dedupe-buffer"`                     // log.cleaner.dedupe.buffer.size: bytes, of all threads together
	CleanerBackoff        time.Duration `koanf:"log-cleaner-backoff" yaml:"log-cleaner-backoff"`                                 // log.cleaner.backoff.ms
	CleanerBytesPerSecond float64       `koanf:"log-cleaner-io-max-bytes-per-second" yaml:"log-cleaner-io-max-bytes-per-second"` // log.cleaner.io.max.bytes.per.second; 0: no bound
}

// Groups configures consumer groups.
type Groups struct {
	InitialRebalanceDelay time.Duration `koanf:"group-initial-rebalance-delay" yaml:"group-initial-rebalance-delay"`         // group.initial.rebalance.delay.ms
	MinSessionTimeout     time.Duration `koanf:"group-min-session-timeout" yaml:"group-min-session-timeout"`                 // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration `koanf:"group-max-session-timeout" yaml:"group-max-session-timeout"`                 // group.max.session.timeout.ms
	MaxGroupSize          int           `koanf:"group-max-size" yaml:"group-max-size"`                                       // group.max.size
	ConsumerSession       time.Duration `koanf:"group-consumer-session-timeout" yaml:"group-consumer-session-timeout"`       // group.consumer.session.timeout.ms
	ConsumerHeartbeat     time.Duration `koanf:"group-consumer-heartbeat-interval" yaml:"group-consumer-heartbeat-interval"` // group.consumer.heartbeat.interval.ms
	ConsumerMaxSize       int           `koanf:"group-consumer-max-size" yaml:"group-consumer-max-size"`                     // group.consumer.max.size
	ConsumerMigration     string        `koanf:"group-consumer-migration-policy" yaml:"group-consumer-migration-policy"`     // group.consumer.migration.policy
	ShareMaxSize          int           `koanf:"group-share-max-size" yaml:"group-share-max-size"`                           // group.share.max.size
	OffsetsRetention      time.Duration `koanf:"offsets-retention" yaml:"offsets-retention"`                                 // offsets.retention.minutes
	OffsetMetadataMax     int           `koanf:"offset-metadata-max-bytes" yaml:"offset-metadata-max-bytes"`                 // offset.metadata.max.bytes
}

// Transactions configures transaction coordinators.
type Transactions struct {
	MaxTransactionTimeout time.Duration `koanf:"transaction-max-timeout" yaml:"transaction-max-timeout"`         // transaction.max.timeout.ms
	TransactionalIDExpiry time.Duration `koanf:"transactional-id-expiration" yaml:"transactional-id-expiration"` // transactional.id.expiration.ms
}

// Default returns the configuration of a broker that was started without any: a single node on localhost.
func Default() Config {
	return Config{
		NodeID: 1, DataDir: "data", Listen: "localhost:9092", PeerListen: "localhost:9192",
		AutoCreate: true, DeleteTopics: true, NumPartitions: 1,
		LogLevel: "info", LogFormat: "text", ShutdownGrace: 10 * time.Second,
		Limits: Limits{
			MaxRequestBytes: 100 << 20, MaxConnections: 10_000, MaxConnectionsPerIP: 10_000,
			ConnectionsMaxIdle: 10 * time.Minute, MaxInFlight: 100, QueuedMaxBytes: 512 << 20,
			FetchMaxBytes: 55 << 20, FetchSessionCacheSize: 1000, MaxShareSessions: 2000,
		},
		Log: Log{
			SegmentBytes: 1 << 30, SegmentMs: (7 * 24 * time.Hour).Milliseconds(),
			RetentionMs: (7 * 24 * time.Hour).Milliseconds(), RetentionBytes: -1,
			FlushMessages: 1, FlushMs: 1000, MaxMessageBytes: 1<<20 + 12, MinInsyncReplicas: 1,
			RetentionCheck: 5 * time.Minute, ProducerIDExpiry: 24 * time.Hour,
		},
		Cleaner: Cleaner{CleanerThreads: 1, CleanerBuffer: 128 << 20, CleanerBackoff: 15 * time.Second},
		Groups: Groups{
			InitialRebalanceDelay: 100 * time.Millisecond, MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute,
			ConsumerSession: 45 * time.Second, ConsumerHeartbeat: 5 * time.Second, ConsumerMaxSize: 10_000,
			ConsumerMigration: "bidirectional", ShareMaxSize: 200,
			MaxGroupSize: 10_000, OffsetsRetention: 7 * 24 * time.Hour, OffsetMetadataMax: 4096,
		},
		Transactions: Transactions{MaxTransactionTimeout: 15 * time.Minute, TransactionalIDExpiry: 7 * 24 * time.Hour},
	}
}

// The values of ReplicaSelector, by Kafka's names.
const (
	LeaderReplicaSelector    = "org.apache.kafka.common.replica.LeaderSelector"
	RackAwareReplicaSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
)

// Advertised returns what clients are told to connect to: Advertise, or Listen when that is empty.
func (c *Config) Advertised() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	return c.Listen
}

// Brokers returns the ids of the initial brokers in ascending order: those of Peers, or this node alone.
func (c *Config) Brokers() []int32 {
	if len(c.Peers) == 0 {
		return []int32{c.NodeID}
	}
	return sortedPeerIDs(c.Peers)
}

// JoinAddresses returns the addresses of Join.
func (c *Config) JoinAddresses() []string {
	var addresses []string
	for a := range strings.SplitSeq(c.Join, ",") {
		if a = strings.TrimSpace(a); a != "" {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// HasPeers says whether other brokers may connect to this one: it is one of several, joins others, or says where to reach it.
func (c *Config) HasPeers() bool {
	return len(c.Peers) > 1 || c.Join != "" || c.PeerListen != Default().PeerListen
}

// PeerAddress returns where other brokers reach this one: its entry in Peers, or PeerListen for a single node.
func (c *Config) PeerAddress() string {
	for _, p := range c.Peers {
		if p.ID == c.NodeID {
			return p.Address
		}
	}
	return c.PeerListen
}
