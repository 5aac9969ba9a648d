package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Kind tells data from the entries that Raft and we ourselves put into the log. It is stored in internal batches.
type Kind uint8

// The kinds of entries. Their values are on disk.
const (
	KindData          Kind = iota // a producer's batch; it and KindGap are the only kinds that consume offsets
	KindNoop                      // Raft: first entry of a leader
	KindBarrier                   // Raft
	KindConfiguration             // Raft: payload is the membership
	KindLogStart                  // the log start offset moves: payload is 8 bytes, big endian
	KindShare                     // queue state (share groups)
	KindGap                       // entries that compaction removed: see Gap
	KindCompaction                // how far compaction goes: payload is package partition's
)

// MaxGap is how many entries one gap stands for at most. It bounds what a replica has to make of a few bytes that a peer
// sends.
const MaxGap = 4096

// maxKind bounds the field that holds the kind, not the kinds known: a newer version's kinds are kept and skipped.
const maxKind = 255

const internalAttributes = AttrControl | AttrInternal

// Internal wraps payload into a batch of our own kind that consumes no offset (lastOffsetDelta -1, count 0). The
// result is a pure function of kind and payload, so that every replica writes the same bytes. The kind lies in the
// field producerEpoch. KindData is refused by a panic.
func Internal(kind Kind, payload []byte) Batch {
	if kind == KindData {
		panic("batch: data is not an internal kind")
	}
	b := make(Batch, HeaderLen+len(payload))
	b[posMagic] = Magic
	binary.BigEndian.PutUint16(b[posAttributes:], internalAttributes)
	binary.BigEndian.PutUint32(b[posLastOffsetDelta:], ^uint32(0))
	binary.BigEndian.PutUint64(b[posBaseTimestamp:], ^uint64(0))
	binary.BigEndian.PutUint64(b[posMaxTimestamp:], ^uint64(0))
	binary.BigEndian.PutUint64(b[posProducerID:], ^uint64(0))
	binary.BigEndian.PutUint16(b[posProducerEpoch:], uint16(kind))
	binary.BigEndian.PutUint32(b[posBaseSequence:], ^uint32(0))
	copy(b[HeaderLen:], payload)
	b.seal()
	return b
}

// Gap makes the batch that stands in the log for a run of entries that compaction removed: it keeps their place among the
// Raft indexes (entries, 1 to MaxGap) and the offsets (offsets, 0 to 2³¹-1). All entries of a gap are of one epoch. The number
// of entries lies in the field producerId, that of the offsets, less one, in lastOffsetDelta: who walks over headers needs
// nothing else.
func Gap(entries, offsets int64) Batch {
	if entries < 1 || entries > MaxGap || offsets < 0 || offsets > math.MaxInt32 {
		panic(fmt.Sprintf("batch: gap of %d entries and %d offsets", entries, offsets))
	}
	b := Internal(KindGap, nil)
	binary.BigEndian.PutUint32(b[posLastOffsetDelta:], uint32(int32(offsets-1)))
	binary.BigEndian.PutUint64(b[posProducerID:], uint64(entries))
	b.seal()
	return b
}

// InternalPayload returns what was given to Internal, as a sub-slice.
func (b Batch) InternalPayload() []byte { return b[HeaderLen:] }
