package txn

import (
	"fmt"

	"balsa/internal/wire"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// Snapshot returns the state as bytes: the version, then the records that would build it, each with its length. Equal
// states give equal bytes.
func (s *State) Snapshot() []byte {
	e := wire.Encoder{B: []byte{snapshotVersion}}
	e.Uvarint(s.metadata)
	var r wire.Encoder
	add := func(rec record) {
		r.B = r.B[:0]
		rec.append(&r)
		e.Bytes(r.B)
	}
	for id, t := range sorted(s.transactions) {
		add(transactionChanged{id, t.Transaction})
		if len(t.partitions) > 0 {
			add(partitionsAdded{id: id, partitions: t.sortedPartitions()})
		}
	}
	return e.B
}

// Restore replaces the state by that of a snapshot; nil is the empty state. After an error the state is unchanged.
func (s *State) Restore(snapshot []byte) error {
	restored := NewState()
	if snapshot == nil {
		*s = *restored
		return nil
	}
	d := wire.Decoder{B: snapshot}
	if v := d.U8(); d.Err == nil && v != snapshotVersion {
		return fmt.Errorf("transaction snapshot has version %d, this release reads %d", v, snapshotVersion)
	}
	restored.metadata = d.Uvarint()
	for d.Err == nil && len(d.B) > 0 {
		b := d.Take(d.Uvarint())
		if d.Err != nil {
			break
		}
		if err := restored.Replay(b); err != nil {
			return fmt.Errorf("restore transaction snapshot: %w", err)
		}
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("restore transaction snapshot: %w", err)
	}
	*s = *restored
	return nil
}
