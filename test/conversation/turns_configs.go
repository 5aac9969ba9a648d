package conversation

import "github.com/twmb/franz-go/pkg/kmsg"

const (
	onTopic  = kmsg.ConfigResourceTypeTopic
	onBroker = kmsg.ConfigResourceTypeBroker
	onGroup  = kmsg.ConfigResourceTypeGroupConfig
	// Resource types that kmsg has no better names for: a broker's loggers, and the subscriptions of KIP-714.
	onLoggers = kmsg.ConfigResourceTypeBrokerLogger
	onMetrics = kmsg.ConfigResourceType(16)

	opSet      = kmsg.IncrementalAlterConfigOpSet
	opDelete   = kmsg.IncrementalAlterConfigOpDelete
	opAppend   = kmsg.IncrementalAlterConfigOpAppend
	opSubtract = kmsg.IncrementalAlterConfigOpSubtract
)

func describeConfigs(name string, version int16, kind kmsg.ConfigResourceType, resource string, keys ...string) Turn {
	return turn(name, version, kmsg.NewPtrDescribeConfigsRequest(), func(r *kmsg.DescribeConfigsRequest) {
		c := kmsg.NewDescribeConfigsRequestResource()
		c.ResourceType, c.ResourceName, c.ConfigNames = kind, resource, keys
		r.Resources, r.IncludeSynonyms = append(r.Resources, c), version > 1
	})
}

type op struct {
	kind  kmsg.IncrementalAlterConfigOp
	key   string
	value *string
}

func incremental(name string, kind kmsg.ConfigResourceType, resource string, ops ...op) Turn {
	return turn(name, 1, kmsg.NewPtrIncrementalAlterConfigsRequest(), func(r *kmsg.IncrementalAlterConfigsRequest) {
		c := kmsg.NewIncrementalAlterConfigsRequestResource()
		c.ResourceType, c.ResourceName = kind, resource
		for _, o := range ops {
			rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			rc.Name, rc.Op, rc.Value = o.key, o.kind, o.value
			c.Configs = append(c.Configs, rc)
		}
		r.Resources = append(r.Resources, c)
	})
}

func replaceConfigs(name string, kind kmsg.ConfigResourceType, resource string, pairs ...string) Turn {
	return turn(name, 2, kmsg.NewPtrAlterConfigsRequest(), func(r *kmsg.AlterConfigsRequest) {
		c := kmsg.NewAlterConfigsRequestResource()
		c.ResourceType, c.ResourceName = kind, resource
		for i := 0; i < len(pairs); i += 2 {
			rc := kmsg.NewAlterConfigsRequestResourceConfig()
			rc.Name, rc.Value = pairs[i], ptr(pairs[i+1])
			c.Configs = append(c.Configs, rc)
		}
		r.Resources = append(r.Resources, c)
	})
}

func createTopic(name, topic string, pairs ...string) Turn {
	return turn(name, 7, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = topic, 1, 1
		for i := 0; i < len(pairs); i += 2 {
			t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: pairs[i], Value: &pairs[i+1]})
		}
		r.Topics, r.TimeoutMillis = append(r.Topics, t), 10_000
	})
}

// topicKeys are the topic configs of Kafka 4.3; a value that each refuses.
var topicKeys = [][2]string{
	{"cleanup.policy", "shred"},
	{"cleanup.policy", "delete,delete"},
	{"cleanup.policy", ""},
	{"compression.type", "brotli"},
	{"compression.gzip.level", "0"},
	{"compression.lz4.level", "18"},
	{"compression.zstd.level", "23"},
	{"delete.retention.ms", "-1"},
	{"file.delete.delay.ms", "-1"},
	{"flush.messages", "0"},
	{"flush.ms", "-1"},
	{"follower.replication.throttled.replicas", "one"},
	{"index.interval.bytes", "-1"},
	{"leader.replication.throttled.replicas", "1-2"},
	{"local.retention.bytes", "-3"},
	{"local.retention.ms", "-3"},
	{"max.compaction.lag.ms", "0"},
	{"max.message.bytes", "-1"},
	{"message.timestamp.after.max.ms", "-1"},
	{"message.timestamp.before.max.ms", "-1"},
	{"message.timestamp.type", "NoTime"},
	{"min.cleanable.dirty.ratio", "1.5"},
	{"min.compaction.lag.ms", "-1"},
	{"min.insync.replicas", "0"},
	{"preallocate", "perhaps"},
	{"remote.log.copy.disable", "perhaps"},
	{"remote.log.delete.on.disable", "perhaps"},
	{"remote.storage.enable", "true"},
	{"retention.bytes", "-2"},
	{"retention.ms", "-2"},
	{"retention.ms", "soon"},
	{"retention.ms", ""},
	{"segment.bytes", "1"},
	{"segment.index.bytes", "3"},
	{"segment.jitter.ms", "-1"},
	{"segment.ms", "0"},
	{"unclean.leader.election.enable", "perhaps"},
	{"no.such.config", "1"},
	{"errors.deadletterqueue.group.enable", "perhaps"},
	{"message.format.version", "3.0"},
	{"message.downconversion.enable", "true"},
}

