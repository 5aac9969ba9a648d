package cluster

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// dynamicStatics are the broker configs that have a place in config.Config and can be changed while the broker runs all the same,
// with what is checked then.
func dynamicStatics() map[string]func(string) error {
	return map[string]func(string) error{
		ConfigMaxConnections:      atLeast(1),
		ConfigMaxConnectionsPerIP: atLeast(1),
		configCleanerBackoff:      atLeast(0),
		configCleanerBuffer:       nil, // see checkCleaner
		configCleanerRate:         nil,
		configCleanerThreads:      between(1, 64),
		configProducerIDExpiry:    atLeast(1),
	}
}

// Broker configs that others read with Resolver.BrokerValue because they can change.
const (
	ConfigMaxConnections      = "max.connections"
	ConfigMaxConnectionsPerIP = "max.connections.per.ip"
	ConfigMaxConnectionRate   = "max.connection.creation.rate"
	ConfigThrottledRate       = "leader.replication.throttled.rate"
)

// Those that Resolver.CleanerConfig and Resolver.ProducerIDExpiry read.
const (
	configCleanerBackoff   = "log.cleaner.backoff.ms"
	configCleanerBuffer    = "log.cleaner.dedupe.buffer.size"
	configCleanerRate      = "log.cleaner.io.max.bytes.per.second"
	configCleanerThreads   = "log.cleaner.threads"
	configProducerIDExpiry = "producer.id.expiration.ms"
)

// maxInt is Kafka's default where a number has no bound.
const maxInt = "2147483647"

// keptForTools is the documentation of configs that Kafka's tools and its users' scripts set and that mean nothing here.
const keptForTools = "Kept for tools; it has no effect. "

// dynamicBrokerDefs are the other broker configs that can be changed while the broker runs: those of Kafka 4.3 that programs set.
func dynamicBrokerDefs() []ConfigDef {
	defs := []ConfigDef{
		{
			Name: ConfigMaxConnectionRate, Type: typeInt, Default: maxInt, check: atLeast(1),
			Doc: "How many connections a second the broker accepts from all clients together. Those beyond it wait to be accepted.",
		},
		{
			Name: ConfigThrottledRate, Type: typeLong, Default: maxLong, check: atLeast(0),
			Doc: "How many bytes a second the broker sends as leader to replicas that are being added, all together, whatever topics say; 0 is no bound. Replicas that are in place are not throttled.",
		},
		{
			Name: "follower.replication.throttled.rate", Type: typeLong, Default: maxLong, check: atLeast(0),
			Doc: keptForTools + "Moves of replicas are throttled where they are sent from, see leader.replication.throttled.rate.",
		},
		{
			Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: typeLong, Default: maxLong, check: atLeast(0),
			Doc: keptForTools + "A broker has one log directory.",
		},
	}
	defs = append(defs, threadDefs()...)
	for i := range defs {
		defs[i].Dynamic = true
	}
	return defs
}

// threadDefs are the sizes of Kafka's thread pools.
func threadDefs() []ConfigDef {
	var defs []ConfigDef
	for _, pool := range [...]struct {
		name, size, what string
	}{
		{"background.threads", "10", "background work"},
		{"num.io.threads", "8", "requests"},
		{"num.network.threads", "3", "connections"},
		{"num.recovery.threads.per.data.dir", "2", "opening logs"},
		{"num.replica.fetchers", "1", "replication"},
	} {
		defs = append(defs, ConfigDef{
			Name: pool.name, Type: kmsg.ConfigTypeInt, Default: pool.size, check: atLeast(1),
			Doc: keptForTools + "There is no pool of threads for " + pool.what + ": goroutines are made as needed.",
		})
	}
	return defs
}

// fixedBrokerDefs are configs that show how the broker works, for tools that look; they cannot be changed at all.
func fixedBrokerDefs() []ConfigDef {
	return []ConfigDef{
		{Name: "log.retention.hours", Type: typeInt, Default: "168", Doc: "How long records are kept, in hours, while log.retention.ms is not set."},
		{Name: "log.retention.minutes", Type: typeInt, Default: "10080", Unset: "log.retention.hours", Doc: "Kept for tools; log.retention.ms says it in finer steps."},
		{Name: "log.roll.hours", Type: typeInt, Default: "168", Doc: "After how long a segment is closed, in hours, while log.roll.ms is not set."},
		{Name: "log.roll.jitter.hours", Type: typeInt, Default: "0", Doc: "How much earlier than that, at random, in hours, while log.roll.jitter.ms is not set."},
		{Name: "quota.window.num", Type: typeInt, Default: "11", Doc: "How many samples of client quotas are kept: a client may use what it saved up in all but the current one."},
		{Name: "quota.window.size.seconds", Type: typeInt, Default: "1", Doc: "How long, in seconds, a sample of client quotas is."},
		{Name: "controller.quota.window.num", Type: typeInt, Default: "11", Doc: "As quota.window.num, for controller_mutation_rate."},
		{Name: "controller.quota.window.size.seconds", Type: typeInt, Default: "1", Doc: "As quota.window.size.seconds, for controller_mutation_rate."},
		{Name: "telemetry.max.bytes", Type: typeInt, Default: "1048576", Doc: "The most that a client may push of its metrics at once, in bytes."},
		{Name: "authorizer.class.name", Type: typeString, Default: "", Doc: "There is no authorizer."},
		{Name: "group.coordinator.rebalance.protocols", Type: typeList, Default: "classic,consumer", Doc: "The protocols of groups that are served."},
	}
}
