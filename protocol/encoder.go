package protocol

import (
	"encoding/binary"
	"math"
)

// encoder writes a response frame with holes where records go.
type encoder struct {
	dst         []byte
	start       int  // of the frame
	flexible    bool // compact lengths, and tags
	cuts        []int
	recordBytes int64
}

// begin writes what comes before the body.
func (e *encoder) begin(correlationID int32) {
	e.start = len(e.dst)
	e.int32(0) // length, known at the end
	e.dst = appendResponseHeader(e.dst, correlationID, e.flexible)
}

// end fills in the frame's length, its records included. When a length field cannot say it, ok is false and frame is what there was
// before.
func (e *encoder) end() (frame []byte, cuts []int, ok bool) {
	total := int64(len(e.dst)-e.start-4) + e.recordBytes
	if total > math.MaxInt32 {
		return e.dst[:e.start], nil, false
	}
	binary.BigEndian.PutUint32(e.dst[e.start:], uint32(total))
	return e.dst, e.cuts, true
}

// records writes the length of records, and leaves a hole for them.
func (e *encoder) records(n int32) {
	if e.flexible {
		e.dst = binary.AppendUvarint(e.dst, uint64(n)+1)
	} else {
		e.int32(n)
	}
	if n > 0 {
		e.cuts = append(e.cuts, len(e.dst))
		e.recordBytes += int64(n)
	}
}

func (e *encoder) nodes(nodes []NodeEndpoint) {
	e.arrayLen(len(nodes))
	for _, n := range nodes {
		e.int32(n.NodeID)
		e.text(n.Host)
		e.int32(n.Port)
		e.nullable(n.Rack)
		e.noTags()
	}
}

func (e *encoder) noTags() {
	if e.flexible {
		e.dst = append(e.dst, 0)
	}
}

func (e *encoder) arrayLen(n int) {
	if e.flexible {
		e.dst = binary.AppendUvarint(e.dst, uint64(n)+1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) text(s string) {
	if e.flexible {
		e.dst = binary.AppendUvarint(e.dst, uint64(len(s))+1)
	} else {
		e.int16(int16(len(s)))
	}
	e.dst = append(e.dst, s...)
}

// nullable writes a string that may be null. Flexible versions only.
func (e *encoder) nullable(s *string) {
	if s == nil {
		e.dst = append(e.dst, 0)
		return
	}
	e.text(*s)
}

func (e *encoder) int16(v int16) { e.dst = binary.BigEndian.AppendUint16(e.dst, uint16(v)) }
func (e *encoder) int32(v int32) { e.dst = binary.BigEndian.AppendUint32(e.dst, uint32(v)) }
func (e *encoder) int64(v int64) { e.dst = binary.BigEndian.AppendUint64(e.dst, uint64(v)) }
