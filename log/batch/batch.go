// Package batch is Kafka's record batch v2 as a view of bytes: accessors, validation, records, building. No I/O.
package batch

// Offset is a record's position in its partition. Epoch is a leader epoch: the Raft term of the leader that
// numbered the batch.
type (
	Offset int64
	Epoch  int32
)

// HeaderLen is the length of a batch header, up to and including the record count.
const HeaderLen = 61

// Batch is one whole record batch.
type Batch []byte

// Kind tells data from the entries that Raft and we ourselves put into the log. It is stored in internal batches.
type Kind uint8

const (
	KindData          Kind = iota // a producer's batch; the only kind that consumes offsets
	KindNoop                      // Raft: first entry of a leader
	KindBarrier                   // Raft
	KindConfiguration             // Raft: payload is the membership
	KindLogStart                  // the log start offset moves: payload is 8 bytes, big endian
	KindShare                     // queue state (share groups)
)

// Header is a decoded batch header.
type Header struct {
	BaseOffset      Offset
	Length          int32 // of the whole batch in bytes, including offset and length field
	Epoch           Epoch
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestamp   int64
	MaxTimestamp    int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	Count           int32
	Kind            Kind
}

// ParseHeader decodes the first HeaderLen bytes of b without trusting them.
func ParseHeader(b []byte) (Header, error) { panic("skeleton") }

func (h Header) LastOffset() Offset { return h.BaseOffset + Offset(h.LastOffsetDelta) }
func (h Header) NextOffset() Offset { return h.LastOffset() + 1 }

// Internal wraps payload into a batch of our own kind that consumes no offset (lastOffsetDelta -1, count 0). The
// result is a pure function of kind and payload, so that every replica writes the same bytes.
func Internal(kind Kind, payload []byte) Batch { panic("skeleton") }

func (b Batch) Header() Header          { panic("skeleton") } // of a batch known to be valid
func (b Batch) IsInternal() bool        { panic("skeleton") }
func (b Batch) InternalPayload() []byte { panic("skeleton") } // sub-slice
func (b Batch) Stamp(o Offset, e Epoch) { panic("skeleton") } // in place: outside the CRC

// Build makes a data batch of one record per value (null keys), uncompressed; used by the coordinators' logs.
func Build(values [][]byte, timestamp int64) Batch { panic("skeleton") }

// Values returns the record values of an uncompressed batch as sub-slices.
func (b Batch) Values() ([][]byte, error) { panic("skeleton") }
