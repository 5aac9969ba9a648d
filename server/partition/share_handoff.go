package partition

import (
	"sync"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/share"
)

// A record for which a worker waits is given to him in the same breath in which it is produced: the entry that says so is proposed right
// behind the record, so that one round of replication carries both, and the worker has it as soon as a consumer would who keeps no
// account. Whatever is not plain (records that others have to be looked at before, keys, delays, transactions, a lock that is taken) is
// left to ShareAcquire, which those who wait are woken for when the record is appended.

// shareOffer is what a parked share fetch would take. It is open from Waiter.Offer to Waiter.Withdraw; in between a partition may fulfil it,
// once.
type shareOffer struct {
	mu     sync.Mutex
	open   bool
	wanted ShareAcquire
	handed *ShareAcquiring
	by     *Partition
}

// Offer lets the partitions that w watches for a share group hand it what a has. It fires then.
func (w *Waiter) Offer(a ShareAcquire) {
	o := &w.offer
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open, o.wanted = true, a
}

// isOpen does not wait for a partition that is about to fulfil the offer: that may take as long as its followers do.
func (o *shareOffer) isOpen() bool {
	if !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	return o.open
}

// Withdraw ends the offer: after it nothing is handed over any more.
func (w *Waiter) Withdraw() {
	o := &w.offer
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open = false
}

// ShareHanded returns what this partition has handed to w, which is withdrawn; nil: nothing.
func (p *Partition) ShareHanded(w *Waiter) *ShareAcquiring {
	if w.offer.by != p {
		return nil
	}
	return w.offer.handed
}

// ShareReturn releases what was acquired for a member that is not there any more. It does not wait. What the member has acquired again
// since, in another session, it keeps.
func (p *Partition) ShareReturn(group, member string, a *ShareAcquiring) {
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := p.share(group)
	if err != nil {
		return // its lock ends
	}
	var acks []share.Ack
	for _, r := range a.records.Acquired {
		if g.leader.Delivered(r) {
			acks = append(acks, share.Ack{First: r.First, Last: r.Last, Types: []share.AckType{share.Release}})
		}
	}
	if len(acks) == 0 {
		return
	}
	c, err := g.leader.Acknowledge(share.AcknowledgeArgs{Member: member, Now: p.now().UnixMilli(), Policy: g.policy, Acks: acks})
	if err == nil {
		p.changed(g, c)
		p.wakeShareIfAny(g)
	}
}

// produced takes note of a data batch that was proposed, and returns the offset it will get. The caller holds p.mu since lead.
func (p *Partition) produced(h *batch.Header) log.Offset {
	base := p.next
	p.next += log.Offset(h.LastOffsetDelta) + 1
	return base
}

// maxHandOff bounds the bytes of a batch that is handed over: behind a large one the proposal might have to wait for room in flight, with
// the partition's locks held.
const maxHandOff = 1 << 20

// handOff gives a batch that was just proposed, to be at an offset, to those who wait for records. The caller holds p.mu.
func (p *Partition) handOff(l raft.Leadership, b batch.Batch, h batch.Header, base log.Offset) {
	if p.parked.count.Load() == 0 {
		return
	}
	h.BaseOffset = base
	switch {
	case h.IsTransactional(), h.IsControl(), int64(h.Count) != int64(h.LastOffsetDelta)+1:
		return
	case len(b) > maxHandOff, p.config.Load().CleanupAck && mayDelay(b, &h):
		return
	}
	s := &p.shares
	if !s.mu.TryLock() {
		return // nobody who produces waits for who reads
	}
	defer s.mu.Unlock()
	var took []string
	for group, w := range p.parked.offers() {
		if g, err := p.share(group); err == nil && s.leading == l && p.handTo(g, w, b, &h) {
			took = append(took, group)
		}
	}
	if len(took) > 0 {
		p.parked.handed(handedBatch{end: h.NextOffset(), bytes: int64(len(b)), groups: took}, p.plog.NextOffset)
	}
}

// handTo gives a batch to one who waits, and says whether all of it is taken. The caller holds p.mu and p.shares.mu.
func (p *Partition) handTo(g *shareGroup, w *Waiter, b batch.Batch, h *batch.Header) bool {
	if g.config.ReadCommitted || g.config.KeyOrder || !g.acquiring.TryLock() {
		return false
	}
	defer g.acquiring.Unlock()
	if _, _, unknown := g.leader.NeedsKeys(g.policy); unknown {
		return false
	}
	if from, ok := g.leader.NextFetch(g.policy); !ok || from != h.BaseOffset || p.group.Load().Space() == raft.SpaceCritical {
		return false
	}
	o := &w.offer
	if !o.mu.TryLock() {
		return false // another partition is about to fulfil it, and may have to wait for its followers
	}
	defer o.mu.Unlock()
	a := &o.wanted
	if !o.open || len(b) < a.MinBytes || len(b) > a.MaxBytes && !a.MinOne || !a.Memory.Grow(int64(len(b))) {
		return false
	}
	args := share.AcquireArgs{
		Member: a.Member, Now: p.now().UnixMilli(), Policy: g.policy, LockMs: lockFor(a.Lock),
		MaxRecords: a.MaxRecords, BatchSize: a.BatchSize, RecordLimit: a.RecordLimit,
		Batches: []share.Batch{{First: h.BaseOffset, Last: h.LastOffset()}},
	}
	atMost(p.fairPart(g, int(h.Count)), &args)
	acquired, change := g.leader.Acquire(args)
	if len(acquired) == 0 {
		p.changed(g, change)
		a.Memory.Settle()
		return false
	}
	proposal := p.proposeBehind(g, change, h.NextOffset())
	if proposal.Failed() { // leadership is being handed over, and may yet stay: the record is for who looks then
		a.Memory.Settle()
		return false
	}
	a.Memory.Keep(len(b))
	o.open, o.by = false, p
	o.handed = &ShareAcquiring{
		ShareChange: ShareChange{proposals: []*raft.Proposal{proposal}},
		records:     ShareRecords{Acquired: acquired}, size: len(b), later: func() ([]byte, error) { return p.readBatch(h.BaseOffset, len(b)) },
	}
	o.handed.count = countRecords(acquired)
	p.armShare(g)
	w.wake()
	return o.handed.count == int(h.Count)
}

// proposeBehind replicates a decision about records that are not written yet: it counts only if they are what is written last before it. The
// caller holds p.shares.mu since it decided.
func (p *Partition) proposeBehind(g *shareGroup, c share.Change, end log.Offset) *raft.Proposal {
	p.proposeKept(g) // not with it: what was decided before counts in any case
	e := shareEntry{op: shareChanged, group: g.id, change: c}
	proposal := p.group.Load().ProposeBehind(p.shares.leading.Epoch, end, batch.KindShare, e.encode())
	g.flight = append(g.flight, proposal)
	return proposal
}

// readBatch returns the batch at an offset.
func (p *Partition) readBatch(base log.Offset, size int) ([]byte, error) {
	slice, err := p.plog.Read(base, base+1, size, true)
	if err != nil {
		return nil, readError(err)
	}
	defer slice.Release()
	return slice.AppendTo(nil)
}
