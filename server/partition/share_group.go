package partition

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/share"
)

// shareGroups is what the partition's leader holds of its share groups, beyond what is replicated.
type shareGroups struct {
	mu      sync.Mutex // orders decisions: held from a decision to its proposal
	leading raft.Leadership
	groups  map[string]*shareGroup // in the term of leading
	asked   map[string]askedShare  // by group, for fenceShare
}

// shareGroup is one share group at the partition's leader. Its fields are guarded by shareGroups.mu, except acquiring.
type shareGroup struct {
	id string
	// acquiring lets one acquisition at a time read records, so that two do not read the same ones to find that one was late.
	acquiring sync.Mutex

	// leader decides. It is nil when its copy of the state is not to be trusted: a proposal failed, or the state was replaced. Once
	// nothing is in flight a new one starts from what is replicated.
	leader *share.Leader
	kept   *keptShare       // decisions that wait for company; nil: none
	flight []*raft.Proposal // in order, not known to be settled
	// snapshot is the last shareSnapshot that was proposed; nil once it is settled.
	snapshot *raft.Proposal

	timer   *time.Timer // fires at armed
	armed   int64       // ms since 1970; 0: not armed
	burying bool        // a goroutine writes dead letters

	image  *cluster.Image // for which the next two hold
	config cluster.ShareConfig
	policy share.Policy
}

// maxShareGroups bounds the share groups of one partition.
const maxShareGroups = 10_000

// maxShareWindow bounds, for each group, the records that were looked at and neither decided nor acquired: delayed ones, and those
// that wait for another of their key.
const maxShareWindow = 1_000_000

// maxShareRuns bounds the runs of each group's window: what is decided out of order takes memory too while it is of different kinds. As many
// as maxShareWindow records may need.
const maxShareRuns = 2 * maxShareWindow

// share returns what decides about a group's records here, with which and in whose term to propose. The caller holds p.shares.mu.
// Errors: NOT_LEADER_OR_FOLLOWER, GROUP_ID_NOT_FOUND for a group that was never initialised here, KAFKA_STORAGE_ERROR while what
// failed is being settled.
func (p *Partition) share(id string) (*shareGroup, error) {
	if err := p.leadShares(); err != nil {
		return nil, err
	}
	s := &p.shares
	g := s.groups[id]
	if g == nil {
		g = &shareGroup{id: id}
	}
	if g.settle(); g.leader == nil {
		p.proposeKept(g)
		if len(g.flight) > 0 {
			return nil, fmt.Errorf("%w: the state of share group %q is being recovered", kerr.KafkaStorageError, id)
		}
		replicated := p.machine.shareState(id)
		if replicated == nil {
			p.dropShare(g)
			return nil, fmt.Errorf("%w: share group %q has no state in %s-%d", kerr.GroupIDNotFound, id, p.Topic, p.ID.Partition)
		}
		g.leader = share.NewLeader(replicated)
	}
	s.groups[id] = g
	if start := p.logStartOffset(); g.leader.Start() < start {
		g.leader.AdvanceStart(start)
	}
	if image := p.image(); image != g.image {
		g.configure(image, p.shareConfig(id))
	}
	if next := g.leader.NextDeadline(); next != 0 && next <= p.now().UnixMilli() {
		p.expireShare(g)
	}
	return g, nil
}

// leadShares fails unless this replica leads. What an earlier term left is dropped: a leader that is ready has applied everything
// of it. The caller holds p.shares.mu.
func (p *Partition) leadShares() error {
	_, l, err := p.leader(-1)
	if err != nil {
		return err
	}
	if s := &p.shares; l != s.leading {
		p.dropShares()
		s.leading = l
	}
	return nil
}

// shareState returns a copy of a group's replicated state; nil when it has none.
func (m *machine) shareState(id string) *share.Partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.shares[id]; s != nil {
		return s.Clone()
	}
	return nil
}

func (p *Partition) shareConfig(id string) cluster.ShareConfig {
	return p.resolver.ShareConfig(p.image(), id, p.config.Load().CleanupAck)
}

func (g *shareGroup) configure(image *cluster.Image, c cluster.ShareConfig) {
	g.image, g.config = image, c
	g.policy = share.Policy{
		LockMs: c.LockDuration.Milliseconds(), DeliveryLimit: c.DeliveryLimit, MaxLocks: c.MaxLocks, MaxWindow: maxShareWindow, MaxRuns: maxShareRuns,
		DeadLetters: c.DeadLetterTopic != "", Renew: c.Renew, Ordered: c.KeyOrder,
	}
}

// settle takes out what is no longer in flight. When something failed, the leader's copy holds what nobody else will know.
func (g *shareGroup) settle() {
	for len(g.flight) > 0 && g.flight[0].Settled() {
		if g.flight[0].Failed() {
			g.leader = nil
		}
		g.flight = g.flight[1:]
	}
	if len(g.flight) == 0 {
		g.flight = nil
	}
}

