package partition

import (
	"encoding/binary"
	"errors"
	"fmt"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/raft"
)

// compactionEntry is the payload of batch.KindCompaction: a leader's decision how far the log is to be compacted. Every replica
// then compacts its own log so far, when it gets to it, so that all of them show the same records (docs/adr/0008-compaction.md).
type compactionEntry struct {
	// To is where compaction ends. What lies below is committed and belongs to no open transaction.
	To log.Offset
	// DropTo is the offset below which tombstones and transaction markers may go: 0, unless every replica has done what the
	// decision before this one asked for, and DropTo lies below that one's To.
	DropTo log.Offset
	// After is the To of that decision, as the leader knew it.
	After log.Offset
	// Time is the leader's clock, ms since the epoch.
	Time int64
}

const compactionVersion = 1

func (e compactionEntry) encode() []byte {
	b := []byte{compactionVersion}
	for _, v := range []int64{int64(e.To), int64(e.DropTo), int64(e.After), e.Time} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

var errCompaction = errors.New("malformed compaction entry")

func decodeCompaction(b []byte) (compactionEntry, error) {
	if len(b) == 0 || b[0] != compactionVersion {
		return compactionEntry{}, fmt.Errorf("%w: version %v", errCompaction, b[:min(len(b), 1)])
	}
	d := wire.Decoder{B: b[1:]}
	e := compactionEntry{
		To: log.Offset(d.Varint()), DropTo: log.Offset(d.Varint()), After: log.Offset(d.Varint()), Time: d.Varint(),
	}
	if d.End() != nil || e.To < 0 || e.DropTo < 0 || e.After < 0 {
		return compactionEntry{}, fmt.Errorf("%w: %d bytes", errCompaction, len(b))
	}
	return e, nil
}

// compaction is what follows from the decisions so far. It is part of the machine's state.
type compaction struct {
	to     log.Offset // of the latest decision
	dropTo log.Offset // of the latest decision
	// index is the entry of the latest decision. A replica that took this state from a leader, and whose log is yet to get there,
	// must not compact: it does not know yet which transactions were aborted.
	index log.Index
	// Tombstones below ripe were there when a decision was made at ripeSince: delete.retention.ms counts from then on. One such
	// mark at a time is kept, so that a tombstone may stay for up to twice as long.
	ripe      log.Offset
	ripeSince int64 // ms since the epoch
}

// apply takes a committed decision. One that was made without knowing the latest may not drop anything.
func (c *compaction) apply(e compactionEntry, i log.Index) {
	if e.To <= c.to {
		return
	}
	if e.After != c.to {
		e.DropTo = 0
	}
	c.to, c.dropTo, c.index = e.To, e.DropTo, i
	if c.ripe == 0 || c.dropTo >= c.ripe {
		c.ripe, c.ripeSince = e.To, e.Time
	}
}

var _ raft.Compacted = (*machine)(nil)

// Compacted implements raft.Compacted: only after a decision can anything be gone.
func (m *machine) Compacted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.compaction.to > 0
}

func (c *compaction) appendTo(b []byte) []byte {
	for _, v := range []int64{int64(c.to), int64(c.dropTo), int64(c.index), int64(c.ripe), c.ripeSince} {
		b = binary.AppendVarint(b, v)
	}
	return b
}

func decodeCompactionState(d *wire.Decoder) compaction {
	return compaction{
		to: log.Offset(d.Varint()), dropTo: log.Offset(d.Varint()), index: log.Index(d.Varint()),
		ripe: log.Offset(d.Varint()), ripeSince: d.Varint(),
	}
}
