package log

import (
	"bytes"
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
}

// gather copies the spans into memory, with one read for each segment: little but headers of gaps lies between them.
func (s *spans) gather() (Slice, error) {
	out := make([]byte, 0, s.bytes)
	for list := s.list; len(list) > 0; {
		n := 1
		for n < len(list) && list[n].segment == list[0].segment {
			n++
		}
		var err error
		if out, err = gatherSegment(out, list[:n]); err != nil {
			return Slice{}, err
		}
		list = list[n:]
	}
	return Slice{Bytes: s.bytes, NextOffset: s.next, Ranges: []Range{{File: bytes.NewReader(out), Len: s.bytes}}}, nil
}

// gatherSegment appends spans of one segment, in order.
func gatherSegment(out []byte, list []span) ([]byte, error) {
	if list[0].segment == nil {
		for _, sp := range list {
			out = append(out, sp.data...)
		}
		return out, nil
	}
	h, err := list[0].segment.data.acquire()
	if err != nil {
		return nil, err
	}
	defer h.release()
	from, last := list[0].pos, list[len(list)-1]
	all := make([]byte, last.pos+last.len-from)
	if n, err := h.ReadAt(all, from); n < len(all) {
		return nil, fmt.Errorf("read segment at byte %d: %w", from, err)
	}
	for _, sp := range list {
		out = append(out, all[sp.pos-from:sp.pos-from+sp.len]...)
	}
	return out, nil
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

const (
	// maxSpans bounds the pieces of one read: what internal batches lie between is not contiguous.
	maxSpans = 512
	// gatherPiece is the average size of pieces below which they are read into memory, up to gatherBytes: compaction leaves
	// many gaps, and one write of what lies between them is cheaper than a system call for each piece.
	gatherPiece = 16 << 10
	gatherBytes = 1 << 20
)

// open opens the files. Many small pieces are read at once.
func (s *spans) open() (Slice, error) {
	if n := int64(len(s.list)); n > 16 && s.bytes <= min(n*gatherPiece, gatherBytes) {
		return s.gather()
	}
	out := Slice{Bytes: s.bytes, NextOffset: s.next, Ranges: make([]Range, 0, len(s.list))}
	for _, sp := range s.list {
		if sp.segment == nil {
			out.Ranges = append(out.Ranges, Range{File: bytes.NewReader(sp.data), Len: sp.len})
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
