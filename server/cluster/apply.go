package cluster

import (
	"maps"
	"slices"

	"balsa/internal/invariant"
	"balsa/raft"
)

// Apply returns the image after records, whose entry has Raft index version. The receiver stays as it was. The cost is
// one shallow copy of each map that the records touch, whatever their number: topics, their partitions and their
// configs are shared unless a record changes them.
//
// Records are facts that a decision made from this very image, so one that does not fit is a broken invariant.
func (img *Image) Apply(version uint64, records []Record) *Image {
	b := newBuilder(img)
	for _, r := range records {
		b.apply(r)
	}
	b.image.Version = version
	return &b.image
}

// builder makes one image from another. The owned flags say which maps it copied already and may therefore write to.
type builder struct {
	image              Image
	ownBrokers         bool
	ownTopics          bool
	ownBrokerConfigs   bool
	ownGroupConfigs    bool
	ownTopicConfigs    map[TopicID]bool
	ownConfigsOfBroker map[raft.NodeID]bool
	ownConfigsOfGroup  map[string]bool
	ownClientMetrics   bool
	ownConfigsOfMetric map[string]bool
	ownPartitions      map[TopicID]bool
	ownUnregistered    bool
	ownFeatures        bool
	ownQuotas          bool
	ownQuotasOf        map[QuotaEntity]bool
}

func newBuilder(from *Image) *builder {
	return &builder{
		image:              *from,
		ownTopicConfigs:    map[TopicID]bool{},
		ownConfigsOfBroker: map[raft.NodeID]bool{},
		ownConfigsOfGroup:  map[string]bool{},
		ownConfigsOfMetric: map[string]bool{},
		ownPartitions:      map[TopicID]bool{},
		ownQuotasOf:        map[QuotaEntity]bool{},
	}
}

func (b *builder) apply(r Record) {
	switch r := r.(type) {
	case ClusterIDSet:
		invariant.Check(b.image.ClusterID == "", "cluster id set twice: %q, then %q", b.image.ClusterID, r.ID)
		b.image.ClusterID = r.ID
	case BrokerRegistered:
		own(&b.image.Brokers, &b.ownBrokers)
		b.image.Brokers[r.Broker.ID] = r.Broker
		if b.image.Unregistered[r.Broker.ID] {
			own(&b.image.Unregistered, &b.ownUnregistered)
			delete(b.image.Unregistered, r.Broker.ID)
		}
	case TopicCreated:
		b.topicCreated(r)
	case TopicDeleted:
		b.topicDeleted(r)
	case PartitionsAdded:
		b.partitionsAdded(r)
	case ConfigChanged:
		b.configChanged(r)
	case ProducerIDsAllocated:
		invariant.Check(r.Next >= b.image.NextProducer, "producer ids went back from %d to %d", b.image.NextProducer, r.Next)
		b.image.NextProducer = r.Next
	case PartitionChanged:
		b.partitionChanged(r)
	case BrokerUnregistered:
		own(&b.image.Brokers, &b.ownBrokers)
		own(&b.image.Unregistered, &b.ownUnregistered)
		delete(b.image.Brokers, r.ID)
		b.image.Unregistered[r.ID] = true
	case FeatureSet:
		own(&b.image.Features, &b.ownFeatures)
		b.image.Features[r.Name] = r.Level
	case QuotaChanged:
		b.quotaChanged(r)
	default:
		invariant.Check(false, "unknown record %T", r)
	}
}

// own makes sure that a map of the image may be written to, by copying it the first time.
func own[M ~map[K]V, K comparable, V any](m *M, owned *bool) {
	if !*owned {
		*m, *owned = maps.Clone(*m), true
	}
}

func (b *builder) topicCreated(r TopicCreated) {
	invariant.Check(b.image.Topics[r.Topic.ID] == nil, "topic id %s created twice", r.Topic.ID)
	named := b.image.TopicsByName[r.Topic.Name]
	invariant.Check(named == nil || named.Internal(), "topic %q created twice", r.Topic.Name)
	t := r.Topic
	t.Configs = maps.Clone(t.Configs)
	b.ownTopicConfigs[t.ID] = true
	b.put(&t)
}

func (b *builder) topicDeleted(r TopicDeleted) {
	t := b.topic(r.ID)
	b.ownTopicMaps()
	delete(b.image.Topics, t.ID)
	if b.image.TopicsByName[t.Name] == t {
		delete(b.image.TopicsByName, t.Name)
	}
	if shards := b.image.Topics[CoordinatorTopic]; shards != nil && t.Name == OffsetsTopic {
		b.nameShards(shards)
	}
}

