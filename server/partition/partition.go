package partition

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
)

// Partition is one local replica. All methods are safe for concurrent use.
type Partition struct {
	Topic string
	ID    raft.GroupID

	now          func() time.Time
	logger       *slog.Logger
	image        func() *cluster.Image
	resolver     *cluster.Resolver
	letters      DeadLetters
	plog         *log.Log
	group        atomic.Pointer[raft.Group]
	machine      *machine
	config       atomic.Pointer[cluster.TopicConfig]
	queueSegment int64 // most bytes of a segment while this is a queue
	// recompress is nil when batches are stored as their producers compressed them. slots bounds how many batches are
	// compressed again at once on this node.
	recompress atomic.Pointer[batch.Recompressor]
	slots      chan struct{}

	hw       atomic.Int64 // high watermark: the offset after the last committed record
	lso      atomic.Int64 // first offset of the oldest open transaction, else the high watermark
	logStart atomic.Int64
	waiters  waiters
	parked   shareWaiters
	shares   shareGroups

	// life ends with the replica; background is what goes on meanwhile.
	life       context.Context //nolint:containedctx // it is the partition's own
	end        context.CancelFunc
	background sync.WaitGroup

	// decisionApplied is told that a decision about compaction was applied; nil when nobody wants to know. It must not block.
	decisionApplied func()
	deciding        *raft.Proposal // the last decision that this leader made; used by the cleaner's goroutine only

	seen log.Index // the end of the log at the last tick; used by the Manager's goroutine only

	mu        sync.Mutex              // orders produced batches and markers: held from the check to the proposal
	verifying map[int64]*Verification // by producer id; guarded by mu
	next      log.Offset              // that the next batch proposed in the term of leading will get: nothing else gives out offsets; guarded by mu
	leading   raft.Leadership         // in whose term verifying and machine.ahead were filled; guarded by mu
}

// TopicPartition names the partition.
func (p *Partition) TopicPartition() cluster.TopicPartition {
	return cluster.TopicPartition{Topic: p.ID.Topic, Partition: p.ID.Partition}
}

func (p *Partition) highWatermark() log.Offset  { return log.Offset(p.hw.Load()) }
func (p *Partition) logStartOffset() log.Offset { return log.Offset(p.logStart.Load()) }
func (p *Partition) lastStable() log.Offset     { return log.Offset(p.lso.Load()) }

// stable is the last stable offset as clients see it: not before the log start, which may lie within an open transaction.
func (p *Partition) stable() log.Offset { return max(p.lastStable(), p.logStartOffset()) }

// Leadership returns what this replica knows about the partition's leader.
func (p *Partition) Leadership() raft.Leadership {
	g := p.group.Load()
	if g == nil {
		return raft.Leadership{Leader: raft.NoNode}
	}
	return g.Leadership()
}

// Size returns the bytes of the partition on this disk.
func (p *Partition) Size() int64 { return p.plog.Size() }

// Offsets returns the log start offset, the high watermark and the log end offset of this replica.
func (p *Partition) Offsets() (start, hw, end log.Offset) {
	return p.logStartOffset(), p.highWatermark(), p.plog.NextOffset()
}

// leader returns the group if this replica may speak for the partition. currentEpoch is the leader epoch that the client
// believes in, or -1 (KIP-320).
func (p *Partition) leader(currentEpoch log.Epoch) (*raft.Group, raft.Leadership, error) {
	g := p.group.Load()
	if g == nil {
		return nil, raft.Leadership{}, kerr.NotLeaderForPartition
	}
	l := g.Leadership()
	if currentEpoch >= 0 && currentEpoch < l.Epoch {
		return nil, l, kerr.FencedLeaderEpoch
	}
	if currentEpoch > l.Epoch {
		return nil, l, kerr.UnknownLeaderEpoch
	}
	if l.Leader != g.Host() || !l.Ready {
		return nil, l, kerr.NotLeaderForPartition
	}
	return g, l, nil
}

// MinInsyncReplicas returns the topic's min.insync.replicas.
func (p *Partition) MinInsyncReplicas() int { return p.config.Load().MinInsyncReplicas }

// SetConfig takes a changed topic configuration.
func (p *Partition) SetConfig(c cluster.TopicConfig) {
	old := p.config.Swap(&c)
	if old == nil || old.Compression != c.Compression || old.CompressionLevel != c.CompressionLevel {
		p.recompress.Store(recompressor(c))
	}
	p.plog.SetConfig(logConfig(c, p.queueSegment))
}
