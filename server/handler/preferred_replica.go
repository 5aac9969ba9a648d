package handler

import (
	"slices"

	"balsa/log"
	"balsa/server/cluster"
)

// rackAwareVersion is the first version of Fetch that tells the consumer's rack and can be sent to another replica (KIP-392).
const rackAwareVersion = 11

// rackAware says whether this consumer may be served by followers.
func (f *fetching) rackAware() bool { return f.broker.RackAware && f.req.Version >= rackAwareVersion }

// preferredReplica returns the replica in the consumer's rack that it should read from instead of this leader, -1 when it
// should stay: the selection of Kafka's RackAwareReplicaSelector, among those that have what comes before the consumer's offset.
// Replicas that a reassignment brings in have no more than a part of the records until it is done.
func (f *fetching) preferredReplica(img *cluster.Image, t *cluster.Topic, partition int32, r Replica, offset log.Offset) int32 {
	rack, node := f.req.Rack, f.broker.Node
	if !f.rackAware() || rack == "" || t.Internal() || img.Brokers[node].Rack == rack {
		return -1
	}
	if f.broker.Metadata.Leader(t.ID, partition).Leader != node {
		return -1
	}
	p := t.Partitions[partition]
	for _, replica := range p.Replicas {
		if replica == node || slices.Contains(p.Adding, replica) || img.Brokers[replica].Rack != rack {
			continue
		}
		if f.broker.Metadata.InService(replica, t.ID, partition) && r.HasUpTo(replica, offset) {
			return int32(replica)
		}
	}
	return -1
}
