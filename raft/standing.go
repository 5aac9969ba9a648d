package raft

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

// A replica's vote is worth something only because the replica remembers: what it acknowledged, and for whom it voted. One that
// starts with nothing, on a node that is new, that lost its disk, or that held the group before and was removed from
// it, therefore joins: until a leader has admitted it and it stores everything that was committed up to then, it neither
// votes nor stands for election, whatever membership the entries that it receives tell of. docs/adr has the proof.
//
// The mark of a joining replica is one key in the term store. It names this life of the replica, a random number, so that
// an admission cannot be taken for that of another.

var joiningKey = []byte("Joining")

// errJoining refuses a vote.
var errJoining = errors.New("this replica joins the group and has no vote yet")

// joiner is the part of a Group that guards its votes.
type joiner struct {
	stable *stableStore // where the mark is; for the metadata group not where its votes are

	joining atomic.Bool

	mu sync.Mutex // guards what follows
	// life is a joining replica's since it began with nothing; that of any other replica since it was opened.
	life     uint64
	admitted admission
}

// admission is what a leader says: everything up to index was committed after the replica began this life.
type admission struct {
	index  log.Index
	term   uint64
	leader NodeID
}

// newLife returns a number that no other life of a replica has; never 0.
func newLife() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("make a number for a joining replica: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) | 1, nil
}

// load takes the mark from the term store.
func (j *joiner) load(stable *stableStore) error {
	j.stable = stable
	mark, err := stable.Get(joiningKey)
	if errors.Is(err, errNotFound) {
		j.life, err = newLife()
		return err
	}
	if err != nil || len(mark) != 8 {
		return fmt.Errorf("read the mark of a joining replica (%d bytes): %w", len(mark), err)
	}
	j.life = binary.BigEndian.Uint64(mark)
	j.joining.Store(true)
	return nil
}

// begin marks the replica as joining, durably.
func (j *joiner) begin() error {
	life, err := newLife()
	if err != nil {
		return err
	}
	if err := j.stable.Set(joiningKey, binary.BigEndian.AppendUint64(nil, life)); err != nil {
		return fmt.Errorf("mark a joining replica: %w", err)
	}
	j.life = life
	j.joining.Store(true)
	return nil
}

// admit takes a leader's word.
func (j *joiner) admit(life uint64, a admission) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.joining.Load() {
		return nil
	}
	if life != j.life {
		return fmt.Errorf("admission of life %016x, this is %016x", life, j.life)
	}
	if j.admitted.index == 0 {
		j.admitted = a
	}
	return nil
}

// votingGuard is a group's hraft.StableStore. While the replica joins, no vote can be recorded, and the library neither grants
// a vote that it could not record nor stands without its own.
type votingGuard struct {
	hraft.StableStore
	joiner *joiner
}

// Set implements hraft.StableStore.
func (v votingGuard) Set(key, value []byte) error {
	if string(key) == string(lastVoteCand) && v.joiner.joining.Load() {
		return errJoining
	}
	return v.StableStore.Set(key, value)
}

// SetUint64 implements hraft.StableStore.
func (v votingGuard) SetUint64(key []byte, value uint64) error {
	if string(key) == string(lastVoteTerm) && v.joiner.joining.Load() {
		return errJoining
	}
	return v.StableStore.SetUint64(key, value)
}

// settleIn ends joining when the replica has what it was admitted for. It then counts as having voted for the leader that
// admitted it, in that leader's term: it may have, in a life that it does not remember.
func (g *Group) settleIn() error {
	j := &g.joiner
	j.mu.Lock()
	defer j.mu.Unlock()
	a := j.admitted
	if !j.joining.Load() || a.index == 0 || g.raft.AppliedIndex() < uint64(a.index) {
		return nil
	}
	if g.plog != nil {
		if err := g.plog.Sync(); err != nil {
			return fmt.Errorf("join group %s: %w", g.id, err)
		}
	}
	if err := g.votes.SetUint64(lastVoteTerm, a.term); err != nil {
		return fmt.Errorf("join group %s: %w", g.id, err)
	}
	if err := g.votes.Set(lastVoteCand, []byte(a.leader.server())); err != nil {
		return fmt.Errorf("join group %s: %w", g.id, err)
	}
	if err := j.stable.unset(joiningKey); err != nil {
		return fmt.Errorf("join group %s: %w", g.id, err)
	}
	j.joining.Store(false)
	g.logger.Info("joined the group", "admitted by", a.leader, "epoch", a.term, "index", a.index)
	return nil
}

// Life returns a number that stands for what the replica remembers: one that begins anew gets another. For a replica that does not
// join it changes also with each opening.
func (g *Group) Life() uint64 {
	g.joiner.mu.Lock()
	defer g.joiner.mu.Unlock()
	return g.joiner.life
}

// Joining says whether the replica began with nothing and has no vote yet.
func (g *Group) Joining() bool { return g.joiner.joining.Load() }

// Leave forgets the terms and votes of a group that this node is no member of any more. Should it come back, it joins: it has
// forgotten what it acknowledged. The replica must be closed, and its log gone.
func (h *Host) Leave(id GroupID) error {
	if err := h.stable.rejoin([]GroupID{id}); err != nil {
		return fmt.Errorf("leave raft group %s: %w", id, err)
	}
	return nil
}

// Known returns the groups that the term store knows something of.
func (h *Host) Known() ([]GroupID, error) { return h.stable.groups() }

// Repairer can build this node's replicas anew, and knows those that cannot be opened. Its methods may be called concurrently.
type Repairer interface {
	// Damaged says whether a replica is set aside, and returns a number that stands for this occurrence; 0 if the reason is none
	// that building it anew would mend.
	Damaged(id GroupID) (occurrence uint64, aside bool)
	// Rebuild deletes what is left of a replica that was set aside, if occurrence is what Damaged returned, and lets it join anew; or
	// one that is open, if occurrence is its Life.
	Rebuild(ctx context.Context, id GroupID, occurrence uint64) error
}

// SetRepairer says who mends replicas of this node that were set aside.
func (h *Host) SetRepairer(r Repairer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.repairer = r
}
