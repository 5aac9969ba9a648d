package partition

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
	"balsa/server/share"
)

// ShareAcknowledge says what became of records that a member acquired.
type ShareAcknowledge struct {
	Group, Member string
	Acks          []share.Ack
	Lock          time.Duration // of renewed records; 0: the group's share.record.lock.duration.ms
	Delay         time.Duration // after which released records become available again; 0: at once
	// Keep says that nobody waits for the outcome soon: it may be replicated some milliseconds later, with other decisions.
	Keep bool
}

// ShareAcknowledge takes acknowledgements, all or none. Errors: INVALID_RECORD_STATE when a record is not the member's (any more),
// INVALID_REQUEST for acknowledgements that make no sense, NOT_LEADER_OR_FOLLOWER, GROUP_ID_NOT_FOUND, KAFKA_STORAGE_ERROR.
func (p *Partition) ShareAcknowledge(a ShareAcknowledge) (*ShareChange, error) {
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := p.share(a.Group)
	if err != nil {
		return nil, err
	}
	if err := p.learnKeys(g); err != nil {
		return nil, err
	}
	c, err := g.leader.Acknowledge(share.AcknowledgeArgs{
		Member: a.Member, Now: p.now().UnixMilli(), Policy: g.policy, Acks: a.Acks,
		LockMs: lockFor(a.Lock), DelayMs: lockFor(a.Delay),
	})
	switch {
	case errors.Is(err, share.ErrInvalidRecordState):
		return nil, fmt.Errorf("%w: %w", kerr.InvalidRecordState, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", kerr.InvalidRequest, err)
	}
	if c.Empty() {
		// All of it is decided. That may yet be on its way, and fail.
		return &ShareChange{proposals: slices.Clone(g.flight), kept: g.kept}, nil
	}
	out := &ShareChange{}
	if a.Keep {
		out.kept = p.keep(g, c)
		c = share.Change{}
	}
	if proposal := p.changed(g, c); proposal != nil {
		out.proposals = []*raft.Proposal{proposal}
	}
	p.wakeShareIfAny(g) // those who may get what it set free
	return out, nil
}

// ShareRelease gives up what a member holds, because its session has ended. A member whose id begins with share.DetachedPrefix
// holds it by the locks alone. It does not wait: what is not replicated ends with its lock.
func (p *Partition) ShareRelease(group, member string) {
	if strings.HasPrefix(member, share.DetachedPrefix) {
		return
	}
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := p.share(group)
	if err != nil {
		return
	}
	p.changeAll(g, func() share.Change { return g.leader.ReleaseMember(member, g.policy) })
	p.wakeShareIfAny(g)
}

// wakeShareIfAny lets parked fetches of g look again, if something may have become available. The caller holds p.shares.mu.
func (p *Partition) wakeShareIfAny(g *shareGroup) {
	if from, ok := g.leader.NextFetch(g.policy); ok && from < g.leader.End() {
		p.parked.forgetHanded(g.id) // before the look: what was given back may be that, and be appended meanwhile
	}
	if p.shareAwaits(g) {
		p.parked.freed(g.id)
	}
}

// shareAwaits says whether there may be something for one of g's parked fetches. The caller holds p.shares.mu.
func (p *Partition) shareAwaits(g *shareGroup) bool {
	if p.parked.waiting(g.id) == 0 {
		return false
	}
	if _, _, needed := g.leader.NeedsKeys(g.policy); needed {
		return true // who looks learns the keys, and only then what there is
	}
	from, ok := g.leader.NextFetch(g.policy)
	return ok && from < p.shareEnd(g)
}

// lockFor is a lock or delay that a client asks for, in ms, within what is allowed.
func lockFor(d time.Duration) int64 { return min(max(d, 0), maxLock).Milliseconds() }

// maxLock is the longest that a record may be acquired for, and that one may have to wait, from when it was first looked at or released.
const maxLock = 12 * time.Hour
