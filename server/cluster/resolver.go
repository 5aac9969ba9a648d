package cluster

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
	"balsa/raft"
	"balsa/server/config"
)

// Resolver finds the values that are in effect on one broker. It is immutable.
type Resolver struct {
	node   raft.NodeID
	static map[string]string // broker configs that differ from their defaults, by Kafka's names
}

// NewResolver returns the resolver of the broker that c configures.
func NewResolver(c *config.Config) *Resolver {
	r := &Resolver{node: raft.NodeID(c.NodeID), static: map[string]string{}}
	values := staticDefaults(c)
	for _, s := range staticConfigs() {
		values[s.name] = s.value(c)
	}
	for name, value := range values {
		if value != brokerConfigs.byName[name].Default {
			r.static[name] = value
		}
	}
	return r
}

// level is a value of a config on one of its levels.
type level struct {
	name   string // on this level: a topic's retention.ms is log.retention.ms of the broker; empty: not shown as a synonym
	value  string
	shown  string // the value of the synonym, where it is in another unit
	source kmsg.ConfigSource
}

// topicValue returns the effective value of a topic config. It runs for every topic when configs change, so it
// allocates nothing.
func (r *Resolver) topicValue(img *Image, t *Topic, name string) string {
	if v, ok := t.Configs[name]; ok {
		return v
	}
	d := topicConfigs.byName[name]
	if d.Broker != "" {
		for _, node := range [...]raft.NodeID{r.node, raft.NoNode} {
			if v, ok := img.BrokerConfigs[node][d.Broker]; ok {
				return v
			}
		}
		if v, ok := r.static[d.Broker]; ok {
			return v
		}
	}
	return d.Default
}

// topicLevels returns all values of a topic config, the effective one first. t nil leaves out the topic's own.
func (r *Resolver) topicLevels(img *Image, t *Topic, d *ConfigDef) []level {
	var levels []level
	if t != nil {
		if v, ok := t.Configs[d.Name]; ok {
			levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceDynamicTopicConfig})
		} else if v, ok := offsetsTopicConfig(d.Name); ok && t.Internal() {
			levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceDynamicTopicConfig})
		}
	}
	if d.Broker == "" {
		return append(levels, level{value: d.Default, source: kmsg.ConfigSourceDefaultConfig})
	}
	return append(levels, r.brokerLevels(img, brokerConfigs.byName[d.Broker])...)
}

// brokerLevels returns all values of a config of this broker, the effective one first.
func (r *Resolver) brokerLevels(img *Image, d *ConfigDef) []level {
	var levels []level
	if v, ok := img.BrokerConfigs[r.node][d.Name]; ok {
		levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceDynamicBrokerConfig})
	}
	if v, ok := img.BrokerConfigs[raft.NoNode][d.Name]; ok {
		levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceDynamicDefaultBrokerConfig})
	}
	if v, ok := r.static[d.Name]; ok {
		levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceStaticBrokerConfig})
	}
	last := level{name: d.Name, value: d.Default, source: kmsg.ConfigSourceDefaultConfig}
	switch {
	case d.Unset != "" && len(levels) == 0:
		last.name = "" // as Kafka: the synonyms of a config begin where it is set itself
	case d.Unset != "":
		last.name, last.shown = d.Unset, brokerConfigs.byName[d.Unset].Default
	}
	return append(levels, last)
}

// BrokerValue returns the effective value of a broker config of this broker, by Kafka's name. There must be such a config.
func (r *Resolver) BrokerValue(img *Image, name string) string {
	d := brokerConfigs.byName[name]
	invariant.Check(d != nil, "no broker config is called %q", name)
	return r.brokerLevels(img, d)[0].value
}

// GroupValue returns the effective value of a group config: the group's own, or what it is by default.
func (r *Resolver) GroupValue(img *Image, group, name string) string {
	d := groupConfigs.byName[name]
	invariant.Check(d != nil, "no group config is called %q", name)
	return r.groupLevels(img, group, d)[0].value
}

// groupLevels returns all values of a group config, the effective one first.
func (r *Resolver) groupLevels(img *Image, group string, d *ConfigDef) []level {
	var levels []level
	if v, ok := img.GroupConfigs[group][d.Name]; ok {
		levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceGroupConfig})
	}
	if d.Broker == "" {
		return append(levels, level{name: d.Name, value: d.Default, source: kmsg.ConfigSourceDefaultConfig})
	}
	return append(levels, r.brokerLevels(img, brokerConfigs.byName[d.Broker])...)
}

// metricsLevels returns all values of a config of a subscription to metrics, the effective one first.
func metricsLevels(img *Image, subscription string, d *ConfigDef) []level {
	var levels []level
	if v, ok := img.ClientMetrics[subscription][d.Name]; ok {
		levels = append(levels, level{name: d.Name, value: v, source: kmsg.ConfigSourceClientMetricsConfig})
	}
	return append(levels, level{value: d.Default, source: kmsg.ConfigSourceDefaultConfig})
}

// unsetValue returns what a config is when nobody set it dynamically.
func (r *Resolver) unsetValue(d *ConfigDef) string {
	name := d.Name
	if d.Broker != "" {
		name = d.Broker
	}
	if v, ok := r.static[name]; ok {
		return v
	}
	return d.Default
}
