package handler

import (
	"context"

	"balsa/internal/invariant"
	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/partition"
)

// Partitions finds the replicas of this node. It is what handlers use of *partition.Manager; see LocalPartitions.
type Partitions interface {
	// Get returns kerr.UnknownTopicOrPartition or kerr.NotLeaderForPartition (no replica here), possibly wrapped.
	Get(topic cluster.TopicID, partition int32) (Replica, error)
	// Size returns the bytes of this node's replica of a partition, of an internal topic's also; ok is false when it has none.
	Size(topic cluster.TopicID, partition int32) (bytes int64, ok bool)
	NewWaiter(minBytes int64, readCommitted bool) Waiter
}

// Replica is what handlers use of *partition.Partition; the contracts are written there.
type Replica interface {
	MinInsyncReplicas() int
	Verify(h batch.Header, epochBump bool) (*partition.Verification, error)
	Release(h batch.Header, v *partition.Verification)
	Produce(b batch.Batch, v *partition.Verification) (Append, error)
	Producers() []partition.ProducerState
	HasUpTo(node raft.NodeID, o log.Offset) bool
	Fetch(a partition.FetchArgs) (partition.Fetched, error)
	Watch(w Waiter, known log.Offset)
	Unwatch(w Waiter)
	ListOffset(timestamp int64, currentEpoch log.Epoch, readCommitted bool) (log.TimestampedOffset, error)
	EpochEnd(currentEpoch, epoch log.Epoch) (log.Epoch, log.Offset, error)
	DeleteRecords(ctx context.Context, before log.Offset) (log.Offset, error)
	SharePartitions
}

// SharePartitions is what handlers use of the share partitions that groups have at a replica (KIP-932).
type SharePartitions interface {
	ShareAcquire(a partition.ShareAcquire) (ShareAcquiring, error) // nil, nil: nothing is there
	ShareAcknowledge(a partition.ShareAcknowledge) (ShareChange, error)
	ShareRelease(group, member string)
	ShareWatch(w Waiter, group string)
	ShareUnwatch(w Waiter, group string, done bool)
	ShareHanded(w Waiter) ShareAcquiring // nil: nothing
	ShareReturn(group, member string, a ShareAcquiring)
}

// ShareAcquiring is what handlers use of *partition.ShareAcquiring.
type ShareAcquiring interface {
	Taken() (records, bytes int)
	Wait(ctx context.Context) (partition.ShareRecords, error)
}

// ShareChange is what handlers use of *partition.ShareChange.
type ShareChange interface {
	Wait(ctx context.Context) error
}

// Append is what handlers use of *partition.Append.
type Append interface {
	Wait(ctx context.Context) (partition.Produced, error)
	Settled() bool
}

// Waiter is what handlers use of *partition.Waiter.
type Waiter interface {
	C() <-chan struct{}
	Offer(a partition.ShareAcquire)
	Withdraw()
}

// LocalPartitions lets handlers use m.
func LocalPartitions(m *partition.Manager) Partitions { return localPartitions{m} }

type localPartitions struct{ manager *partition.Manager }

func (l localPartitions) Get(topic cluster.TopicID, p int32) (Replica, error) {
	found, err := l.manager.Get(topic, p)
	if err != nil {
		return nil, err
	}
	return localReplica{found}, nil
}

func (l localPartitions) Size(topic cluster.TopicID, p int32) (bytes int64, ok bool) {
	return l.manager.Size(topic, p)
}

func (localPartitions) NewWaiter(minBytes int64, readCommitted bool) Waiter {
	return partition.NewWaiter(minBytes, readCommitted)
}

type localReplica struct{ *partition.Partition }

func (r localReplica) Produce(b batch.Batch, v *partition.Verification) (Append, error) {
	a, err := r.Partition.Produce(b, v)
	if err != nil {
		return nil, err // not a nil *partition.Append in a non-nil interface
	}
	return a, nil
}

func (r localReplica) Watch(w Waiter, known log.Offset) {
	r.Partition.Watch(partitionWaiter(w), known)
}
func (r localReplica) Unwatch(w Waiter) { r.Partition.Unwatch(partitionWaiter(w)) }

func (r localReplica) ShareAcquire(a partition.ShareAcquire) (ShareAcquiring, error) {
	taken, err := r.Partition.ShareAcquire(a)
	if taken == nil || err != nil {
		return nil, err // not a nil *partition.ShareAcquiring in a non-nil interface
	}
	return taken, nil
}

func (r localReplica) ShareAcknowledge(a partition.ShareAcknowledge) (ShareChange, error) {
	c, err := r.Partition.ShareAcknowledge(a)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (r localReplica) ShareWatch(w Waiter, group string) {
	r.Partition.ShareWatch(partitionWaiter(w), group)
}

func (r localReplica) ShareUnwatch(w Waiter, group string, done bool) {
	r.Partition.ShareUnwatch(partitionWaiter(w), group, done)
}

func (r localReplica) ShareHanded(w Waiter) ShareAcquiring {
	if handed := r.Partition.ShareHanded(partitionWaiter(w)); handed != nil {
		return handed
	}
	return nil
}

func (r localReplica) ShareReturn(group, member string, a ShareAcquiring) {
	handed, ok := a.(*partition.ShareAcquiring)
	invariant.Check(ok, "acquisition of another kind: %T", a)
	r.Partition.ShareReturn(group, member, handed)
}

func partitionWaiter(w Waiter) *partition.Waiter {
	pw, ok := w.(*partition.Waiter)
	invariant.Check(ok, "waiter of another kind: %T", w)
	return pw
}
