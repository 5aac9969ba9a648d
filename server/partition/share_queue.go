package partition

import (
	"encoding/binary"
	"math"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/share"
)

// maxQueueSegmentBytes bounds the segments of a queue: space is given back in whole segments.
const maxQueueSegmentBytes = 64 << 20

func (m *Manager) queueSegment() int64 {
	if m.QueueSegmentBytes > 0 {
		return min(m.QueueSegmentBytes, maxQueueSegmentBytes)
	}
	return maxQueueSegmentBytes
}

// NothingNeeded is the floor of a partition that no consumer group reads.
const NothingNeeded = log.Offset(math.MaxInt64)

// IsQueue says whether records are deleted when they are acknowledged (cleanup.policy=ack).
func (p *Partition) IsQueue() bool { return p.config.Load().CleanupAck }

// Leads says whether this replica may speak for the partition.
func (p *Partition) Leads() bool {
	_, _, err := p.leader(-1)
	return err == nil
}

// Reclaimable is what a queue's share groups had done with at some time.
type Reclaimable struct {
	to     log.Offset
	epoch  log.Epoch
	shared bool // there were share groups
}

// Reclaimable returns what every share group has done with by now, if this replica leads a queue and that is anything. It is to
// be asked before the consumer groups are: a group that comes after them has a right to all that is produced from then on, also to
// what the share groups are done with at once.
func (p *Partition) Reclaimable() (r Reclaimable, ok bool) {
	_, l, err := p.leader(-1)
	if err != nil || !p.IsQueue() {
		return Reclaimable{}, false
	}
	starts := p.machine.shareStarts()
	r = Reclaimable{to: p.highWatermark(), epoch: l.Epoch, shared: len(starts) > 0}
	for _, start := range starts {
		r.to = min(r.to, start)
	}
	return r, r.to > p.logStartOffset()
}

// ReclaimQueue deletes what every group has done with: its share groups, those that came meanwhile too, and the consumer groups, of
// which committed is the lowest offset that any still needs (NothingNeeded when there is none). What no group has ever worked on
// stays: a queue waits for its workers. It does not wait: what does not commit is proposed again at the next call.
func (p *Partition) ReclaimQueue(r Reclaimable, committed log.Offset) {
	g := p.group.Load()
	starts := p.machine.shareStarts()
	if g == nil || committed == NothingNeeded && (!r.shared || len(starts) == 0) {
		return
	}
	to := min(r.to, committed)
	for _, start := range starts {
		to = min(to, start)
	}
	p.proposeStart(g, r.epoch, to)
}

// proposeStart proposes a log start offset that was decided as the leader of an epoch.
func (p *Partition) proposeStart(g *raft.Group, epoch log.Epoch, to log.Offset) {
	if to > p.logStartOffset() {
		g.ProposeIn(epoch, batch.KindLogStart, binary.BigEndian.AppendUint64(nil, uint64(to)))
	}
}

// ExpireQueue gives up, in every share group, what a queue with cleanup.policy=ack,delete has held for longer than retention.ms, or
// beyond retention.bytes, and deletes it once no dead letter of it is due.
func (p *Partition) ExpireQueue() {
	g, l, err := p.leader(-1)
	c := p.config.Load()
	if err != nil || !c.CleanupAck || !c.CleanupDelete {
		return
	}
	to := p.expiryPoint(c.RetentionMs, c.RetentionBytes)
	if to <= p.logStartOffset() {
		return
	}
	p.expireBelow(to)
	for _, start := range p.machine.shareStarts() {
		to = min(to, start) // below it all is decided, and what was to be written is
	}
	p.proposeStart(g, l.Epoch, to)
}

// expiryPoint is the offset before which all is too old, or too much.
func (p *Partition) expiryPoint(ms, bytes int64) log.Offset {
	hw := p.highWatermark()
	to := p.plog.RetentionPoint(-1, bytes, hw, p.now())
	if ms < 0 {
		return to
	}
	oldest := p.now().Add(-milliseconds(ms)).UnixMilli()
	found, ok, err := p.plog.OffsetForTime(oldest, p.logStartOffset(), hw)
	switch {
	case err != nil:
		return to
	case !ok:
		return hw
	}
	return max(to, min(found.Offset, hw))
}

func (p *Partition) expireBelow(to log.Offset) {
	s := &p.shares
	for _, id := range p.machine.shareIDs() {
		s.mu.Lock()
		if g, err := p.share(id); err == nil {
			readable := min(to, p.shareEnd(g)) // what a transaction may yet abort has no dead letter
			p.changeAll(g, func() share.Change { return g.leader.ExpireBelow(readable, g.policy) })
			p.wakeShareIfAny(g) // it may have ended locks
		}
		s.mu.Unlock()
	}
}

func (m *machine) shareStarts() []log.Offset {
	m.mu.Lock()
	defer m.mu.Unlock()
	starts := make([]log.Offset, 0, len(m.shares))
	for _, s := range m.shares {
		starts = append(starts, s.Start())
	}
	return starts
}

// From which size on an active segment that holds nothing but what is deleted is replaced: while records come and go, and when
// none have come since the last look.
const (
	drainedBytes = 256 << 10
	restingBytes = 4 << 10
)

// giveBack deletes the active segment of a log whose records are all deleted. Every replica does so for itself.
func (p *Partition) giveBack() error {
	g := p.group.Load()
	if g == nil {
		return nil
	}
	least, last := int64(drainedBytes), p.plog.LastIndex()
	if last == p.seen {
		least = restingBytes
	}
	p.seen = last
	rolled, err := p.plog.RollDrained(p.logStartOffset(), least)
	if err != nil || !rolled {
		return err
	}
	return g.Checkpoint() // which deletes what is below the log start
}

// Queues returns the partitions of queues that this node leads and that hold records.
func (m *Manager) Queues() []*Partition {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var led []*Partition
	for _, r := range m.replicas {
		if p := r.partition; p != nil && p.IsQueue() && p.highWatermark() > p.logStartOffset() && p.Leads() {
			led = append(led, p)
		}
	}
	return led
}