func (b *builder) partitionsAdded(r PartitionsAdded) {
	t := b.topic(r.Topic)
	invariant.Check(int(r.First) == len(t.Partitions), "topic %q has %d partitions, but %d are added from %d",
		t.Name, len(t.Partitions), len(r.Partitions), r.First)
	next := *t
	next.Partitions = slices.Concat(t.Partitions, r.Partitions)
	b.ownPartitions[r.Topic] = true
	b.put(&next)
}

func (b *builder) partitionChanged(r PartitionChanged) {
	t := b.topic(r.Topic)
	invariant.Check(r.Number >= 0 && int(r.Number) < len(t.Partitions), "topic %q has no partition %d", t.Name, r.Number)
	invariant.Check(r.Partition.Epoch > t.Partitions[r.Number].Epoch, "partition %d of %q went from epoch %d to %d",
		r.Number, t.Name, t.Partitions[r.Number].Epoch, r.Partition.Epoch)
	next := *t
	if !b.ownPartitions[r.Topic] {
		next.Partitions, b.ownPartitions[r.Topic] = slices.Clone(t.Partitions), true
	}
	next.Partitions[r.Number] = r.Partition
	b.put(&next)
}

func (b *builder) quotaChanged(r QuotaChanged) {
	own(&b.image.Quotas, &b.ownQuotas)
	quotas := b.image.Quotas[r.Entity]
	if !b.ownQuotasOf[r.Entity] {
		quotas, b.ownQuotasOf[r.Entity] = maps.Clone(quotas), true
	}
	if r.Value == nil {
		delete(quotas, r.Key)
	} else {
		if quotas == nil {
			quotas = make(map[string]float64, 1)
		}
		quotas[r.Key] = *r.Value
	}
	if len(quotas) == 0 { // no empty maps: equal states are equal images
		delete(b.image.Quotas, r.Entity)
		return
	}
	b.image.Quotas[r.Entity] = quotas
}

func (b *builder) configChanged(r ConfigChanged) {
	switch r.Scope {
	case ScopeTopic:
		next := *b.topic(r.Topic)
		next.Configs = changed(next.Configs, b.ownTopicConfigs[r.Topic], r)
		b.ownTopicConfigs[r.Topic] = true
		b.put(&next)
	case ScopeBroker:
		own(&b.image.BrokerConfigs, &b.ownBrokerConfigs)
		setOrDelete(b.image.BrokerConfigs, r.Broker, changed(b.image.BrokerConfigs[r.Broker], b.ownConfigsOfBroker[r.Broker], r))
		b.ownConfigsOfBroker[r.Broker] = true
	case ScopeGroup:
		own(&b.image.GroupConfigs, &b.ownGroupConfigs)
		setOrDelete(b.image.GroupConfigs, r.Group, changed(b.image.GroupConfigs[r.Group], b.ownConfigsOfGroup[r.Group], r))
		b.ownConfigsOfGroup[r.Group] = true
	case ScopeClientMetrics:
		own(&b.image.ClientMetrics, &b.ownClientMetrics)
		setOrDelete(b.image.ClientMetrics, r.Subscription,
			changed(b.image.ClientMetrics[r.Subscription], b.ownConfigsOfMetric[r.Subscription], r))
		b.ownConfigsOfMetric[r.Subscription] = true
	default:
		invariant.Check(false, "config of unknown scope %d", r.Scope)
	}
}

// changed returns configs with r applied: in place when owned, else in a copy.
func changed(configs map[string]string, owned bool, r ConfigChanged) map[string]string {
	if !owned {
		configs = maps.Clone(configs)
	}
	if r.Value == nil {
		delete(configs, r.Key)
		return configs
	}
	if configs == nil {
		configs = make(map[string]string, 1)
	}
	configs[r.Key] = *r.Value
	return configs
}

// setOrDelete keeps no empty config maps, so that equal states are equal images.
func setOrDelete[K comparable](all map[K]map[string]string, key K, configs map[string]string) {
	if len(configs) == 0 {
		delete(all, key)
		return
	}
	all[key] = configs
}

func (b *builder) topic(id TopicID) *Topic {
	t := b.image.Topics[id]
	invariant.Check(t != nil, "record about the unknown topic id %s", id)
	return t
}

func (b *builder) put(t *Topic) {
	b.ownTopicMaps()
	if len(t.Configs) == 0 {
		t.Configs = nil
	}
	b.image.Topics[t.ID] = t
	if t.Internal() {
		b.nameShards(t)
		return
	}
	b.image.TopicsByName[t.Name] = t
}

func (b *builder) ownTopicMaps() {
	if b.ownTopics {
		return
	}
	b.image.Topics, b.image.TopicsByName, b.ownTopics = maps.Clone(b.image.Topics), maps.Clone(b.image.TopicsByName), true
}
