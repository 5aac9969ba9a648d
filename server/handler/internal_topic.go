package handler

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/partition"
)

// internalReplica shows clients a partition of an internal topic, on its leader, as one that never had a record. What its log holds
// are entries of a state machine and no records: there is nothing of Kafka's to read in them, and nothing for clients to write.
type internalReplica struct {
	broker *Broker
	topic  *cluster.Topic
	number int32
}

var _ Replica = internalReplica{}

// leader returns who leads the partition if this broker does. currentEpoch is the epoch that the client believes in, or -1 (KIP-320).
func (r internalReplica) leader(currentEpoch log.Epoch) (raft.Leadership, error) {
	l := r.broker.Metadata.Leader(r.topic.ID, r.number)
	switch {
	case currentEpoch >= 0 && currentEpoch < l.Epoch:
		return l, kerr.FencedLeaderEpoch
	case currentEpoch > l.Epoch:
		return l, kerr.UnknownLeaderEpoch
	case l.Leader != r.broker.Node:
		return l, kerr.NotLeaderForPartition
	}
	return l, nil
}

func (r internalReplica) refused(what string) error {
	return fmt.Errorf("%w: cannot %s internal topic %s", kerr.InvalidTopicException, what, r.topic.Name)
}

func (internalReplica) MinInsyncReplicas() int { return 1 }

func (r internalReplica) Verify(batch.Header, bool) (*partition.Verification, error) {
	return nil, r.refused("append to")
}

func (internalReplica) Release(batch.Header, *partition.Verification) {}

func (r internalReplica) Produce(batch.Batch, *partition.Verification) (Append, error) {
	return nil, r.refused("append to")
}

func (internalReplica) Producers() []partition.ProducerState { return nil }

// HasUpTo sends nobody to a follower: only the leader shows the partition.
func (internalReplica) HasUpTo(raft.NodeID, log.Offset) bool { return false }

func (r internalReplica) Fetch(a partition.FetchArgs) (partition.Fetched, error) {
	if _, err := r.leader(a.CurrentLeaderEpoch); err != nil {
		return partition.Fetched{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, DivergingEpoch: -1}, err
	}
	empty := partition.Fetched{DivergingEpoch: -1}
	if a.Offset != 0 {
		return empty, kerr.OffsetOutOfRange
	}
	return empty, nil
}

// Watch does nothing: there never is anything new.
func (internalReplica) Watch(Waiter, log.Offset) {}
func (internalReplica) Unwatch(Waiter)           {}

func (r internalReplica) ListOffset(timestamp int64, currentEpoch log.Epoch, _ bool) (log.TimestampedOffset, error) {
	none := log.TimestampedOffset{Timestamp: -1, Offset: -1, Epoch: -1}
	l, err := r.leader(currentEpoch)
	if err != nil {
		return none, err
	}
	switch timestamp {
	case partition.LatestTimestamp, partition.EarliestTimestamp, partition.EarliestLocalTimestamp:
		return log.TimestampedOffset{Timestamp: -1, Offset: 0, Epoch: l.Epoch}, nil
	}
	return none, nil
}

func (r internalReplica) EpochEnd(currentEpoch, epoch log.Epoch) (log.Epoch, log.Offset, error) {
	l, err := r.leader(currentEpoch)
	if err != nil || epoch > l.Epoch {
		return -1, -1, err
	}
	return epoch, 0, nil
}

func (r internalReplica) ShareAcquire(partition.ShareAcquire) (ShareAcquiring, error) {
	_, err := r.leader(-1)
	return nil, err
}

func (r internalReplica) ShareAcknowledge(partition.ShareAcknowledge) (ShareChange, error) {
	if _, err := r.leader(-1); err != nil {
		return nil, err
	}
	return nil, kerr.InvalidRecordState // nobody ever got a record
}

func (internalReplica) ShareRelease(string, string)                {}
func (internalReplica) ShareWatch(Waiter, string)                  {}
func (internalReplica) ShareUnwatch(Waiter, string, bool)          {}
func (internalReplica) ShareHanded(Waiter) ShareAcquiring          { return nil }
func (internalReplica) ShareReturn(string, string, ShareAcquiring) {}

func (r internalReplica) DeleteRecords(context.Context, log.Offset) (log.Offset, error) {
	return -1, r.refused("delete records of")
}
