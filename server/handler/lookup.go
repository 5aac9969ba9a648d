package handler

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/protocol"
	"balsa/raft"
	"balsa/server/cluster"
)

// topicNamed returns a topic by name; UnknownTopicOrPartition.
func topicNamed(img *cluster.Image, name string) (*cluster.Topic, error) {
	if t := img.TopicsByName[name]; t != nil {
		return t, nil
	}
	return nil, kerr.UnknownTopicOrPartition
}

// topicWithID returns a topic by the id that clients know; UnknownTopicID.
func topicWithID(img *cluster.Image, id cluster.TopicID) (*cluster.Topic, error) {
	if t := img.TopicByClientID(id); t != nil {
		return t, nil
	}
	return nil, kerr.UnknownTopicID
}

// replica returns the local replica of a partition of t.
func (b *Broker) replica(t *cluster.Topic, partition int32) (Replica, error) {
	if partition < 0 || int(partition) >= len(t.Partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	if t.Internal() {
		return internalReplica{b, t, partition}, nil
	}
	return b.Partitions.Get(t.ID, partition)
}

// namedReplica returns the local replica of a partition by its topic's name.
func (b *Broker) namedReplica(img *cluster.Image, topic string, partition int32) (Replica, error) {
	t, err := topicNamed(img, topic)
	if err != nil {
		return nil, err
	}
	return b.replica(t, partition)
}

// isNotLeader says whether an answer with this code should tell who leads instead (KIP-951).
func isNotLeader(code int16) bool {
	return code == kerr.NotLeaderForPartition.Code || code == kerr.FencedLeaderEpoch.Code
}

// leaders collects the endpoints of the leaders that one answer names.
type leaders struct {
	broker *Broker
	img    *cluster.Image
	seen   []protocol.NodeEndpoint
}

// find returns the current leader of a partition and remembers where it listens; ok is false when it is unknown.
func (l *leaders) find(topic cluster.TopicID, partition int32) (id raft.NodeID, epoch int32, ok bool) {
	current := l.broker.Metadata.Leader(topic, partition)
	broker, known := l.img.Brokers[current.Leader]
	if current.Leader == raft.NoNode || !known {
		return raft.NoNode, -1, false
	}
	for _, n := range l.seen {
		if n.NodeID == int32(broker.ID) {
			return current.Leader, int32(current.Epoch), true
		}
	}
	l.seen = append(l.seen, protocol.NodeEndpoint{
		NodeID: int32(broker.ID), Host: broker.Host, Port: broker.Port, Rack: rack(broker),
	})
	return current.Leader, int32(current.Epoch), true
}

// elsewhere returns who leads a partition that this broker does not lead, and in which epoch; -1 when it knows nothing better than that
// it does itself: clients without a hint ask for the metadata again.
func (l *leaders) elsewhere(topic cluster.TopicID, partition int32) (id, epoch int32) {
	if l.broker.Metadata.Leader(topic, partition).Leader == l.broker.Node {
		return -1, -1
	}
	if leader, at, ok := l.find(topic, partition); ok {
		return int32(leader), at
	}
	return -1, -1
}

// rack returns a broker's rack, nil when it has none.
func rack(b cluster.Broker) *string {
	if b.Rack == "" {
		return nil
	}
	return &b.Rack
}