func topicConfigTurns() []Turn {
	turns := []Turn{
		createTopic("with configs", "configured", "retention.ms", "1000", "cleanup.policy", "compact"),
		createTopic("with a bad value", "refused", "retention.ms", "soon"),
		createTopic("with an unknown config", "refused", "no.such.config", "1"),
		describeConfigs("DescribeConfigs of a topic", 4, onTopic, "configured"),
		describeConfigs("DescribeConfigs of a topic", 1, onTopic, "configured", "retention.ms", "cleanup.policy"),
		describeConfigs("DescribeConfigs of some configs", 4, onTopic, "configured", "retention.ms", "no.such.config"),
		describeConfigs("DescribeConfigs of a missing topic", 4, onTopic, "missing"),
		describeConfigs("DescribeConfigs of a bad name", 4, onTopic, "bad name"),
		describeConfigs("DescribeConfigs without a name", 4, onTopic, ""),
	}
	for _, c := range topicKeys {
		turns = append(turns, incremental("set "+c[0]+"="+c[1], onTopic, "configured", op{opSet, c[0], ptr(c[1])}))
	}
	return append(turns,
		incremental("set null", onTopic, "configured", op{opSet, "retention.ms", nil}),
		incremental("set twice", onTopic, "configured", op{opSet, "retention.ms", ptr("1")}, op{opSet, "retention.ms", ptr("2")}),
		incremental("append", onTopic, "configured", op{opAppend, "cleanup.policy", ptr("delete")}),
		incremental("append again", onTopic, "configured", op{opAppend, "cleanup.policy", ptr("delete")}),
		incremental("subtract", onTopic, "configured", op{opSubtract, "cleanup.policy", ptr("compact")}),
		incremental("append to no list", onTopic, "configured", op{opAppend, "retention.ms", ptr("1")}),
		incremental("append to an unknown config", onTopic, "configured", op{opAppend, "no.such.config", ptr("1")}),
		incremental("append to a default", onTopic, "configured", op{opAppend, "leader.replication.throttled.replicas", ptr("0:1")}),
		incremental("unknown operation", onTopic, "configured", op{9, "retention.ms", ptr("1")}),
		incremental("delete", onTopic, "configured", op{opDelete, "retention.ms", nil}),
		incremental("delete unknown", onTopic, "configured", op{opDelete, "no.such.config", nil}),
		incremental("missing topic", onTopic, "missing", op{opSet, "retention.ms", ptr("1")}),
		incremental("bad topic name", onTopic, "bad name", op{opSet, "retention.ms", ptr("1")}),
		incremental("no topic name", onTopic, "", op{opSet, "retention.ms", ptr("1")}),
		incremental("compaction lags that contradict", onTopic, "configured", op{opSet, "min.compaction.lag.ms", ptr("10")}, op{opSet, "max.compaction.lag.ms", ptr("5")}),
		incremental("min.insync.replicas above the replicas", onTopic, "configured", op{opSet, "min.insync.replicas", ptr("5")}),
		describeConfigs("after IncrementalAlterConfigs", 4, onTopic, "configured", "retention.ms", "cleanup.policy", "leader.replication.throttled.replicas", "min.insync.replicas"),
		replaceConfigs("AlterConfigs", onTopic, "configured", "segment.ms", "5000", "retention.ms", " 42 "),
		replaceConfigs("AlterConfigs, one invalid", onTopic, "configured", "segment.ms", "6000", "retention.ms", "soon"),
		replaceConfigs("AlterConfigs, twice", onTopic, "configured", "segment.ms", "6000", "segment.ms", "7000"),
		replaceConfigs("AlterConfigs of a missing topic", onTopic, "missing", "segment.ms", "6000"),
		describeConfigs("after AlterConfigs", 4, onTopic, "configured", "segment.ms", "retention.ms", "cleanup.policy"),
	)
}

