package log

import (
	"errors"
	"io"
	"sync"

	"balsa/log/batch"
)

// cursorBuffer is how much a cursor reads at once where batches are small.
const cursorBuffer = 4096

var cursorBuffers = sync.Pool{New: func() any { return new([cursorBuffer]byte) }}

// cursor walks the batch headers of a segment. It checks that offsets follow each other and batches lie within the
// segment, not the CRCs.
type cursor struct {
	h      *handle
	path   string
	pos    int64
	end    int64
	index  Index  // of the batch at pos
	offset Offset // of the batch at pos
	header batch.Header

	buf  *[cursorBuffer]byte
	from int64 // position of buf in the file
	have int
}

// cursor starts at an index entry; end is where the segment ends. The caller releases it.
func (s *segment) cursor(e indexEntry, end int64) (*cursor, error) {
	h, err := s.data.acquire()
	if err != nil {
		return nil, err
	}
	return &cursor{
		h: h, path: s.data.path, end: end, buf: cursorBuffers.Get().(*[cursorBuffer]byte),
		pos: int64(e.pos), index: s.baseIndex + Index(e.relIndex), offset: s.base + Offset(e.relOffset),
	}, nil
}

func (c *cursor) release() {
	c.h.release()
	cursorBuffers.Put(c.buf)
	c.h, c.buf = nil, nil
}

// load decodes the header of the batch at pos. False at the end of the segment.
func (c *cursor) load() (bool, error) {
	if c.pos >= c.end {
		return false, nil
	}
	if c.end-c.pos < batch.HeaderLen {
		return false, corrupt(c.path, c.pos, "%d bytes are no batch", c.end-c.pos)
	}
	if c.pos < c.from || c.pos+batch.HeaderLen > c.from+int64(c.have) {
		want := int64(cursorBuffer)
		if c.header.Length > cursorBuffer/2 {
			want = batch.HeaderLen // among large batches, what lies between headers is not read
		}
		want = min(want, c.end-c.pos)
		if _, err := c.h.ReadAt(c.buf[:want], c.pos); err != nil {
			c.have = 0
			if errors.Is(err, io.EOF) {
				return false, corrupt(c.path, c.pos, "file ends before byte %d", c.pos+want)
			}
			return false, err
		}
		c.from, c.have = c.pos, int(want)
	}
	h, err := batch.ParseHeader(c.buf[c.pos-c.from : c.have])
	if err != nil {
		return false, corrupt(c.path, c.pos, "%v", err)
	}
	if h.BaseOffset != c.offset || int64(h.Length) > c.end-c.pos {
		return false, corrupt(c.path, c.pos, "batch of %d bytes with offset %d where offset %d should be and %d bytes are left",
			h.Length, h.BaseOffset, c.offset, c.end-c.pos)
	}
	c.header = h
	return true, nil
}

// lastIndex is the index of the last entry that the batch at pos stands for.
func (c *cursor) lastIndex() Index { return c.index + Index(c.header.Entries()) - 1 }

// next moves past the batch that load decoded.
func (c *cursor) next() {
	c.pos += int64(c.header.Length)
	c.offset = c.header.NextOffset()
	c.index += Index(c.header.Entries())
}
