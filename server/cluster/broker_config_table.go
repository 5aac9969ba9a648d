package cluster

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/config"
)

// brokerConfigs is what DescribeConfigs shows of a broker: its static configuration under Kafka's names, the defaults of topic and
// group configs, and what else can be changed while it runs.
var brokerConfigs = newConfigTable(slices.Concat(staticBrokerDefs(), defaultDefs(topicConfigs, "topic"), defaultDefs(groupConfigs, "group"),
	dynamicBrokerDefs(), fixedBrokerDefs(), []ConfigDef{cordonDef()}))

// staticConfig is a broker config whose value comes from config.Config.
type staticConfig struct {
	name  string
	kind  kmsg.ConfigType
	value func(*config.Config) string
	doc   string
}

// staticConfigs returns what can be changed only by a restart, except for dynamicStatics. Keys that are defaults of topic or group configs are in staticDefaults.
func staticConfigs() []staticConfig {
	return []staticConfig{
		{"advertised.listeners", typeString, func(c *config.Config) string { return "PLAINTEXT://" + c.Advertised() }, "Where clients connect."},
		{"auto.create.topics.enable", typeBool, func(c *config.Config) string { return strconv.FormatBool(c.AutoCreate) }, "Whether a topic that a client asks for is created when it does not exist."},
		{"broker.id", typeInt, func(c *config.Config) string { return number(c.NodeID) }, "The same as node.id."},
		{"broker.rack", typeString, func(c *config.Config) string { return c.Rack }, "Where the broker stands; replicas of a partition are spread over racks."},
		{"connections.max.idle.ms", typeLong, func(c *config.Config) string { return millis(c.ConnectionsMaxIdle) }, "After how long without a request, in ms, a connection is closed."},
		{"controller.quorum.voters", typeList, func(c *config.Config) string { return peerList(c.Peers) }, "The initial brokers, id@host:port of their peer listeners."},
		{"default.replication.factor", typeInt, func(c *config.Config) string { return number(DefaultReplication(c)) }, "How many replicas a partition gets when a topic's creator leaves it open."},
		{"delete.topic.enable", typeBool, func(c *config.Config) string { return strconv.FormatBool(c.DeleteTopics) }, "Whether topics can be deleted."},
		{"fetch.max.bytes", typeInt, func(c *config.Config) string { return number(c.FetchMaxBytes) }, "The most that one fetch answers, in bytes."},
		{"group.initial.rebalance.delay.ms", typeInt, func(c *config.Config) string { return millis(c.InitialRebalanceDelay) }, "How long, in ms, a new consumer group waits for more members before its first assignment."},
		{"group.max.session.timeout.ms", typeInt, func(c *config.Config) string { return millis(c.MaxSessionTimeout) }, "The longest session timeout, in ms, that a member of a consumer group may ask for."},
		{"group.consumer.assignors", typeList, func(*config.Config) string { return "uniform,range" }, "The assignors for groups of the consumer protocol, the default first."},
		{"group.consumer.max.size", typeInt, func(c *config.Config) string { return number(c.ConsumerMaxSize) }, "How many members a group of the consumer protocol may have."},
		{"group.consumer.migration.policy", typeString, func(c *config.Config) string { return c.ConsumerMigration }, "Whether groups with members may change between the classic and the consumer protocol."},
		{"group.max.size", typeInt, func(c *config.Config) string { return number(c.MaxGroupSize) }, "How many members a consumer group may have."},
		{"group.min.session.timeout.ms", typeInt, func(c *config.Config) string { return millis(c.MinSessionTimeout) }, "The shortest session timeout, in ms, that a member of a consumer group may ask for."},
		{"group.share.assignors", typeList, func(*config.Config) string { return "simple" }, "The assignor for share groups."},
		{"group.share.max.share.sessions", typeInt, func(c *config.Config) string { return number(c.MaxShareSessions) }, "How many members of share groups may have a session with the broker."},
		{"group.share.max.size", typeInt, func(c *config.Config) string { return number(c.ShareMaxSize) }, "How many members a share group may have."},
		{"listeners", typeString, func(c *config.Config) string { return "PLAINTEXT://" + c.Listen }, "Where the broker listens for clients."},
		{configCleanerBackoff, typeLong, func(c *config.Config) string { return millis(c.CleanerBackoff) }, "How long, in ms, compaction rests when there is nothing to compact; at least 10."},
		{configCleanerBuffer, typeLong, func(c *config.Config) string { return number(c.CleanerBuffer) }, "The memory, in bytes, of all compactions together; at least 1 MiB for each."},
		{configCleanerRate, typeDouble, func(c *config.Config) string { return bytesPerSecond(c.CleanerBytesPerSecond) }, "How much compaction reads and writes per second, in bytes; 0 or less is no bound."},
		{configCleanerThreads, typeInt, func(c *config.Config) string { return number(int64(c.CleanerThreads)) }, "How many logs are compacted at once."},
		{"log.dirs", typeString, func(c *config.Config) string { return c.DataDir }, "Where the broker keeps its data."},
		{"log.retention.check.interval.ms", typeLong, func(c *config.Config) string { return millis(c.RetentionCheck) }, "How often, in ms, segments are looked at for deletion."},
		{"max.connections", typeInt, func(c *config.Config) string { return number(c.MaxConnections) }, "How many clients may be connected."},
		{"max.connections.per.ip", typeInt, func(c *config.Config) string { return number(c.MaxConnectionsPerIP) }, "How many clients may be connected from one address."},
		{"max.incremental.fetch.session.cache.slots", typeInt, func(c *config.Config) string { return number(c.FetchSessionCacheSize) }, "How many incremental fetch sessions are remembered."},
		{"node.id", typeInt, func(c *config.Config) string { return number(c.NodeID) }, "The broker's number in the cluster."},
		{"num.partitions", typeInt, func(c *config.Config) string { return number(c.NumPartitions) }, "How many partitions a topic gets when its creator leaves it open."},
		{"offset.metadata.max.bytes", typeInt, func(c *config.Config) string { return number(c.OffsetMetadataMax) }, "The longest text that may be committed with an offset."},
		{"offsets.retention.minutes", typeInt, func(c *config.Config) string { return number(int64(c.OffsetsRetention / time.Minute)) }, "How long offsets of an empty group are kept, in minutes."},
		{"process.roles", typeList, func(*config.Config) string { return "broker,controller" }, "Every node has both roles."},
		{configProducerIDExpiry, typeInt, func(c *config.Config) string { return millis(c.ProducerIDExpiry) }, "After how long without a write, in ms, a partition forgets an idempotent producer."},
		{"queued.max.request.bytes", typeLong, func(c *config.Config) string { return number(c.QueuedMaxBytes) }, "How many bytes of requests may be in memory, all connections together."},
		{"replica.selector.class", typeString, func(c *config.Config) string { return c.ReplicaSelector }, "Which replica consumers read from: with org.apache.kafka.common.replica.RackAwareReplicaSelector one in their rack, else the leader."},
		{"socket.request.max.bytes", typeInt, func(c *config.Config) string { return number(c.MaxRequestBytes) }, "The largest request, in bytes."},
		{"transaction.max.timeout.ms", typeInt, func(c *config.Config) string { return millis(c.MaxTransactionTimeout) }, "The longest timeout, in ms, that a producer may ask for its transactions."},
		{"transactional.id.expiration.ms", typeInt, func(c *config.Config) string { return millis(c.TransactionalIDExpiry) }, "After how long without use, in ms, a transactional id is forgotten."},
	}
}

