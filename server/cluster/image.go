// Package cluster is the cluster's metadata as a pure state machine: an immutable Image of brokers, topics, partitions,
// configs and producer-id blocks, the records that change it, and the decisions that produce records.
//
// A decision (Decider) reads an Image and a request and returns records with the response; it changes nothing. The records
// go through the metadata group as one entry, and every broker's Machine applies them to its Image, without clock,
// randomness or I/O. The formats of entries and snapshots are described in FORMAT.md.
package cluster

import (
	"cmp"
	"encoding/base64"
	"maps"
	"slices"
	"strings"

	"balsa/raft"
)

// TopicID is a topic's UUID.
type TopicID [16]byte

// CoordinatorTopic is the reserved id under which the coordinator shards are placed like partitions. Clients see them as OffsetsTopic,
// with another id.
var CoordinatorTopic = TopicID{15: 1}

// CoordinatorShards is the number of coordinator shards: the partitions of CoordinatorTopic. Groups and transactional ids
// are spread over them by hash, so the number is fixed for the life of a cluster.
const CoordinatorShards = 16

// CoordinatorReplicas is the replication factor of the coordinator shards in a cluster with at least as many brokers.
const CoordinatorReplicas = 3

// String returns the id as Kafka shows UUIDs: URL-safe base64 without padding.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// Compare orders topic ids bytewise.
func (id TopicID) Compare(other TopicID) int { return slices.Compare(id[:], other[:]) }

// Broker is a registered broker.
type Broker struct {
	ID          raft.NodeID
	Incarnation [16]byte // new at every start of the process
	Host        string   // advertised to Kafka clients
	Port        int32
	PeerAddress string // host:port for other brokers
	Rack        string
}

// Topic is a topic or, with id CoordinatorTopic, the coordinator shards. It is immutable, like the Image that holds it: an
// unchanged topic keeps its pointer from one image to the next, so comparing pointers tells whether it changed.
type Topic struct {
	ID         TopicID
	Name       string
	Partitions []Partition
	Configs    map[string]string // only what was set explicitly
}

// Image is immutable: Apply of records makes the next one, which shares with it all that did not change. Zero value is not
// usable; see NewImage.
type Image struct {
	Version       uint64 // Raft index of the last entry that took effect
	ClusterID     string
	Brokers       map[raft.NodeID]Broker
	Topics        map[TopicID]*Topic
	TopicsByName  map[string]*Topic                 // with OffsetsTopic
	BrokerConfigs map[raft.NodeID]map[string]string // raft.NoNode: cluster-wide defaults
	GroupConfigs  map[string]map[string]string
	ClientMetrics map[string]map[string]string // configs of subscriptions to clients' metrics (KIP-714)
	NextProducer  int64                        // first producer id not yet handed out in a block
	// Unregistered are the brokers that were removed from the cluster and did not come back: they hold no replicas, not even if
	// they are among the initial brokers.
	Unregistered map[raft.NodeID]bool
	Features     map[string]int16                   // finalized levels, 0: off; see Feature
	Quotas       map[QuotaEntity]map[string]float64 // by Kafka's name of the quota, such as producer_byte_rate
}

// NewImage returns the image of a cluster in which nothing happened yet.
func NewImage() *Image {
	return &Image{
		Brokers:       map[raft.NodeID]Broker{},
		Topics:        map[TopicID]*Topic{},
		TopicsByName:  map[string]*Topic{},
		BrokerConfigs: map[raft.NodeID]map[string]string{},
		GroupConfigs:  map[string]map[string]string{},
		ClientMetrics: map[string]map[string]string{},
		Unregistered:  map[raft.NodeID]bool{},
		Features:      map[string]int16{},
		Quotas:        map[QuotaEntity]map[string]float64{},
	}
}

// Partition returns partition p of a topic; ok is false when the topic or partition does not exist.
func (img *Image) Partition(id TopicID, p int32) (partition Partition, ok bool) {
	t := img.Topics[id]
	if t == nil || p < 0 || int(p) >= len(t.Partitions) {
		return Partition{}, false
	}
	return t.Partitions[p], true
}

// SortedBrokers returns the registered brokers by ascending id.
func (img *Image) SortedBrokers() []Broker {
	return slices.SortedFunc(maps.Values(img.Brokers), func(a, b Broker) int { return cmp.Compare(a.ID, b.ID) })
}

// SortedTopics returns the topics that clients see, internal ones included, by name.
func (img *Image) SortedTopics() []*Topic {
	return slices.SortedFunc(maps.Values(img.TopicsByName), func(a, b *Topic) int { return strings.Compare(a.Name, b.Name) })
}