// stop ends what goes on by itself.
func (g *shareGroup) stop() {
	g.leader = nil
	if g.timer != nil {
		g.timer.Stop()
	}
}

// dropShares forgets what the leader holds of all groups. The caller holds p.shares.mu.
func (p *Partition) dropShares() {
	for _, g := range p.shares.groups {
		p.dropShare(g)
	}
}

// dropShare forgets what the leader holds of a group. The caller holds p.shares.mu.
func (p *Partition) dropShare(g *shareGroup) {
	p.proposeKept(g)
	g.stop()
	delete(p.shares.groups, g.id)
}

// proposeShare replicates an entry about g. The caller holds p.shares.mu since it decided.
func (p *Partition) proposeShare(g *shareGroup, e shareEntry) *raft.Proposal {
	proposal := p.group.Load().ProposeIn(p.shares.leading.Epoch, batch.KindShare, e.encode())
	g.flight = append(g.flight, proposal)
	return proposal
}

// changed replicates a decision that g.leader made, and sees to what follows from it: who waits for records, what is due later, and
// dead letters. It returns nil when nothing changed. The caller holds p.shares.mu.
func (p *Partition) changed(g *shareGroup, c share.Change) *raft.Proposal {
	var proposal *raft.Proposal
	if !c.Empty() {
		proposal = p.proposeChange(g, c)
	}
	p.armShare(g)
	p.bury(g)
	return proposal
}

// armShare sets the timer for what comes next in time: the end of a lock or of a delay. The caller holds p.shares.mu.
func (p *Partition) armShare(g *shareGroup) {
	next := g.leader.NextDeadline()
	if next == g.armed {
		return
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	g.armed = next
	if next == 0 {
		return
	}
	// At least a millisecond: the deadline is one of whole milliseconds, and the clock may stand a little before it.
	wait := max(time.UnixMilli(next).Sub(p.now()), time.Millisecond)
	g.timer = time.AfterFunc(wait, func() { p.tickShare(g) })
}

// tickShare does what time has done to g.
func (p *Partition) tickShare(g *shareGroup) {
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[g.id] != g {
		return // of another term
	}
	g.armed = 0
	if _, err := p.share(g.id); err != nil {
		return // Partition.tick comes back to it
	}
	p.armShare(g) // nothing may have been due yet
}

// expireShare ends locks and delays that are over. The caller holds p.shares.mu.
func (p *Partition) expireShare(g *shareGroup) {
	now := p.now().UnixMilli()
	if p.changeAll(g, func() share.Change { return g.leader.Tick(now, g.policy) }) {
		p.parked.forgetHanded(g.id)
		p.parked.freed(g.id)
	}
}

// changeAll replicates decisions, each of a bounded size, until there is none left to make. It says whether there was any. The
// caller holds p.shares.mu.
func (p *Partition) changeAll(g *shareGroup, decide func() share.Change) bool {
	any := false
	for {
		c := decide()
		p.changed(g, c)
		if c.Empty() {
			return any
		}
		any = true
	}
}

// tickShares sees to it that nothing is left lying after a change of leadership, or a failure: locks end also when nobody asks, and
// what a fetch was woken for and could not take is for another.
func (p *Partition) tickShares() {
	ids := p.machine.shareIDs()
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.leadShares(); err != nil {
		p.dropShares() // what another leader decides makes it stale
		return
	}
	ids = slices.AppendSeq(ids, maps.Keys(s.groups)) // those that were deleted are forgotten thereby
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if g, err := p.share(id); err == nil {
			p.armShare(g)
			p.bury(g)
			p.wakeShareIfAny(g)
		}
	}
}

func (m *machine) shareIDs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, len(m.shares))
	for id := range m.shares {
		ids = append(ids, id)
	}
	return ids
}

// ShareWatch registers w, which fires when records may have become available to a share group. Register it before trying to
// acquire, so that nothing in between is missed.
func (p *Partition) ShareWatch(w *Waiter, group string) {
	p.parked.add(group, p.shareConfig(group).ReadCommitted, w)
}

// ShareUnwatch removes w. done says that who waited will not look again now: what it has left is for another.
func (p *Partition) ShareUnwatch(w *Waiter, group string, done bool) {
	p.parked.remove(group, w)
	if !done || p.parked.waiting(group) == 0 {
		return
	}
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := p.share(group)
	if err != nil {
		p.parked.wakeNext(group) // to find out why
		return
	}
	if p.shareAwaits(g) {
		p.parked.wakeNext(group)
	}
}

// shareEnd is the offset that a group may read up to. That is beyond the high watermark: who is given a record gets it when it is
// replicated that he has it, and the record, which is before that in the log, is so then too. The caller holds p.shares.mu.
func (p *Partition) shareEnd(g *shareGroup) log.Offset {
	if g.config.ReadCommitted {
		return min(p.stable(), p.highWatermark())
	}
	return p.plog.NextOffset()
}
