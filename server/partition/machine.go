package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"balsa/internal/invariant"
	"balsa/internal/wire"
	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

// machine is the partition's raft.StateMachine: what follows from the committed entries. The records themselves are the
// log; here are only the high watermark, the last stable offset, the log start offset, and the producers.
type machine struct {
	p *Partition

	mu        sync.Mutex // guards what follows against the leader's checks, which run beside Apply
	producers *producerTable
	// compaction is how far the log is to be compacted.
	compaction compaction
	shares     shareStates
	// updates is how many bytes of entries about each share group were applied here since the last one that replaced its state. It is
	// no part of the state: a restart forgets it.
	updates map[string]int64
	// shareFloors is what coordinators deleted last.
	shareFloors shareFloors
	// covered is used while a follower takes the entries that a shipped state covers: where the transactions among them
	// began that have no marker among them yet, by producer id. Nil otherwise.
	covered map[int64]log.Offset
	// ahead holds, by producer id and in order, what this replica proposed as the leader and has not applied yet.
	ahead map[int64][]*Append
}

func newMachine(p *Partition) *machine {
	return &machine{
		p: p, producers: newProducerTable(), ahead: map[int64][]*Append{}, shares: shareStates{}, updates: map[string]int64{},
		shareFloors: shareFloors{},
	}
}

// Apply takes committed entries.
func (m *machine) Apply(entries []raft.Entry) {
	var bytes int64
	moved := false
	m.mu.Lock()
	m.covered = nil
	hw, lso := m.p.highWatermark(), m.p.lastStable()
	allStable := lso == hw
	for _, e := range entries {
		switch e.Kind {
		case batch.KindData:
			invariant.Check(e.Header.BaseOffset >= hw, "entry %d starts at offset %d, below the high watermark %d",
				e.Index, e.Header.BaseOffset, hw)
			hw = e.Header.NextOffset()
			bytes += int64(e.Header.Length)
			m.applyBatch(e, hw)
		case batch.KindGap:
			hw = max(hw, e.Header.NextOffset())
		case batch.KindLogStart:
			moved = m.moveLogStart(e.Payload, hw) || moved
		case batch.KindCompaction:
			m.compact(e)
		case batch.KindShare:
			m.applyShare(e)
		}
	}
	stable := m.producers.stableBelow(hw)
	m.p.hw.Store(int64(hw))
	m.p.lso.Store(int64(stable))
	m.mu.Unlock()
	if moved {
		m.p.wakeAll()
		return
	}
	switch {
	case stable == lso:
	case allStable && stable == hw:
		m.p.parked.committed(bytes)
	default: // as for the waiters below
		m.p.parked.committed(someBytes)
	}
	m.p.waiters.each(func(w *Waiter) {
		switch {
		case !w.committed || allStable && stable == hw:
			w.grew(bytes)
		case stable != lso:
			w.wake() // how many bytes that made readable is for the reader to find out
		}
	})
}

// applyBatch takes a committed batch, data or a transaction marker, which moves the high watermark to hw.
func (m *machine) applyBatch(e raft.Entry, hw log.Offset) {
	m.landed(e.Header)
	if !e.Header.IsControl() {
		m.producers.applied(e.Header)
		return
	}
	marker, ok := endOf(e)
	if !ok {
		return
	}
	first := m.producers.ended(marker, e.Header.MaxTimestamp)
	if first != noOffset && !marker.Commit {
		m.p.plog.AppendAborted(log.AbortedTxn{
			ProducerID: marker.ProducerID, First: first, Last: e.Header.BaseOffset, LastStable: m.producers.stableBelow(hw),
		})
	}
}

// endOf returns the transaction marker that a control batch holds, if it does.
func endOf(e raft.Entry) (batch.EndTransaction, bool) {
	marker, ok, err := batch.ParseEndTransaction(e.Payload)
	invariant.Check(err == nil, "control batch at offset %d cannot be read: %v", e.Header.BaseOffset, err)
	return marker, ok
}

// stableBelow is the last stable offset under a high watermark: the first offset of the oldest open transaction.
func (t *producerTable) stableBelow(hw log.Offset) log.Offset {
	if first := t.firstUnstable(); first != noOffset {
		return min(first, hw)
	}
	return hw
}

func (m *machine) moveLogStart(payload []byte, hw log.Offset) bool {
	invariant.Check(len(payload) == 8, "log start entry of %d bytes", len(payload))
	to := min(log.Offset(binary.BigEndian.Uint64(payload)), hw)
	if to <= m.p.logStartOffset() {
		return false
	}
	m.p.logStart.Store(int64(to))
	m.trimShares(to)
	if g := m.p.group.Load(); g != nil {
		g.SetLogStart(to)
	}
	return true
}

// compact takes a decision about compaction.
func (m *machine) compact(e raft.Entry) {
	decision, err := decodeCompaction(e.Payload)
	invariant.Check(err == nil, "compaction entry %d: %v", e.Index, err)
	m.compaction.apply(decision, e.Index)
	if m.p.decisionApplied != nil {
		m.p.decisionApplied()
	}
}

// machineVersion 1 knew no transactions, 2 no compaction, 3 no share groups, 4 no deletions of them.
const machineVersion = 5

// Snapshot encodes high watermark, log start offset, the transactions of covered entries, how far to compact, the states of share
// groups and the last deletions of such, and the producers with their open transactions.
func (m *machine) Snapshot() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := []byte{machineVersion}
	b = binary.AppendVarint(b, int64(m.p.highWatermark()))
	b = binary.AppendVarint(b, int64(m.p.logStartOffset()))
	b = appendCovered(b, m.covered)
	b = m.compaction.appendTo(b)
	b = m.shares.appendTo(b)
	b = m.shareFloors.appendTo(b)
	return m.producers.appendTo(b)
}

var errMachineState = errors.New("malformed partition state")

// Restore is the inverse of Snapshot.
func (m *machine) Restore(state []byte) error {
	table, hw, start := newProducerTable(), int64(0), int64(0)
	var covered map[int64]log.Offset
	var compact compaction
	shares, floors := shareStates{}, shareFloors{}
	if len(state) > 0 {
		version := state[0]
		if version == 0 || version > machineVersion {
			return fmt.Errorf("%w: version %d", errMachineState, version)
		}
		d := wire.Decoder{B: state[1:]}
		hw, start = d.Varint(), d.Varint()
		if version > 1 {
			covered = decodeCovered(&d)
		}
		if version > 2 {
			compact = decodeCompactionState(&d)
		}
		if version > 3 {
			var err error
			if shares, err = decodeShareStates(&d); err != nil {
				return fmt.Errorf("%w: %w", errMachineState, err)
			}
		}
		if version > 4 {
			floors = decodeShareFloors(&d)
		}
		if d.Err != nil || start < 0 || hw < 0 {
			return fmt.Errorf("%w: high watermark %d, log start %d", errMachineState, hw, start)
		}
		var err error
		if table, err = decodeProducers(d.B, version); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.producers, m.covered, m.compaction, m.shares, m.shareFloors = table, covered, compact, shares, floors
	clear(m.ahead)
	clear(m.updates)
	if end := int64(m.p.plog.NextOffset()); hw > end {
		hw = end // a leader's state, ahead of this log: see Reindex
	}
	m.p.hw.Store(hw)
	m.p.lso.Store(int64(table.stableBelow(log.Offset(hw))))
	m.p.logStart.Store(start)
	return nil
}

// LeadershipChanged wakes parked fetches, whose answers have changed.
func (m *machine) LeadershipChanged(raft.Leadership) { m.p.wakeAll() }
