package log

import (
	"fmt"
	"io"
	"slices"

	"balsa/internal/sendfile"
	"balsa/log/vfs"
)

// Slice is a run of bytes in segment files, ready to be sent. It keeps its files open until Release, also when the log
// deletes them or is closed meanwhile. What TruncateSuffix removed, which is never committed, must not be read.
type Slice struct {
	Ranges     []Range
	Bytes      int64
	NextOffset Offset // the offset after the last data batch in it; the offset asked for when it is empty

	memory *Memory // what the bytes that are in no file were taken from
	taken  int64

	released func() // called by Release; may be nil
}

// InMemory returns a slice of bytes that are in memory, and stay as they are until released is called, which may be nil.
func InMemory(b []byte, released func()) Slice {
	n := int64(len(b))
	return Slice{Bytes: n, Ranges: []Range{{File: sendfile.Bytes(b), Len: n}}, released: released}
}

// Range is a byte range of one open file, or of memory.
type Range struct {
	File     io.ReaderAt
	Pos, Len int64

	h *handle
}

// Send writes n bytes of the range, from its byte at on, to w: by sendfile from the page cache where file and w allow it. Any
// number of Sends of one file may run at the same time. io.ErrUnexpectedEOF when the file is shorter than the range says.
func (r Range) Send(w io.Writer, at, n int64) error {
	src := r.File
	if f := vfs.OSFile(src); f != nil {
		src = f
	}
	if _, err := sendfile.Copy(w, src, r.Pos+at, n); err != nil {
		return fmt.Errorf("send segment from byte %d: %w", r.Pos+at, err)
	}
	return nil
}

// Send writes all of the slice to w; see Range.Send.
func (s *Slice) Send(w io.Writer) error {
	for _, r := range s.Ranges {
		if err := r.Send(w, 0, r.Len); err != nil {
			return err
		}
	}
	return nil
}

// Release lets go of the files. Safe on the zero Slice; once only.
func (s *Slice) Release() {
	for i := range s.Ranges {
		if h := s.Ranges[i].h; h != nil {
			h.release()
		}
	}
	s.Ranges = nil
	s.memory.give(s.taken)
	s.taken = 0
	if s.released != nil {
		s.released()
		s.released = nil
	}
}

// AppendTo appends the slice's bytes to dst (used where sendfile cannot be: tests, TLS, small answers). On an error dst
// is returned as it was.
func (s *Slice) AppendTo(dst []byte) ([]byte, error) {
	out := slices.Grow(dst, int(s.Bytes))
	for _, r := range s.Ranges {
		at := len(out)
		out = out[:at+int(r.Len)]
		if n, err := r.File.ReadAt(out[at:], r.Pos); n < int(r.Len) {
			return dst, fmt.Errorf("read segment at byte %d: %w", r.Pos, err)
		}
	}
	return out, nil
}

// span is a byte range of a segment, or bytes that are in no file.
type span struct {
	segment  *segment // nil: data
	pos, len int64
	data     []byte
}

// spans collects what a slice will hold. Adjacent spans become one.
type spans struct {
	list  []span
	bytes int64
	next  Offset
	last  Index

	memory *Memory // see Slice
	taken  int64
}

func (s *spans) add(seg *segment, pos, n int64) {
	if n == 0 {
		return
	}
	s.bytes += n
	if k := len(s.list) - 1; k >= 0 && s.list[k].segment == seg && s.list[k].pos+s.list[k].len == pos {
		s.list[k].len += n
		return
	}
	s.list = append(s.list, span{segment: seg, pos: pos, len: n})
}

// maxSpans bounds the pieces of one read: what internal batches lie between is not contiguous.
const maxSpans = 512

// open opens the files.
func (s *spans) open() (Slice, error) {
	out := Slice{Bytes: s.bytes, NextOffset: s.next, Ranges: make([]Range, 0, len(s.list)), memory: s.memory, taken: s.taken}
	for _, sp := range s.list {
		if sp.segment == nil {
			out.Ranges = append(out.Ranges, Range{File: sendfile.Bytes(sp.data), Len: sp.len})
			continue
		}
		h, err := sp.segment.data.acquire()
		if err != nil {
			out.Release()
			return Slice{}, err
		}
		out.Ranges = append(out.Ranges, Range{File: h.File, Pos: sp.pos, Len: sp.len, h: h})
	}
	return out, nil
}
