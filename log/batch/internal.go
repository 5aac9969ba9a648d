package batch

import "encoding/binary"

// Kind tells data from the entries that Raft and we ourselves put into the log. It is stored in internal batches.
type Kind uint8

// The kinds of entries. Their values are on disk.
const (
	KindData          Kind = iota // a producer's batch; the only kind that consumes offsets
	KindNoop                      // Raft: first entry of a leader
	KindBarrier                   // Raft
	KindConfiguration             // Raft: payload is the membership
	KindLogStart                  // the log start offset moves: payload is 8 bytes, big endian
	KindShare                     // queue state (share groups)
)

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

// InternalPayload returns what was given to Internal, as a sub-slice.
func (b Batch) InternalPayload() []byte { return b[HeaderLen:] }
