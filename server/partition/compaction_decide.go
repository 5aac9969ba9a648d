package partition

import (
	"context"
	"fmt"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
)

// compactionState returns what was decided so far.
func (p *Partition) compactionState() compaction {
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	return p.machine.compaction
}

// cleanedBy asks a node up to which offset its replica of a partition is compacted.
type cleanedBy func(ctx context.Context, node raft.NodeID, id raft.GroupID) (log.Offset, error)

// decideCompaction proposes, on the leader of a topic with cleanup.policy=compact, how far to compact, if there is enough to
// compact, and snapshots of share groups. The next decision waits until this replica has done what the last one asked for.
func (p *Partition) decideCompaction(ctx context.Context, now time.Time, ask cleanedBy) error {
	c := p.config.Load()
	g, l, err := p.leader(-1)
	if !c.CleanupCompact || err != nil || !p.decided() {
		return nil //nolint:nilerr // the leader's business
	}
	p.snapshotShares()
	state := p.compactionState()
	if p.plog.CleanedTo() < state.to {
		return nil
	}
	dirty, err := p.plog.Dirty(min(p.highWatermark(), p.lastStable()), milliseconds(c.MinCompactionLagMs), now)
	if err != nil {
		return fmt.Errorf("decide on compaction: %w", err)
	}
	if dirty.To <= state.to || !worthwhile(c, &dirty, now) {
		return nil
	}
	e := compactionEntry{To: dirty.To, After: state.to, Time: now.UnixMilli()}
	if state.ripe > 0 && now.UnixMilli()-state.ripeSince >= c.DeleteRetentionMs && allCleaned(ctx, g, p.ID, state.to, ask) {
		e.DropTo = state.ripe
	}
	p.deciding = g.ProposeIn(l.Epoch, batch.KindCompaction, e.encode())
	return nil
}

// decided says whether no decision is on its way: the next one must know it.
func (p *Partition) decided() bool {
	if p.deciding != nil && !p.deciding.Settled() {
		return false
	}
	p.deciding = nil
	return true
}

// worthwhile says whether so much is dirty, or has been for so long, that it should be compacted.
func worthwhile(c *cluster.TopicConfig, d *log.Dirty, now time.Time) bool {
	if d.Ratio() > c.MinCleanableDirtyRatio {
		return true
	}
	return d.Oldest != batch.NoTimestamp && now.UnixMilli()-d.Oldest > c.MaxCompactionLagMs
}

// allCleaned says whether every replica has compacted its log up to an offset. Then no replica, and none that copies its log
// from one of them, has anything left below it that a tombstone or a transaction marker below it is still needed for.
func allCleaned(ctx context.Context, g *raft.Group, id raft.GroupID, to log.Offset, ask cleanedBy) bool {
	members := g.Members()
	for _, m := range members {
		cleaned, err := ask(ctx, m.Node, id)
		if err != nil || cleaned < to {
			return false
		}
	}
	return len(members) > 0
}

// activeProducers returns the producers that may come back: compaction keeps what their state is found in again.
func (m *machine) activeProducers() map[int64]log.ActiveProducer {
	m.mu.Lock()
	defer m.mu.Unlock()
	active := make(map[int64]log.ActiveProducer, len(m.producers.producers))
	for id, p := range m.producers.producers {
		a := log.ActiveProducer{LastBatch: noOffset, Epoch: p.epoch}
		if n := len(p.batches); n > 0 {
			a.LastBatch = p.batches[n-1].base
		}
		active[id] = a
	}
	return active
}
