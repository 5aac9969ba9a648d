package cluster

import "balsa/raft"

// Record is a fact about the cluster. The set is closed; each kind has its own byte layout (record_codec.go, FORMAT.md).
type Record interface{ kind() recordKind }

// recordKind identifies a Record on disk: never renumber, never reuse.
type recordKind byte

const (
	kindClusterIDSet         recordKind = 1
	kindBrokerRegistered     recordKind = 2
	kindTopicCreated         recordKind = 3
	kindTopicDeleted         recordKind = 4
	kindPartitionsAdded      recordKind = 5
	kindConfigChanged        recordKind = 6
	kindProducerIDsAllocated recordKind = 7
	kindPartitionChanged     recordKind = 8
	kindBrokerUnregistered   recordKind = 9
	kindFeatureSet           recordKind = 10
	kindQuotaChanged         recordKind = 11
)

// ClusterIDSet names the cluster. It happens once, by the first leader.
type ClusterIDSet struct{ ID string }

// BrokerRegistered says that a broker process started, or restarted with other addresses.
type BrokerRegistered struct{ Broker Broker }

// TopicCreated says that a topic exists, with all its partitions and explicit configs.
type TopicCreated struct{ Topic Topic }

// TopicDeleted says that a topic and its data are gone.
type TopicDeleted struct{ ID TopicID }

// PartitionsAdded says that a topic got more partitions. First is the number of the first one.
type PartitionsAdded struct {
	Topic      TopicID
	First      int32
	Partitions []Partition
}

// ConfigChanged says that one dynamic config was set, or removed (Value nil). Exactly one of Topic, Broker, Group
// and Subscription applies, as Scope says.
type ConfigChanged struct {
	Scope  ConfigScope
	Topic  TopicID
	Broker raft.NodeID // raft.NoNode: the default of all brokers
	Group  string
	// Subscription is the name of a subscription to clients' metrics.
	Subscription string

	Key   string
	Value *string
}

// ConfigScope says what a config belongs to.
type ConfigScope byte

// The scopes; their numbers are those of Kafka's resource types.
const (
	ScopeTopic  ConfigScope = 2
	ScopeBroker ConfigScope = 4
	ScopeGroup  ConfigScope = 32

	ScopeClientMetrics ConfigScope = 16
)

// ProducerIDsAllocated says that all producer ids below Next are taken.
type ProducerIDsAllocated struct{ Next int64 }

// PartitionChanged says where a partition is from now on: a reassignment began, was replaced by another, went back or ended.
// Its Epoch is higher than what the partition had.
type PartitionChanged struct {
	Topic     TopicID
	Number    int32
	Partition Partition
}

// BrokerUnregistered says that a broker was removed from the cluster for good, or until it registers again.
type BrokerUnregistered struct{ ID raft.NodeID }

// FeatureSet says which level of a feature is finalized; 0 switches it off.
type FeatureSet struct {
	Name  string
	Level int16
}

// QuotaChanged says that one quota of an entity was set, or removed (Value nil).
type QuotaChanged struct {
	Entity QuotaEntity
	Key    string // Kafka's name, such as producer_byte_rate
	Value  *float64
}

func (ClusterIDSet) kind() recordKind         { return kindClusterIDSet }
func (BrokerRegistered) kind() recordKind     { return kindBrokerRegistered }
func (TopicCreated) kind() recordKind         { return kindTopicCreated }
func (TopicDeleted) kind() recordKind         { return kindTopicDeleted }
func (PartitionsAdded) kind() recordKind      { return kindPartitionsAdded }
func (ConfigChanged) kind() recordKind        { return kindConfigChanged }
func (ProducerIDsAllocated) kind() recordKind { return kindProducerIDsAllocated }
func (PartitionChanged) kind() recordKind     { return kindPartitionChanged }
func (BrokerUnregistered) kind() recordKind   { return kindBrokerUnregistered }
func (FeatureSet) kind() recordKind           { return kindFeatureSet }
func (QuotaChanged) kind() recordKind         { return kindQuotaChanged }