// staticDefaults returns the static values of broker configs that are defaults of topic and group configs.
func staticDefaults(c *config.Config) map[string]string {
	return map[string]string{
		"group.consumer.heartbeat.interval.ms": millis(c.ConsumerHeartbeat),
		"group.consumer.session.timeout.ms":    millis(c.ConsumerSession),
		"log.segment.bytes":                    number(c.SegmentBytes),
		"log.roll.ms":                          number(c.SegmentMs),
		"log.retention.ms":                     number(c.RetentionMs),
		"log.retention.bytes":                  number(c.RetentionBytes),
		"log.flush.interval.messages":          number(c.FlushMessages),
		"log.flush.interval.ms":                number(c.FlushMs),
		"message.max.bytes":                    number(c.MaxMessageBytes),
		"min.insync.replicas":                  number(c.MinInsyncReplicas),
	}
}

// DefaultReplication returns the replication factor of topics that do not ask for one.
func DefaultReplication(c *config.Config) int16 {
	if c.Replication > 0 {
		return c.Replication
	}
	if c.Join != "" && len(c.Peers) == 0 {
		return 3 // how many brokers there are is not in the configuration of one that joined them
	}
	return int16(min(3, len(c.Brokers())))
}

func staticBrokerDefs() []ConfigDef {
	defaults := config.Default()
	var defs []ConfigDef
	for _, s := range staticConfigs() {
		check, dynamic := dynamicStatics()[s.name]
		defs = append(defs, ConfigDef{Name: s.name, Type: s.kind, Default: s.value(&defaults), Doc: s.doc, Dynamic: dynamic, check: check})
	}
	return defs
}

// defaultDefs derives the broker configs that are the defaults of the configs of topics or groups. In Kafka those of groups need a
// restart.
func defaultDefs(table *configTable, what string) []ConfigDef {
	var defs []ConfigDef
	for _, d := range table.sorted {
		if d.Broker == "" {
			continue
		}
		b := *d
		b.Name, b.Broker, b.Dynamic, b.Unset = d.Broker, "", true, unsetByDefault(d.Broker)
		b.Doc = fmt.Sprintf("The default of the %s config %s. %s", what, d.Name, d.Doc)
		defs = append(defs, b)
	}
	return defs
}

// unsetByDefault names the config that is in effect while a broker config is not set, for those that Kafka has in several units:
// by default the one of the longest is set. Empty: the config has a default of its own.
func unsetByDefault(name string) string {
	switch name {
	case "log.retention.ms":
		return "log.retention.hours"
	case "log.roll.ms":
		return "log.roll.hours"
	case "log.roll.jitter.ms":
		return "log.roll.jitter.hours"
	}
	return ""
}

func number[T int | int16 | int32 | int64](n T) string { return strconv.FormatInt(int64(n), 10) }

// bytesPerSecond shows no bound as Kafka does.
func bytesPerSecond(rate float64) string {
	if rate == 0 {
		rate = math.MaxFloat64
	}
	return strings.Replace(strconv.FormatFloat(rate, 'G', -1, 64), "E+", "E", 1)
}

func millis(d time.Duration) string { return number(d.Milliseconds()) }

func peerList(peers []config.Peer) string {
	items := make([]string, len(peers))
	for i, p := range peers {
		items[i] = p.String()
	}
	return strings.Join(items, ",")
}
