package log

import (
	"context"
	"errors"
	"io"

	"balsa/log/batch"
)

// compactChunk is how much compaction reads, and writes, at once.
const compactChunk = 512 << 10

// batchReader reads the batches of a sealed segment whole, and checks their CRCs: what is damaged must not be written anew
// with a right one.
type batchReader struct {
	c    *compaction
	ctx  context.Context
	h    *handle
	path string
	end  int64

	pos    int64 // of the current batch
	index  Index
	header batch.Header
	raw    batch.Batch // valid until the next call of next

	nextPos    int64
	nextIndex  Index
	nextOffset Offset

	buf  []byte
	from int64 // position of buf in the file
	have int
}

// read opens a segment; the caller releases the reader.
func (c *compaction) read(ctx context.Context, s *segment) (*batchReader, error) {
	h, err := s.data.acquire()
	if err != nil {
		return nil, err
	}
	return &batchReader{c: c, ctx: ctx, h: h, path: s.data.path, end: s.size, nextIndex: s.baseIndex, nextOffset: s.base}, nil
}

func (r *batchReader) release() { r.h.release() }

// next moves to the next batch; false at the end.
func (r *batchReader) next() (bool, error) {
	r.pos, r.index = r.nextPos, r.nextIndex
	if r.pos == r.end {
		return false, nil
	}
	b, err := r.bytes(batch.HeaderLen)
	if err != nil {
		return false, err
	}
	h, err := batch.ParseHeader(b)
	if err != nil {
		return false, corrupt(r.path, r.pos, "%v", err)
	}
	if h.BaseOffset != r.nextOffset {
		return false, corrupt(r.path, r.pos, "batch with offset %d where offset %d should be", h.BaseOffset, r.nextOffset)
	}
	if b, err = r.bytes(int(h.Length)); err != nil {
		return false, err
	}
	r.raw = b
	if !r.raw.CheckCRC() {
		return false, corrupt(r.path, r.pos, "CRC is %08x, field says %08x", batch.Checksum(r.raw), h.CRC)
	}
	r.header = h
	r.nextPos, r.nextIndex, r.nextOffset = r.pos+int64(h.Length), r.index+Index(h.Entries()), h.NextOffset()
	return true, nil
}

// bytes returns n bytes from pos on.
func (r *batchReader) bytes(n int) ([]byte, error) {
	if int64(n) > r.end-r.pos {
		return nil, corrupt(r.path, r.pos, "batch of %d bytes where %d are left", n, r.end-r.pos)
	}
	at := int(r.pos - r.from)
	if r.have == 0 || at+n > r.have {
		want := int(min(int64(max(n, compactChunk)), r.end-r.pos))
		if cap(r.buf) < want {
			r.buf = make([]byte, want)
		}
		r.have = 0
		if k, err := r.h.ReadAt(r.buf[:want], r.pos); k < want {
			if err == nil || errors.Is(err, io.EOF) {
				return nil, corrupt(r.path, r.pos, "file ends within a batch")
			}
			return nil, err
		}
		r.from, r.have, at = r.pos, want, 0
		r.c.done.BytesRead += int64(want)
		if err := r.c.throttle(r.ctx, want); err != nil {
			return nil, err
		}
	}
	return r.buf[at : at+n : at+n], nil
}
