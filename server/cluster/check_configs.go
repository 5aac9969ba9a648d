package cluster

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// checkTopicConfigs checks the explicit configs of a topic, each by itself and together.
func checkTopicConfigs(configs map[string]string) *failure {
	if f := checkEach(topicConfigs, kerr.InvalidConfig, "topic", configs); f != nil {
		return f
	}
	if strings.EqualFold(strings.TrimSpace(configs["remote.storage.enable"]), "true") {
		return failf(kerr.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	if policies := splitList(configs["cleanup.policy"]); slices.Contains(policies, "ack") && slices.Contains(policies, "compact") {
		return failf(kerr.InvalidConfig, "cleanup.policy cannot be both ack and compact: a queue's records go when they are acknowledged")
	}
	least, most := configs["min.compaction.lag.ms"], configs["max.compaction.lag.ms"]
	if least != "" && most != "" && mustNumber("min.compaction.lag.ms", least) > mustNumber("max.compaction.lag.ms", most) {
		return failf(kerr.InvalidConfig, "conflict topic config setting min.compaction.lag.ms (%s) > max.compaction.lag.ms (%s)", least, most)
	}
	return nil
}

// checkBrokerConfigs checks the dynamic configs of a broker.
func checkBrokerConfigs(configs map[string]string) *failure {
	for _, name := range sortedKeys(configs) {
		if d := brokerConfigs.byName[name]; d != nil && !d.Dynamic {
			return failf(kerr.InvalidRequest, "Cannot update these configs dynamically: [%s]", name)
		}
	}
	return checkEach(brokerConfigs, kerr.InvalidRequest, "broker", configs)
}

func checkGroupConfigs(configs map[string]string) *failure {
	return checkEach(groupConfigs, kerr.InvalidConfig, "group", configs)
}

// checkEach goes in the order of the names, so that the same request always gets the same answer. An invalid value is answered with
// the code invalid, which depends on who checks it in Kafka; a name that nobody knows is always INVALID_CONFIG.
func checkEach(table *configTable, invalid *kerr.Error, what string, configs map[string]string) *failure {
	for _, name := range sortedKeys(configs) {
		d := table.byName[name]
		if d == nil {
			return failf(kerr.InvalidConfig, "%v", table.unknown(what, name))
		}
		if err := d.Validate(configs[name]); err != nil {
			return failf(invalid, "%v", err)
		}
	}
	return nil
}
