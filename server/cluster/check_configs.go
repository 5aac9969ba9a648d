package cluster

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// checkTopicConfigs checks the explicit configs of a topic, each by itself and together.
func checkTopicConfigs(configs map[string]string) *failure {
	if f := checkEach(topicConfigs, "topic", configs); f != nil {
		return f
	}
	if strings.EqualFold(strings.TrimSpace(configs["remote.storage.enable"]), "true") {
		return failf(kerr.InvalidConfig, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
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
			return failf(kerr.InvalidRequest, "Cannot update these configs dynamically: %s", name)
		}
	}
	return checkEach(brokerConfigs, "broker", configs)
}

func checkGroupConfigs(configs map[string]string) *failure {
	return checkEach(groupConfigs, "group", configs)
}

// checkEach goes in the order of the names, so that the same request always gets the same answer.
func checkEach(table *configTable, what string, configs map[string]string) *failure {
	for _, name := range sortedKeys(configs) {
		d := table.byName[name]
		if d == nil {
			return failf(kerr.InvalidConfig, "%v", table.unknown(what, name))
		}
		if err := d.Validate(configs[name]); err != nil {
			return failf(kerr.InvalidConfig, "%v", err)
		}
	}
	return nil
}
