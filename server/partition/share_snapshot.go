package partition

import (
	"balsa/log"
	"balsa/log/batch"
)

// Compaction removes entries about a share group that later ones supersede, as it does records. Most of them say only what changes, so
// the leader writes the whole state from time to time (shareSnapshot): what was there before means nothing then.
const (
	// minShareUpdates is how many bytes of entries about a group are not worth a snapshot.
	minShareUpdates = 64 << 10
	// shareSnapshotRatio bounds what snapshots cost: one byte for so many of other entries about the group.
	shareSnapshotRatio = 4
	// maxShareSnapshot is the size in bytes of the largest state that is written: that of the largest record batch by default, so that a
	// snapshot holds up nobody for longer than a producer does. It takes more than 100,000 runs. A window that is in so many pieces
	// keeps its entries until it has fewer: one entry must hold all of it, since a leader that dies between two
	// would leave replicas with half of a state.
	maxShareSnapshot = 1 << 20
)

// readShareEntry tells compaction what an entry about a share group makes superfluous; false when this release does not know.
func readShareEntry(payload []byte) (log.ShareEntry, bool) {
	e, _, err := decodeShareHeader(payload)
	if err != nil {
		return log.ShareEntry{}, false
	}
	switch e.op {
	case shareInitialised, shareChanged:
		return log.ShareEntry{Group: e.group}, true
	case shareReset, shareSnapshot:
		return log.ShareEntry{Group: e.group, Replaces: true}, true
	case shareDeleted:
		return log.ShareEntry{Group: e.group, Replaces: true, Deletes: true}, true
	default:
		return log.ShareEntry{}, false
	}
}

// countShare takes note of an applied entry with a payload of so many bytes. The caller holds m.mu.
func (m *machine) countShare(e *shareEntry, payload int) {
	if e.op == shareChanged && m.shares[e.group] != nil {
		m.updates[e.group] += batch.HeaderLen + int64(payload)
		return
	}
	if e.op != shareInitialised { // the state was replaced
		delete(m.updates, e.group)
	}
}

// busyShares returns how many bytes of updates there were of each group that has enough of them for a snapshot.
func (m *machine) busyShares() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var busy map[string]int64
	for group, bytes := range m.updates {
		if bytes < minShareUpdates {
			continue
		}
		if busy == nil {
			busy = map[string]int64{}
		}
		busy[group] = bytes
	}
	return busy
}

// snapshotShares proposes, on the leader of a compacted topic, a snapshot of each share group that has enough updates since its last one.
func (p *Partition) snapshotShares() {
	s := &p.shares
	for group, bytes := range p.machine.busyShares() {
		s.mu.Lock()
		if g, err := p.share(group); err == nil { // else it is tried again
			p.snapshotShare(g, bytes)
		}
		s.mu.Unlock()
	}
}

// snapshotShare proposes g's state as g.leader knows it: what the entries before the snapshot make it, those in flight among them. (Should
// one of them fail and the snapshot be committed all the same, what it decided comes true, as when only its answer is lost.) The caller
// holds p.shares.mu.
func (p *Partition) snapshotShare(g *shareGroup, updates int64) {
	if g.snapshot != nil && !g.snapshot.Settled() {
		return
	}
	state := g.leader.Partition()
	if state.Size() > maxShareSnapshot {
		return
	}
	size := len(state.AppendTo(nil))
	if size > maxShareSnapshot || int64(size)*shareSnapshotRatio > updates {
		return
	}
	p.proposeKept(g)
	g.snapshot = p.proposeShare(g, shareEntry{op: shareSnapshot, group: g.id, state: state})
}
