// Package partition is a replicated partition: a Raft group over a log, with the rules of Kafka's produce and fetch.
package partition

import (
	"context"

	"balsa/log"
	"balsa/log/batch"
)

// Contract skeleton; types stay, functions are replaced by the real ones. Errors that Kafka has a code for are
// *kerr.Error values (github.com/twmb/franz-go/pkg/kerr), possibly wrapped.

// Partition is one local replica. All methods are safe for concurrent use.
type Partition struct{}

// Append is a produced batch on its way.
type Append struct{}

// Produced is the outcome of an Append.
type Produced struct {
	BaseOffset     log.Offset
	LogAppendTime  int64 // ms, or -1 with CreateTime
	LogStartOffset log.Offset
}

// Produce validates b (leadership, size, CRC, records, timestamps, idempotence) and proposes it. It returns at once; the order
// of calls is the order in the log. b may be changed in place and must stay untouched until Wait returned nil or Done.
func (p *Partition) Produce(b batch.Batch) (*Append, error) { panic("skeleton") }

// Wait returns when the batch is committed, failed, or ctx is done (kerr.RequestTimedOut; it may still commit).
func (a *Append) Wait(ctx context.Context) (Produced, error) { panic("skeleton") }

// Settled says whether the outcome is known, so that the batch's memory may be reused.
func (a *Append) Settled() bool { panic("skeleton") }

// FetchArgs asks for records.
type FetchArgs struct {
	Offset             log.Offset
	MaxBytes           int
	MinOne             bool      // return the first batch even when larger than MaxBytes
	CurrentLeaderEpoch log.Epoch // -1: not checked
	LastFetchedEpoch   log.Epoch // -1: no divergence check
	ReadCommitted      bool
}

// Fetched is the answer. Slice must be released.
type Fetched struct {
	Slice            log.Slice
	HighWatermark    log.Offset
	LastStableOffset log.Offset
	LogStartOffset   log.Offset
	// DivergingEpoch and DivergingEnd are set (epoch >= 0) when the fetcher's log diverged (KIP-595 fields of Fetch v12).
	DivergingEpoch log.Epoch
	DivergingEnd   log.Offset
}

// Fetch reads committed records. Errors: NotLeaderForPartition, OffsetOutOfRange, FencedLeaderEpoch, UnknownLeaderEpoch,
// KafkaStorageError.
func (p *Partition) Fetch(a FetchArgs) (Fetched, error) { panic("skeleton") }

// Waiter is woken when watched partitions grow. One Waiter can watch many partitions.
type Waiter struct{}

// NewWaiter makes a Waiter whose C gets a value when at least minBytes were committed on all watched partitions together
// since Watch, or when any of them changed leader or log start.
func NewWaiter(minBytes int64) *Waiter { panic("skeleton") }

// C is signalled (capacity 1).
func (w *Waiter) C() <-chan struct{} { panic("skeleton") }

// Watch registers w; it fires at once if the high watermark already passed `from`'s known end, so no wake-up is lost.
func (p *Partition) Watch(w *Waiter, knownHW log.Offset) { panic("skeleton") }

// Unwatch removes w.
func (p *Partition) Unwatch(w *Waiter) { panic("skeleton") }

// ListOffset answers one ListOffsets entry: timestamp or -1 latest, -2 earliest, -3 max timestamp, -4 earliest local.
func (p *Partition) ListOffset(timestamp int64, currentEpoch log.Epoch, readCommitted bool) (log.TimestampedOffset, error) {
	panic("skeleton")
}

// EpochEnd answers OffsetForLeaderEpoch; epoch -1 and offset -1 when unknown.
func (p *Partition) EpochEnd(currentEpoch, epoch log.Epoch) (log.Epoch, log.Offset, error) {
	panic("skeleton")
}

// DeleteRecords moves the log start offset to `before` (-1: the high watermark) on all replicas; returns the new one.
func (p *Partition) DeleteRecords(ctx context.Context, before log.Offset) (log.Offset, error) {
	panic("skeleton")
}

// Size is the bytes on this disk.
func (p *Partition) Size() int64 { panic("skeleton") }

// Manager holds the local replicas.
type Manager struct{}

// Get returns the local replica by topic id and partition. kerr.UnknownTopicOrPartition when the topic or partition does not
// exist, kerr.NotLeaderForPartition when it is not on this node.
func (m *Manager) Get(topic [16]byte, partition int32) (*Partition, error) { panic("skeleton") }
