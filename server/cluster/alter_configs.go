package cluster

import (
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// resource is something that has dynamic configs: a topic, a broker, all brokers, a group, or a subscription to metrics.
type resource struct {
	scope  ConfigScope
	topic  *Topic
	broker raft.NodeID
	group  string
	metric string // subscription
	table  *configTable
	set    map[string]string // what is set now; not to be written to
	check  func(map[string]string) *failure
}

// resourceKey names a resource in a request.
type resourceKey struct {
	kind kmsg.ConfigResourceType
	name string
}

// findResource finds what a request to change configs names.
func (d *Decider) findResource(img *Image, key resourceKey) (resource, *failure) {
	switch key.kind {
	case kmsg.ConfigResourceTypeTopic:
		t := img.TopicsByName[key.name]
		if key.name == "" {
			return resource{}, failf(kerr.InvalidRequest, "Default topic resources are not allowed.")
		}
		if t == nil {
			if f := checkTopicName(key.name); f != nil {
				return resource{}, f
			}
			return resource{}, failf(kerr.UnknownTopicOrPartition, "The topic '%s' does not exist.", key.name)
		}
		return resource{scope: ScopeTopic, topic: t, table: topicConfigs, set: t.Configs, check: topicCheck(t)}, nil
	case kmsg.ConfigResourceTypeBroker:
		id, f := brokerResource(key.name)
		if f != nil {
			return resource{}, f
		}
		if id != raft.NoNode && !slices.Contains(d.knownBrokers(img), id) {
			return resource{}, failf(kerr.BrokerIDNotRegistered, "No broker with id %d found.", id)
		}
		return resource{scope: ScopeBroker, broker: id, table: brokerConfigs, set: img.BrokerConfigs[id], check: func(configs map[string]string) *failure {
			if f := checkCordon(id, configs); f != nil {
				return f
			}
			if f := checkBrokerConfigs(configs); f != nil {
				return f
			}
			return d.checkCleaner(img, id, configs)
		}}, nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if key.name == "" {
			return resource{}, failf(kerr.InvalidRequest, "Default group resources are not allowed.")
		}
		return resource{scope: ScopeGroup, group: key.name, table: groupConfigs, set: img.GroupConfigs[key.name], check: checkGroupConfigs}, nil
	case configResourceClientMetrics:
		if key.name == "" {
			return resource{}, failf(kerr.InvalidRequest, "Subscription name can't be empty")
		}
		return resource{
			scope: ScopeClientMetrics, metric: key.name, table: clientMetricsConfigs, set: img.ClientMetrics[key.name], check: checkClientMetricsConfigs,
		}, nil
	}
	return resource{}, failf(kerr.InvalidRequest, "Unknown resource type %d", key.kind)
}

// brokerResource parses the name of a broker resource: its id, or nothing for all brokers.
func brokerResource(name string) (raft.NodeID, *failure) {
	if name == "" {
		return raft.NoNode, nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil || id < 0 {
		return 0, failf(kerr.InvalidRequest, "Broker id must be an integer, but it is: %s", name)
	}
	return raft.NodeID(id), nil
}

// distinct walks the resources of a request, one that is named several times only once, and says how often it is named.
func distinct[R any](resources []R, key func(*R) resourceKey) iter.Seq2[*R, int] {
	return func(yield func(*R, int) bool) {
		times := map[resourceKey]int{}
		for i := range resources {
			times[key(&resources[i])]++
		}
		for i := range resources {
			r := &resources[i]
			if n := times[key(r)]; n > 0 && !yield(r, n) {
				return
			}
			times[key(r)] = 0
		}
	}
}

// incrementalAlterConfigs answers IncrementalAlterConfigs. Each resource succeeds or fails by itself.
func (d *Decider) incrementalAlterConfigs(img *Image, req *kmsg.IncrementalAlterConfigsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	resp.Resources = []kmsg.IncrementalAlterConfigsResponseResource{}
	keyOf := func(r *kmsg.IncrementalAlterConfigsRequestResource) resourceKey {
		return resourceKey{r.ResourceType, r.ResourceName}
	}
	var records []Record
	for r, times := range distinct(req.Resources, keyOf) {
		changes, f := d.alter(img, keyOf(r), times, func(res resource) (map[string]string, *failure) {
			return d.incremented(res, r.Configs)
		})
		records = append(records, changes...)
		answer := kmsg.NewIncrementalAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName, answer.ErrorCode, answer.ErrorMessage = r.ResourceType, r.ResourceName, f.code(), f.text()
		resp.Resources = append(resp.Resources, answer)
	}
	if req.ValidateOnly {
		records = nil
	}
	return Decision{Records: records, Response: resp}
}

// alterConfigs answers AlterConfigs: what a resource has set afterwards is exactly what the request names.
func (d *Decider) alterConfigs(img *Image, req *kmsg.AlterConfigsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	resp.Resources = []kmsg.AlterConfigsResponseResource{}
	keyOf := func(r *kmsg.AlterConfigsRequestResource) resourceKey {
		return resourceKey{r.ResourceType, r.ResourceName}
	}
	var records []Record
	for r, times := range distinct(req.Resources, keyOf) {
		changes, f := d.alter(img, keyOf(r), times, func(resource) (map[string]string, *failure) {
			return replaced(r.Configs)
		})
		records = append(records, changes...)
		answer := kmsg.NewAlterConfigsResponseResource()
		answer.ResourceType, answer.ResourceName, answer.ErrorCode, answer.ErrorMessage = r.ResourceType, r.ResourceName, f.code(), f.text()
		resp.Resources = append(resp.Resources, answer)
	}
	if req.ValidateOnly {
		records = nil
	}
	return Decision{Records: records, Response: resp}
}

// alter returns the records that give a resource the configs that next wants.
func (d *Decider) alter(img *Image, key resourceKey, times int, next func(resource) (map[string]string, *failure)) ([]Record, *failure) {
	if times > 1 {
		return nil, failf(kerr.InvalidRequest, "Each resource must appear at most once.")
	}
	res, f := d.findResource(img, key)
	if f != nil {
		return nil, f
	}
	configs, f := next(res)
	if f != nil {
		return nil, f
	}
	if f := res.check(configs); f != nil {
		return nil, f
	}
	for name, value := range configs {
		configs[name] = strings.TrimSpace(value)
	}
	return res.changes(configs), nil
}

// changes returns the records that lead from what is set to configs.
func (r *resource) changes(configs map[string]string) []Record {
	record := ConfigChanged{Scope: r.scope, Broker: r.broker, Group: r.group, Subscription: r.metric}
	if r.topic != nil {
		record.Topic = r.topic.ID
	}
	var records []Record
	for _, name := range sortedKeys(configs) {
		if value := configs[name]; !has(r.set, name, value) {
			record.Key, record.Value = name, &value
			records = append(records, record)
		}
	}
	for _, name := range sortedKeys(r.set) {
		if _, kept := configs[name]; !kept {
			record.Key, record.Value = name, nil
			records = append(records, record)
		}
	}
	return records
}

func has(configs map[string]string, name, value string) bool {
	v, ok := configs[name]
	return ok && v == value
}

func replaced(requested []kmsg.AlterConfigsRequestResourceConfig) (map[string]string, *failure) {
	configs := make(map[string]string, len(requested))
	for _, c := range requested {
		if _, twice := configs[c.Name]; twice {
			return nil, duplicateKey()
		}
		if c.Value == nil {
			return nil, failf(kerr.InvalidRequest, "Null value not supported for : %s", c.Name)
		}
		configs[c.Name] = *c.Value
	}
	return configs, nil
}

func duplicateKey() *failure {
	return failf(kerr.InvalidRequest, "Error due to duplicate config keys")
}

// incremented applies the operations of a request to what a resource has set.
func (d *Decider) incremented(res resource, ops []kmsg.IncrementalAlterConfigsRequestResourceConfig) (map[string]string, *failure) {
	configs := make(map[string]string, len(res.set)+len(ops))
	maps.Copy(configs, res.set)
	named := make(map[string]bool, len(ops))
	for _, op := range ops {
		if named[op.Name] {
			return nil, duplicateKey()
		}
		named[op.Name] = true
		if op.Op == kmsg.IncrementalAlterConfigOpDelete {
			// As in Kafka, any key may be removed: one that cannot be set is not set, perhaps because an earlier release had it.
			delete(configs, op.Name)
			continue
		}
		if op.Value == nil {
			return nil, failf(kerr.InvalidRequest, "Null value not supported for : %s", op.Name)
		}
		if op.Op == kmsg.IncrementalAlterConfigOpSet {
			configs[op.Name] = *op.Value
			continue
		}
		list, f := d.editList(res, op)
		if f != nil {
			return nil, f
		}
		configs[op.Name] = list
	}
	return configs, nil
}

// checkDynamic refuses the keys of a broker that cannot change while it runs.
func checkDynamic(res resource, name string) *failure {
	if def := res.table.byName[name]; def != nil && res.scope == ScopeBroker && !def.Dynamic {
		return failf(kerr.InvalidRequest, "Cannot update these configs dynamically: [%s]", name)
	}
	return nil
}

// editList appends to a LIST config or subtracts from it. A list that is not set starts as its default.
func (d *Decider) editList(res resource, op kmsg.IncrementalAlterConfigsRequestResourceConfig) (string, *failure) {
	if f := checkDynamic(res, op.Name); f != nil {
		return "", f
	}
	if op.Op != kmsg.IncrementalAlterConfigOpAppend && op.Op != kmsg.IncrementalAlterConfigOpSubtract {
		return "", failf(kerr.InvalidRequest, "Unknown operation %d for config %s", op.Op, op.Name)
	}
	def := res.table.byName[op.Name]
	if def == nil || def.Type != kmsg.ConfigTypeList {
		return "", failf(kerr.InvalidConfig, "Can't %s to key %s because its type is not LIST.", op.Op, op.Name)
	}
	current, set := res.set[op.Name]
	if !set {
		current = d.resolver.unsetValue(def)
	}
	items := splitList(current)
	for _, item := range splitList(*op.Value) {
		at := slices.Index(items, item)
		switch {
		case op.Op == kmsg.IncrementalAlterConfigOpAppend && at < 0:
			items = append(items, item)
		case op.Op == kmsg.IncrementalAlterConfigOpSubtract && at >= 0:
			items = slices.Delete(items, at, at+1)
		}
	}
	return strings.Join(items, ","), nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
