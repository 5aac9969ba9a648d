package group

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"balsa/internal/wire"
)

// snapshotVersion is the first byte of a snapshot. Version 1 is the same without transactions.
const snapshotVersion = 2

// Snapshot returns the state as bytes: the version, then the records that would build it, each with its length. Equal
// states give equal bytes.
func (s *State) Snapshot() []byte {
	e := encoder{wire.Encoder{B: []byte{snapshotVersion}}}
	e.Uvarint(s.metadata)
	var r encoder
	add := func(rec record) {
		r.B = r.B[:0]
		rec.append(&r)
		e.Bytes(r.B)
	}
	for id, p := range sorted(s.producers) {
		add(transactionEnded{producerID: id, epoch: p.epoch, coordinatorEpoch: p.coordinatorEpoch, time: p.time})
	}
	for id, g := range sorted(s.groups) {
		if g.membership != nil {
			add(groupStored{id, *g.membership})
		}
		if g.consumer != nil {
			for _, r := range g.consumer.records(id) {
				add(r)
			}
		}
		if g.share != nil {
			for _, r := range g.share.records(id) {
				add(r)
			}
		}
		s.addOffsets(id, g, add)
	}
	return e.B
}

// addOffsets adds a group's offsets, each between the pending ones that it supersedes and those that are younger.
func (s *State) addOffsets(id string, g *stored, add func(record)) {
	pending := func(topic string, partition int32, superseded bool) {
		for _, o := range g.pending[topic][partition] {
			if o.superseded == superseded {
				committed := offsetCommitted{group: id, topic: topic, partition: partition, offset: o.offset}
				add(offsetPending{o.producerID, s.producers[o.producerID].epoch, committed})
			}
		}
	}
	for topic, partitions := range sorted(g.offsets) {
		for partition, o := range sorted(partitions) {
			pending(topic, partition, true)
			add(offsetCommitted{group: id, topic: topic, partition: partition, offset: o})
		}
	}
	for topic, partitions := range sorted(g.pending) {
		for partition := range sorted(partitions) {
			pending(topic, partition, false)
		}
	}
}

// Restore replaces the state by that of a snapshot; nil is the empty state. After an error the state is unchanged.
func (s *State) Restore(snapshot []byte) error {
	restored := NewState()
	if snapshot == nil {
		*s = *restored
		return nil
	}
	d := decoder{wire.Decoder{B: snapshot}}
	if v := d.U8(); d.Err == nil && v != 1 && v != snapshotVersion {
		return fmt.Errorf("group snapshot has version %d, this release reads %d", v, snapshotVersion)
	}
	metadata := d.Uvarint()
	for d.Err == nil && len(d.B) > 0 {
		b := d.Take(d.Uvarint())
		if d.Err != nil {
			break
		}
		if err := restored.Replay(b); err != nil {
			return fmt.Errorf("restore group snapshot: %w", err)
		}
	}
	if err := d.End(); err != nil {
		return fmt.Errorf("restore group snapshot: %w", err)
	}
	restored.metadata = max(restored.metadata, metadata)
	*s = *restored
	return nil
}

// sorted iterates over m in the order of its keys.
func sorted[K cmp.Ordered, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
