package protocol

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/bytepool"
)

// frameHeadLen is the size field and the start of every request header: API key, version, correlation id.
const frameHeadLen = 4 + minHeaderLen

// firstBuffer is what a frame of a new connection gets before any of it has arrived.
const firstBuffer = 4 << 10

// maxTrusted bounds what is allocated at once for a frame that has not arrived.
const maxTrusted = 4 << 20

// growthFactor is how much larger each buffer of a frame in arrival is than the one before: memory is at most that
// many times what has arrived, and the copying sums up to a third of the frame.
const growthFactor = 4

var (
	// ErrFrameTooLarge means that a frame claims more than the limit (socket.request.max.bytes), or a negative length.
	ErrFrameTooLarge = errors.New("frame length beyond the limit")
	// ErrFrameTooShort means that a frame is too short to hold a request header.
	ErrFrameTooShort = errors.New("frame shorter than a request header")
)

// Frame is one request as it came off the wire, without its length prefix.
type Frame struct {
	buf  []byte
	pool *bytepool.Pool // nil when the buffer is not for reuse
}

// Bytes returns the request: header and body.
func (f *Frame) Bytes() []byte { return f.buf }

// Release gives the buffer back for reuse: nothing may point into it any more. A Frame that is not released is
// garbage like any other, which is the right thing while its bytes may still be in use. Releasing twice is harmless.
func (f *Frame) Release() {
	if f.pool != nil {
		f.pool.Put(f.buf)
	}
	f.buf, f.pool = nil, nil
}

// FrameReader reads frames from one connection. It is not safe for concurrent use.
type FrameReader struct {
	// Claim, if not nil, is asked before the buffer of a frame is made n bytes larger; it may block. Next returns its error.
	Claim func(n int) error

	r        *bufio.Reader
	pool     *bytepool.Pool
	maxBytes int
	trusted  int // the largest frame that this peer has really delivered, up to maxTrusted
}

// NewFrameReader reads frames of at most maxBytes from r.
func NewFrameReader(r io.Reader, pool *bytepool.Pool, maxBytes int) *FrameReader {
	return &FrameReader{r: bufio.NewReaderSize(r, 4096), pool: pool, maxBytes: maxBytes}
}

// Await blocks until the head of the next frame is there, and returns the frame's length without its prefix. It returns
// io.EOF when the stream ends between two frames, io.ErrUnexpectedEOF inside one, and ErrFrameTooLarge or
// ErrFrameTooShort (wrapped) when the length is a lie; then the stream cannot be read on. After a timeout of the
// underlying reader it may be called again.
func (f *FrameReader) Await() (size int, err error) {
	// The length is judged as soon as it is there, not when the header behind it is.
	head, err := f.r.Peek(4)
	if err == nil {
		if err := f.checkLength(head); err != nil {
			return 0, err
		}
		head, err = f.r.Peek(frameHeadLen)
	}
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	return int(binary.BigEndian.Uint32(head)), nil
}

// Buffered says whether a frame of this size, as Await returned it, can be read without waiting for the peer.
func (f *FrameReader) Buffered(size int) bool { return f.r.Buffered() >= 4+size }

// Next reads the frame that Await announced. A timeout here leaves the stream unusable.
//
// Only Produce requests come in a buffer that Release recycles: kmsg's byte fields point into the buffer, and other
// handlers (group members' metadata, say) keep them.
func (f *FrameReader) Next() (*Frame, error) {
	size, err := f.Await()
	if err != nil {
		return nil, err
	}
	head, err := f.r.Peek(frameHeadLen)
	if err != nil {
		return nil, err
	}
	produce := int16(binary.BigEndian.Uint16(head[4:])) == int16(kmsg.Produce)
	if _, err := f.r.Discard(4); err != nil {
		return nil, err
	}
	return f.body(size, produce)
}

func (f *FrameReader) checkLength(head []byte) error {
	size := int32(binary.BigEndian.Uint32(head))
	if size < 0 || int(size) > f.maxBytes {
		return fmt.Errorf("%w: %d bytes claimed, %d allowed", ErrFrameTooLarge, size, f.maxBytes)
	}
	if size < minHeaderLen {
		return fmt.Errorf("%w: %d bytes", ErrFrameTooShort, size)
	}
	return nil
}

// body reads size bytes into a buffer that grows as they arrive. A peer that has delivered a large frame before is
// believed up to that size, so that a steady producer costs no growth at all.
func (f *FrameReader) body(size int, recycle bool) (*Frame, error) {
	frame := &Frame{}
	if recycle {
		frame.pool = f.pool
	}
	first := min(size, max(f.trusted, firstBuffer))
	if err := f.claim(first); err != nil {
		return nil, err
	}
	frame.buf = frame.alloc(first)
	for have := 0; ; {
		n, err := io.ReadFull(f.r, frame.buf[have:])
		have += n
		if err != nil {
			frame.Release()
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if have == size {
			f.trusted = min(max(f.trusted, size), maxTrusted)
			return frame, nil
		}
		next := min(size, growthFactor*have)
		if err := f.claim(next - have); err != nil {
			frame.Release()
			return nil, err
		}
		grown := frame.alloc(next)
		copy(grown, frame.buf)
		if frame.pool != nil {
			frame.pool.Put(frame.buf)
		}
		frame.buf = grown
	}
}

func (f *FrameReader) claim(n int) error {
	if f.Claim == nil {
		return nil
	}
	return f.Claim(n)
}

// alloc returns a buffer of length n.
func (f *Frame) alloc(n int) []byte {
	if f.pool == nil {
		return make([]byte, n)
	}
	return f.pool.Get(n)
}