func brokerConfigTurns() []Turn {
	return []Turn{
		describeConfigs("DescribeConfigs of a broker", 4, onBroker, "1"),
		describeConfigs("DescribeConfigs of all brokers", 4, onBroker, ""),
		describeConfigs("DescribeConfigs of another broker", 4, onBroker, "7"),
		describeConfigs("DescribeConfigs of no broker", 4, onBroker, "one"),
		incremental("read-only", onBroker, "1", op{opSet, "node.id", ptr("9")}),
		incremental("read-only for all", onBroker, "", op{opSet, "log.dirs", ptr("/tmp")}),
		incremental("dynamic", onBroker, "1", op{opSet, "log.retention.ms", ptr("1000")}),
		incremental("dynamic for all", onBroker, "", op{opSet, "log.retention.ms", ptr("2000")}, op{opSet, "message.max.bytes", ptr("2000000")}),
		incremental("dynamic, invalid", onBroker, "1", op{opSet, "log.retention.ms", ptr("soon")}),
		incremental("dynamic, out of bounds", onBroker, "1", op{opSet, "message.max.bytes", ptr("-1")}),
		incremental("unknown broker config", onBroker, "1", op{opSet, "no.such.config", ptr("1")}),
		incremental("unregistered broker", onBroker, "7", op{opSet, "log.retention.ms", ptr("1000")}),
		incremental("max.connections.per.ip of all", onBroker, "", op{opSet, "max.connections.per.ip", ptr("900")}),
		incremental("max.connections of one", onBroker, "1", op{opSet, "max.connections", ptr("950")}),
		incremental("delete read-only", onBroker, "1", op{opDelete, "node.id", nil}),
		describeConfigs("broker after changes", 4, onBroker, "1", "log.retention.ms", "message.max.bytes", "max.connections", "max.connections.per.ip"),
		describeConfigs("all brokers after changes", 4, onBroker, ""),
		describeConfigs("topic after changes of brokers", 4, onTopic, "configured", "max.message.bytes", "retention.ms"),
		replaceConfigs("AlterConfigs of a broker", onBroker, "1", "log.flush.interval.ms", "500"),
		replaceConfigs("AlterConfigs of all brokers", onBroker, "", "log.flush.interval.ms", "600"),
		describeConfigs("broker after AlterConfigs", 4, onBroker, "1", "log.retention.ms", "log.flush.interval.ms", "max.connections"),
		replaceConfigs("AlterConfigs of a broker, back", onBroker, "1"),
		replaceConfigs("AlterConfigs of all brokers, back", onBroker, ""),
	}
}

func otherConfigTurns() []Turn {
	list := func(name string, version int16, kinds ...int8) Turn {
		return turn(name, version, kmsg.NewPtrListConfigResourcesRequest(), func(r *kmsg.ListConfigResourcesRequest) { r.ResourceTypes = kinds })
	}
	return []Turn{
		describeConfigs("DescribeConfigs of a group", 4, onGroup, "g"),
		describeConfigs("DescribeConfigs of a group without a name", 4, onGroup, ""),
		incremental("group config", onGroup, "g", op{opSet, "consumer.session.timeout.ms", ptr("50000")}),
		incremental("group config, invalid", onGroup, "g", op{opSet, "consumer.session.timeout.ms", ptr("soon")}),
		incremental("group config, out of bounds", onGroup, "g", op{opSet, "consumer.session.timeout.ms", ptr("1")}),
		incremental("group config, unknown", onGroup, "g", op{opSet, "no.such.config", ptr("1")}),
		incremental("group config without a name", onGroup, "", op{opSet, "consumer.session.timeout.ms", ptr("50000")}),
		describeConfigs("group after changes", 4, onGroup, "g", "consumer.session.timeout.ms"),
		describeConfigs("DescribeConfigs of a subscription", 4, onMetrics, "m"),
		incremental("subscription", onMetrics, "m", op{opSet, "interval.ms", ptr("1000")}, op{opSet, "metrics", ptr("org.apache.kafka")}),
		incremental("subscription, out of bounds", onMetrics, "m", op{opSet, "interval.ms", ptr("1")}),
		incremental("subscription, unknown config", onMetrics, "m", op{opSet, "no.such.config", ptr("1")}),
		incremental("subscription, bad pattern", onMetrics, "m", op{opSet, "match", ptr("no.such.selector=x")}),
		incremental("subscription without a name", onMetrics, "", op{opSet, "interval.ms", ptr("1000")}),
		describeConfigs("subscription after changes", 4, onMetrics, "m"),
		describeConfigs("DescribeConfigs of loggers", 4, onLoggers, "7"),
		incremental("loggers of another broker", onLoggers, "7", op{opSet, "root", ptr("INFO")}),
		incremental("loggers, bad level", onLoggers, "1", op{opSet, "root", ptr("LOUD")}),
		incremental("unknown resource type", kmsg.ConfigResourceType(99), "x", op{opSet, "a", ptr("b")}),
		describeConfigs("DescribeConfigs of an unknown type", 4, kmsg.ConfigResourceType(99), "x"),
		list("ListConfigResources", 0),
		list("ListConfigResources of all types", 1),
		list("ListConfigResources of groups and subscriptions", 1, 16, 32),
		list("ListConfigResources of topics", 1, 2),
		list("ListConfigResources of brokers", 1, 4, 8),
		list("ListConfigResources of an unknown type", 1, 99),
		incremental("subscription removed", onMetrics, "m", op{opDelete, "interval.ms", nil}, op{opDelete, "metrics", nil}),
		list("ListConfigResources after removal", 0),
	}
}
