package log

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"balsa/log/batch"
)

// Compaction leaves gaps between what stays, so that a read would be many small pieces of a file: to find them, and to send each
// with a system call of its own, costs more than to copy them. A read that turns out to be like that is sifted: its part of
// the file is read in one go, and what is no data is left out.

const (
	// siftPieces is after how many pieces a read is looked at, and siftPiece the size that they must have on average for it to stay
	// one of pieces.
	siftPieces = 16
	siftPiece  = 16 << 10
	// siftBytes bounds what one read holds in memory.
	siftBytes = 1 << 20
	// siftChunk is how much is read from a file at once.
	siftChunk = 128 << 10
)

var siftChunks = sync.Pool{New: func() any { return new([siftChunk]byte) }}

// Memory bounds what all reads of the logs that share it hold in memory, until they are released. Safe for concurrent use. A nil one
// is without bound.
type Memory struct{ free atomic.Int64 }

// NewMemory returns a Memory of so many bytes.
func NewMemory(bytes int64) *Memory {
	m := &Memory{}
	m.free.Store(bytes)
	return m
}

// take takes n bytes; false when there are not so many.
func (m *Memory) take(n int64) bool {
	if m == nil {
		return true
	}
	if m.free.Add(-n) < 0 {
		m.free.Add(n)
		return false
	}
	return true
}

func (m *Memory) give(n int64) {
	if m != nil {
		m.free.Add(n)
	}
}

// errScattered ends a search for pieces: there are too many small ones.
var errScattered = errors.New("many small pieces")

// scattered says whether what was found so far had better be sifted.
func (w *window) scattered() bool {
	n := int64(len(w.list))
	return w.sift && n > siftPieces && w.bytes <= n*siftPiece
}

// sifted answers a read from memory.
func (l *Log) sifted(v *view, w *window) error {
	at, err := l.locateOffset(v, w.from)
	if err != nil {
		return err
	}
	out := make([]byte, 0, min(w.max, siftBytes))
	pos, offset := at.pos, at.header.BaseOffset
	for k := v.byOffset(w.from); k < len(v.segments) && v.segments[k].base < w.limit; k++ {
		end, _, _ := v.end(k)
		f := sieve{path: v.segments[k].data.path, pos: pos, end: end, offset: offset}
		var more bool
		if out, more, err = f.run(v.segments[k], w, out); err != nil {
			return err
		}
		if !more {
			break
		}
		pos, offset = 0, f.offset
	}
	n := int64(len(out))
	w.bytes, w.list = n, []span{{data: out, len: n}}
	return nil
}

// sieve takes the data out of a segment.
type sieve struct {
	h      *handle
	path   string
	pos    int64
	end    int64
	offset Offset // of the batch at pos

	chunk *[siftChunk]byte
	from  int64 // position of chunk in the file
	have  int
}

// run appends the data batches to out; false when the read is complete.
func (f *sieve) run(s *segment, w *window, out []byte) ([]byte, bool, error) {
	h, err := s.data.acquire()
	if err != nil {
		return out, false, err
	}
	defer h.release()
	f.h, f.chunk = h, siftChunks.Get().(*[siftChunk]byte)
	defer siftChunks.Put(f.chunk)
	for f.pos < f.end {
		head, err := f.bytes(batch.HeaderLen)
		if err != nil {
			return out, false, err
		}
		b, err := batch.ParseHeader(head)
		if err != nil {
			return out, false, corrupt(f.path, f.pos, "%v", err)
		}
		if b.BaseOffset != f.offset || int64(b.Length) > f.end-f.pos {
			return out, false, corrupt(f.path, f.pos, "batch of %d bytes with offset %d where offset %d should be and %d bytes are left",
				b.Length, b.BaseOffset, f.offset, f.end-f.pos)
		}
		switch {
		case b.BaseOffset >= w.limit:
			return out, false, nil
		case b.IsInternal():
		case len(out) > 0 && len(out)+int(b.Length) > cap(out):
			return out, false, nil
		default:
			if len(out) == 0 && int(b.Length) > cap(out) {
				out = make([]byte, 0, b.Length) // no larger than the read may be: it would not be of many pieces otherwise
			}
			if out, err = f.copy(out, int(b.Length)); err != nil {
				return out, false, err
			}
			w.next = b.NextOffset()
		}
		f.pos, f.offset = f.pos+int64(b.Length), b.NextOffset()
	}
	return out, true, nil
}

// bytes returns the n bytes at pos, no more than a chunk.
func (f *sieve) bytes(n int) ([]byte, error) {
	at := int(f.pos - f.from)
	if f.have == 0 || at+n > f.have {
		want := int(min(siftChunk, f.end-f.pos))
		f.have = 0
		if err := f.read(f.chunk[:want], f.pos); err != nil {
			return nil, err
		}
		f.from, f.have, at = f.pos, want, 0
	}
	if at+n > f.have {
		return nil, corrupt(f.path, f.pos, "%d bytes are no batch", f.have-at)
	}
	return f.chunk[at : at+n], nil
}

// copy appends the n bytes at pos to out, which has room for them.
func (f *sieve) copy(out []byte, n int) ([]byte, error) {
	have := f.chunk[f.pos-f.from : min(f.pos-f.from+int64(n), int64(f.have))]
	at := len(out)
	out = append(out, have...)[:at+n]
	if len(have) == n {
		return out, nil
	}
	return out, f.read(out[at+len(have):], f.pos+int64(len(have)))
}

func (f *sieve) read(b []byte, at int64) error {
	if n, err := f.h.ReadAt(b, at); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return corrupt(f.path, at, "file ends before byte %d", at+int64(len(b)))
		}
		return fmt.Errorf("read segment: %w", err)
	}
	return nil
}
