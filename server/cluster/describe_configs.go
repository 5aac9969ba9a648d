package cluster

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// DescribeConfigs answers DescribeConfigs from an image. The static configs of a broker are known to that broker alone, so clients
// ask it itself; for all brokers (empty name) only what was set for all is shown, as in Kafka.
func (r *Resolver) DescribeConfigs(img *Image, req *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	resp.Resources = []kmsg.DescribeConfigsResponseResource{}
	for i := range req.Resources {
		asked := &req.Resources[i]
		configs, f := r.describe(img, asked)
		answer := kmsg.NewDescribeConfigsResponseResource()
		answer.ResourceType, answer.ResourceName, answer.ErrorCode, answer.ErrorMessage = asked.ResourceType, asked.ResourceName, f.code(), f.text()
		if f == nil {
			answer.ErrorMessage = kmsg.StringPtr("") // as Kafka
		}
		answer.Configs = []kmsg.DescribeConfigsResponseResourceConfig{}
		for _, c := range configs {
			if asked.ConfigNames == nil || slices.Contains(asked.ConfigNames, c.def.Name) {
				answer.Configs = append(answer.Configs, c.answer(req))
			}
		}
		resp.Resources = append(resp.Resources, answer)
	}
	return resp
}

// described is one config of one resource, with its values on all levels, the effective one first.
type described struct {
	def      *ConfigDef
	levels   []level
	readOnly bool
}

func (r *Resolver) describe(img *Image, asked *kmsg.DescribeConfigsRequestResource) ([]described, *failure) {
	switch asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if f := checkTopicName(asked.ResourceName); f != nil {
			return nil, f
		}
		t := img.TopicsByName[asked.ResourceName]
		if t == nil {
			return nil, failf(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
		}
		return describeTable(topicConfigs, func(d *ConfigDef) []level { return r.topicLevels(img, t, d) }), nil
	case kmsg.ConfigResourceTypeBroker:
		id, f := brokerResource(asked.ResourceName)
		switch {
		case f != nil:
			return nil, f
		case id == raft.NoNode:
			return describeBrokerDefaults(img), nil
		case id != r.node:
			return nil, failf(kerr.InvalidRequest, "Unexpected broker id, expected %s or empty string, but received %s",
				strconv.Itoa(int(r.node)), asked.ResourceName)
		}
		return describeTable(brokerConfigs, func(d *ConfigDef) []level { return r.brokerLevels(img, d) }), nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if asked.ResourceName == "" {
			return nil, failf(kerr.InvalidRequest, "Group name must not be empty")
		}
		return describeTable(groupConfigs, func(d *ConfigDef) []level { return r.groupLevels(img, asked.ResourceName, d) }), nil
	case configResourceClientMetrics:
		if asked.ResourceName == "" {
			return nil, failf(kerr.InvalidRequest, "Client metrics subscription name must not be empty")
		}
		return describeTable(clientMetricsConfigs, func(d *ConfigDef) []level { return metricsLevels(img, asked.ResourceName, d) }), nil
	}
	return nil, failf(kerr.InvalidRequest, "Unknown resource type %d", asked.ResourceType)
}

func describeTable(table *configTable, levels func(*ConfigDef) []level) []described {
	var all []described
	for _, d := range table.sorted {
		l := levels(d)
		if d.Hidden && l[0].source == kmsg.ConfigSourceDefaultConfig {
			continue
		}
		all = append(all, described{def: d, levels: l, readOnly: table == brokerConfigs && !d.Dynamic})
	}
	return all
}

func describeBrokerDefaults(img *Image) []described {
	var all []described
	for _, name := range sortedKeys(img.BrokerConfigs[raft.NoNode]) {
		def := brokerConfigs.byName[name]
		if def == nil {
			continue // set by a later release than this one
		}
		all = append(all, described{
			def:    def,
			levels: []level{{name: name, value: img.BrokerConfigs[raft.NoNode][name], source: kmsg.ConfigSourceDynamicDefaultBrokerConfig}},
		})
	}
	return all
}

func (c *described) answer(req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	a := kmsg.NewDescribeConfigsResponseResourceConfig()
	effective := c.levels[0]
	a.Name, a.Value, a.Source, a.ReadOnly = c.def.Name, kmsg.StringPtr(effective.value), effective.source, c.readOnly
	a.IsDefault = effective.source == kmsg.ConfigSourceDefaultConfig
	if a.IsDefault && c.def.Unset != "" {
		a.Value = nil
	}
	a.ConfigType = c.def.Type
	if req.IncludeDocumentation {
		a.Documentation = kmsg.StringPtr(c.def.Doc)
	}
	a.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if req.IncludeSynonyms {
		for _, l := range c.levels {
			if l.name == "" {
				continue
			}
			s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			s.Name, s.Value, s.Source = l.name, kmsg.StringPtr(cmp.Or(l.shown, l.value)), l.source
			a.ConfigSynonyms = append(a.ConfigSynonyms, s)
		}
	}
	return a
}
