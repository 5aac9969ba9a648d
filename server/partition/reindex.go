package partition

import (
	"encoding/binary"
	"maps"
	"slices"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

// Reindex takes committed entries that the machine's state covers: it came from a leader, and they follow. What is due is
// what the state does not hold, the index of aborted transactions. The high watermark moves with them, so that nothing is
// read before that is known. A transaction that began before the first of them is known from where its records begin here.
func (m *machine) Reindex(entries []raft.Entry) {
	var bytes int64
	m.mu.Lock()
	if m.covered == nil {
		m.covered = map[int64]log.Offset{}
	}
	hw := m.p.highWatermark()
	for _, e := range entries {
		if e.Kind != batch.KindData && e.Kind != batch.KindGap {
			continue
		}
		hw = max(hw, e.Header.NextOffset())
		if e.Kind == batch.KindGap {
			continue
		}
		bytes += int64(e.Header.Length)
		switch {
		case e.Header.IsControl():
			m.reindexMarker(e, hw)
		case e.Header.IsTransactional() && e.Header.Count > 0: // compaction may leave an empty batch without its marker
			if _, open := m.covered[e.Header.ProducerID]; !open {
				m.covered[e.Header.ProducerID] = e.Header.BaseOffset
			}
		}
	}
	m.p.hw.Store(int64(hw))
	m.p.lso.Store(int64(m.coveredBelow(m.producers.stableBelow(hw))))
	m.mu.Unlock()
	m.p.wakeAll()
}

func (m *machine) reindexMarker(e raft.Entry, hw log.Offset) {
	marker, ok := endOf(e)
	if !ok {
		return
	}
	first, open := m.covered[marker.ProducerID]
	delete(m.covered, marker.ProducerID)
	if open && !marker.Commit {
		m.p.plog.AppendAborted(log.AbortedTxn{
			ProducerID: marker.ProducerID, First: first, Last: e.Header.BaseOffset, LastStable: m.coveredBelow(hw),
		})
	}
}

// coveredBelow is the first offset of the oldest transaction whose marker is still to come, at most limit.
func (m *machine) coveredBelow(limit log.Offset) log.Offset {
	for _, first := range m.covered {
		limit = min(limit, first)
	}
	return limit
}

func appendCovered(b []byte, covered map[int64]log.Offset) []byte {
	b = binary.AppendUvarint(b, uint64(len(covered)))
	for _, id := range slices.Sorted(maps.Keys(covered)) {
		b = binary.AppendVarint(b, id)
		b = binary.AppendVarint(b, int64(covered[id]))
	}
	return b
}

// decodeCovered is the inverse of appendCovered; nil when there is none.
func decodeCovered(d *wire.Decoder) map[int64]log.Offset {
	n := d.Count(2)
	if n == 0 {
		return nil
	}
	covered := make(map[int64]log.Offset, n)
	for range n {
		id := d.Varint()
		covered[id] = log.Offset(d.Varint())
	}
	return covered
}
