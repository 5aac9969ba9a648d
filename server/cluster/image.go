// Package cluster is the cluster's metadata as a pure state machine: an immutable Image of brokers, topics, partitions,
// configs and producer-id blocks, the records that change it, and the decisions that produce records.
package cluster

import "balsa/raft"

// TopicID is a topic's UUID.
type TopicID [16]byte

// CoordinatorTopic is the reserved id under which the coordinator shards are placed like partitions. It has no name and
// is never shown to clients.
var CoordinatorTopic = TopicID{15: 1}

// Broker is a registered broker.
type Broker struct {
	ID          raft.NodeID
	Incarnation [16]byte // new at every start of the process
	Host        string   // advertised to Kafka clients
	Port        int32
	PeerAddress string // host:port for other brokers
	Rack        string
}

// Partition is one partition's placement. Leaders are not here: Raft elects them; see server's leader table.
type Partition struct {
	Replicas []raft.NodeID // the first is the preferred leader
}

// Topic is a topic or, with id CoordinatorTopic, the coordinator shards.
type Topic struct {
	ID         TopicID
	Name       string
	Partitions []Partition
	Configs    map[string]string // only what was set explicitly
}

// Image is immutable: Apply of records makes the next one. Zero value is not usable; see NewImage.
type Image struct {
	Version       uint64 // Raft index of the last applied entry
	ClusterID     string
	Brokers       map[raft.NodeID]Broker
	Topics        map[TopicID]*Topic
	TopicsByName  map[string]*Topic
	BrokerConfigs map[raft.NodeID]map[string]string // raft.NoNode: cluster-wide defaults
	GroupConfigs  map[string]map[string]string
	NextProducer  int64 // first producer id not yet handed out in a block
}
