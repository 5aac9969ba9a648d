package partition

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/raft"
	"balsa/server/share"
)

// shareFloors holds, for each coordinator shard, the latest request that deleted a group's state here. What is older must not make a
// state anew: for a group whose state is gone nothing else says what it has seen. Replicas need not agree on it, since only the
// leader looks; compaction may have removed old deletions where one copied the log.
type shareFloors map[int32]share.Epoch

func (f shareFloors) raise(e share.Epoch) {
	if was, known := f[e.Shard]; !known || was.Before(e) {
		f[e.Shard] = e
	}
}

func (f shareFloors) appendTo(b []byte) []byte {
	w := wire.Encoder{B: b}
	w.Uvarint(uint64(len(f)))
	for _, shard := range slices.Sorted(maps.Keys(f)) {
		f[shard].AppendTo(&w)
	}
	return w.B
}

func decodeShareFloors(d *wire.Decoder) shareFloors {
	const least = 3
	f := shareFloors{}
	for range d.Count(least) {
		f.raise(share.DecodeEpoch(d))
	}
	return f
}

// askedShare is the latest entry on its way that makes, replaces or deletes the whole of a group's state.
type askedShare struct {
	epoch    share.Epoch
	proposal *raft.Proposal
}

// fenceShare refuses what comes later than something that its coordinator, or the one after it, asked for since: FENCED_STATE_EPOCH.
// It says whether e has anything to do. The caller holds p.shares.mu, and the replica leads.
func (p *Partition) fenceShare(e shareEntry) (due bool, err error) {
	asked := p.shares.asked
	maps.DeleteFunc(asked, func(_ string, a askedShare) bool {
		return a.proposal.Settled() // it is in the machine, or failed
	})
	newest, there := p.machine.shareEpoch(e.group, e.epoch.Shard)
	a, changing := asked[e.group]
	if changing && !a.epoch.Before(newest) {
		newest = a.epoch
	}
	switch late := e.epoch.Before(newest); {
	case late && e.op == shareDeleted && !there && !changing:
		return false, nil
	case late:
		return false, fmt.Errorf("%w: request %v about share group %q, the newest is %v", kerr.FencedStateEpoch, e.epoch, e.group, newest)
	}
	return !there || changing || e.op != shareInitialised || newest != e.epoch, nil
}

// shareEpoch returns the newest request of a coordinator shard that counts for a group, as far as that is replicated, and whether the
// group has a state.
func (m *machine) shareEpoch(group string, shard int32) (newest share.Epoch, there bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.shares[group]; s != nil {
		return s.Epoch(), true
	}
	return m.shareFloors[shard], false
}
