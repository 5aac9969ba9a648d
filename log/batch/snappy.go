package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
)

// Java clients frame snappy in the way of the xerial library: this magic, two versions of 4 bytes, then blocks that each
// have their length in front. Other clients send one bare block.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeaderLen = 16

// maxSnappyRatio bounds what a block may claim to inflate to: the best element makes 64 bytes of 3.
const maxSnappyRatio = 22

var snappyReaders = sync.Pool{New: func() any { return new(snappyReader) }}

// snappyReader inflates block by block.
type snappyReader struct {
	rest   []byte
	framed bool
	block  []byte // inflated; its capacity is reused
	unread []byte
	left   int64
}

func (s *snappyReader) reset(src []byte, limit int64) {
	s.rest, s.unread, s.left = src, nil, limit
	s.framed = len(src) >= xerialHeaderLen && bytes.HasPrefix(src, xerialMagic)
	if s.framed {
		s.rest = src[xerialHeaderLen:]
	}
	if src == nil && cap(s.block) > 1<<20 {
		s.block = nil // the pool keeps ordinary blocks only
	}
}

func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.unread) == 0 {
		if len(s.rest) == 0 {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.unread)
	s.unread = s.unread[n:]
	return n, nil
}

// next inflates one block.
func (s *snappyReader) next() error {
	block := s.rest
	if s.framed {
		if len(block) < 4 {
			return fmt.Errorf("%d bytes of a block length: %w", len(block), io.ErrUnexpectedEOF)
		}
		n := binary.BigEndian.Uint32(block)
		block = block[4:]
		if int64(n) > int64(len(block)) {
			return fmt.Errorf("block of %d bytes in %d: %w", n, len(block), io.ErrUnexpectedEOF)
		}
		block = block[:n]
		s.rest = s.rest[4+n:]
	} else {
		s.rest = nil
	}
	claimed, err := snappy.DecodedLen(block)
	if err != nil {
		return err
	}
	if int64(claimed) > maxSnappyRatio*int64(len(block)) {
		return fmt.Errorf("block of %d bytes claims %d: %w", len(block), claimed, snappy.ErrCorrupt)
	}
	if int64(claimed) > s.left {
		return fmt.Errorf("%w: inflates beyond the limit", ErrTooLarge)
	}
	s.left -= int64(claimed)
	out, err := snappy.Decode(s.block[:cap(s.block)], block)
	if err != nil {
		return err
	}
	s.block, s.unread = out, out
	return nil
}

// xerialBlockLen is how much Java clients compress at once.
const xerialBlockLen = 32 << 10

func appendXerialHeader(b []byte) []byte {
	b = append(b, xerialMagic...)
	return append(b, 0, 0, 0, 1, 0, 0, 0, 1)
}

// xerial frames src as Java clients do.
func xerial(src []byte) []byte {
	out := appendXerialHeader(nil)
	for len(src) > 0 {
		n := min(len(src), xerialBlockLen)
		block := snappy.Encode(nil, src[:n])
		out = binary.BigEndian.AppendUint32(out, uint32(len(block)))
		out = append(out, block...)
		src = src[n:]
	}
	return out
}
