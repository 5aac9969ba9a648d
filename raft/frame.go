package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"balsa/internal/bytepool"
)

// Frames between nodes: a length (of what follows it), a type, a request id, a body. Requests go one way over a
// connection, their responses the other way with the same id.
type frameType uint8

const (
	frameHello frameType = iota + 1
	frameHeartbeats
	frameAppend
	frameVote
	framePreVote
	frameTimeoutNow
	frameSnapshot
	frameCall

	frameResponse frameType = 0x80 // or'ed to the request's type
	frameError    frameType = 0xff // body: see encodeError
)

const (
	frameHeaderLen = 4 + 1 + 8
	// maxFrame bounds what a peer can make us read into memory: the largest append (one entry of the largest record
	// batch) or shipped position.
	maxFrame = 256 << 20
	// firstRead is how much of a frame is read before more memory is given to it.
	firstRead = 4 << 20
)

var errFrame = errors.New("malformed frame")

// buffers lends the memory of frames in both directions.
type buffers = bytepool.Pool

type frame struct {
	typ  frameType
	id   uint64
	body []byte // from the pool
}

func putFrameHeader(b []byte, typ frameType, id uint64, bodyLen int) {
	binary.BigEndian.PutUint32(b, uint32(bodyLen+frameHeaderLen-4))
	b[4] = byte(typ)
	binary.BigEndian.PutUint64(b[5:], id)
}

// readFrame reads one frame; its body belongs to the caller and goes back to pool.
func readFrame(r io.Reader, pool *buffers) (frame, error) {
	var h [frameHeaderLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return frame{}, err
	}
	n := int64(binary.BigEndian.Uint32(h[:])) - (frameHeaderLen - 4)
	if n < 0 || n > maxFrame {
		return frame{}, fmt.Errorf("%w: body of %d bytes", errFrame, n)
	}
	f := frame{typ: frameType(h[4]), id: binary.BigEndian.Uint64(h[5:])}
	if n <= firstRead {
		f.body = pool.Get(int(n))
		_, err := io.ReadFull(r, f.body)
		return f, err
	}
	// Memory is given as bytes arrive, not as a length claims.
	buf := make([]byte, firstRead)
	for got := 0; ; {
		k, err := io.ReadFull(r, buf[got:])
		got += k
		if err != nil {
			return frame{}, err
		}
		if int64(got) == n {
			f.body = buf
			return f, nil
		}
		buf = append(buf, make([]byte, min(int64(got), n-int64(got)))...)
	}
}

// reader takes fields off a frame's body; after the first that does not fit, err is set and all others are zero.
type reader struct {
	b   []byte
	err error
}

func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		if r.err == nil {
			r.err = fmt.Errorf("%w: %d bytes wanted, %d left", errFrame, n, len(r.b))
		}
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) bool() bool { return r.u8() != 0 }

func (r *reader) bytes() []byte { return r.take(int(r.u32())) }

func (r *reader) group() GroupID {
	if b := r.take(groupIDLen); b != nil {
		return parseGroupID(b)
	}
	return GroupID{}
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendBytes(b, v []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(v)))
	return append(b, v...)
}
