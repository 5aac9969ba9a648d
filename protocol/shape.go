package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// freeElements is how many array elements any request may have. Beyond it, elements must be at least
	// bytesPerElement long on average, which keeps the memory of a decoded request within a small multiple of its size.
	freeElements    = 1 << 16
	bytesPerElement = 16
	// maxTags bounds tagged fields in one request: each costs a map entry. Clients send none or a handful.
	maxTags = 1024
)

// kind is how a field is laid out on the wire.
type kind uint8

const (
	fixed  kind = iota // size bytes
	text               // int16 length, or compact
	blob               // int32 length, or compact
	array              // int32 count, or compact, then elements
	record             // fields, then tags when flexible
	option             // int8 -1, or another and a record
)

// shape is the wire layout of a message or of a part of it, in all versions.
type shape struct {
	kind     kind
	size     int
	from, to int16   // the versions that have it
	fields   []shape // of a record; of an array, its one element; of an option, its record
	tagged   map[uint32]shape
}

// check walks a message without allocating and says whether its lengths and counts hold.
func (s shape) check(b []byte, version int16, flexible bool) error {
	w := walker{src: b, flexible: flexible}
	w.walk(&s, version)
	if w.bad {
		return fmt.Errorf("%w: a length or count goes beyond its %d bytes", ErrMalformed, len(b))
	}
	if w.elements > max(freeElements, len(b)/bytesPerElement) {
		return fmt.Errorf("%w: %d array elements in %d bytes", ErrMalformed, w.elements, len(b))
	}
	return nil
}

// walker steps over a message.
type walker struct {
	src       []byte
	flexible  bool
	bad       bool
	elements  int
	tagsFound int
}

func (w *walker) walk(s *shape, version int16) {
	switch s.kind {
	case fixed:
		w.span(s.size, false)
	case text:
		if w.flexible {
			w.span(w.compact(), true)
		} else {
			w.span(int(w.int16()), true)
		}
	case blob:
		w.span(w.length(), true)
	case array:
		w.array(s, version)
	case option:
		if present := w.span(1, false); !w.bad && present[0] != 0xff {
			w.walk(&s.fields[0], version)
		}
	case record:
		for i := range s.fields {
			if f := &s.fields[i]; version >= f.from && version <= f.to && !w.bad {
				w.walk(f, version)
			}
		}
		if w.flexible && !w.bad {
			w.tags(s.tagged, version)
		}
	}
}

func (w *walker) array(s *shape, version int16) {
	n := w.length()
	if n <= 0 { // null or empty
		return
	}
	elem := &s.fields[0]
	if elem.kind != fixed || elem.size > 1 { // bytes stay bytes: acknowledgements have one for each record
		w.elements += n
	}
	if elem.kind == fixed {
		if n > len(w.src)/elem.size {
			w.fail()
			return
		}
		w.span(n*elem.size, false)
		return
	}
	if n > len(w.src) { // every element takes at least one byte
		w.fail()
		return
	}
	for i := 0; i < n && !w.bad; i++ {
		w.walk(elem, version)
	}
}

// tags steps over tagged fields, into those that the decoder knows.
func (w *walker) tags(known map[uint32]shape, version int16) {
	n := w.uvarint()
	w.tagsFound += int(min(n, maxTags+1))
	if w.tagsFound > maxTags {
		w.fail()
	}
	for ; n > 0 && !w.bad; n-- {
		tag, size := w.uvarint(), w.uvarint()
		content := w.span(int(min(size, math.MaxInt32)), false)
		s, ok := known[tag]
		if !ok || w.bad {
			continue
		}
		inner := walker{src: content, flexible: true, elements: w.elements, tagsFound: w.tagsFound}
		inner.walk(&s, version)
		w.bad, w.elements, w.tagsFound = inner.bad, inner.elements, inner.tagsFound
	}
}

// length reads the length of bytes or the count of an array; -1 stands for null.
func (w *walker) length() int {
	if w.flexible {
		return w.compact()
	}
	b := w.span(4, false)
	if w.bad {
		return 0
	}
	return int(int32(binary.BigEndian.Uint32(b)))
}

func (w *walker) compact() int {
	return int(w.uvarint()) - 1
}

func (w *walker) uvarint() uint32 {
	v, n := binary.Uvarint(w.src)
	if n <= 0 || n > 5 || v > math.MaxUint32 {
		w.fail()
		return 0
	}
	w.src = w.src[n:]
	return uint32(v)
}

func (w *walker) int16() int16 {
	b := w.span(2, false)
	if w.bad {
		return 0
	}
	return int16(binary.BigEndian.Uint16(b))
}

// span steps over n bytes. With nullable, a negative n means null.
func (w *walker) span(n int, nullable bool) []byte {
	if n < 0 && nullable {
		return nil
	}
	if w.bad || n < 0 || n > len(w.src) {
		w.fail()
		return nil
	}
	b := w.src[:n]
	w.src = w.src[n:]
	return b
}

func (w *walker) fail() {
	w.bad = true
	w.src = nil
}

// parseShape reads the notation of shapes.go. It is called with constants only.
func parseShape(notation string) (shape, error) {
	spaced := notation
	for _, p := range []string{"?", "[", "{", "}", "<", ">"} {
		spaced = strings.ReplaceAll(spaced, p, " "+p+" ")
	}
	spaced = strings.ReplaceAll(spaced, "]", " ]")
	p := shapeParser{tokens: append(strings.Fields(spaced), "}")}
	s := shape{kind: record, to: math.MaxInt16}
	p.record(&s)
	if p.err == nil && len(p.tokens) != 0 {
		p.err = fmt.Errorf("left over: %q", p.tokens)
	}
	if p.err != nil {
		return s, fmt.Errorf("shape %q: %w", notation, p.err)
	}
	return s, nil
}

type shapeParser struct {
	tokens []string
	err    error
}

func (p *shapeParser) next() string {
	if len(p.tokens) == 0 {
		p.err = fmt.Errorf("ends too early")
		return "}"
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

// record parses fields up to the closing brace.
func (p *shapeParser) record(s *shape) {
	for p.err == nil {
		switch t := p.next(); t {
		case "}":
			return
		case "<":
			s.tagged = make(map[uint32]shape)
			for t = p.next(); t != ">" && p.err == nil; t = p.next() {
				tag, err := strconv.ParseUint(strings.TrimSuffix(t, ":"), 10, 32)
				if err != nil {
					p.err = err
				}
				s.tagged[uint32(tag)] = p.value(p.next())
			}
		default:
			s.fields = append(s.fields, p.value(t))
		}
	}
}

// value parses one field whose first token is t.
func (p *shapeParser) value(t string) shape {
	s := shape{to: math.MaxInt16}
	switch {
	case t == "{":
		s.kind = record
		p.record(&s)
	case t == "?":
		s.kind = option
		s.fields = []shape{p.value(p.next())}
	case t == "[":
		s.kind = array
		s.fields = []shape{p.value(p.next())}
		end := p.next()
		if !strings.HasPrefix(end, "]") {
			p.err = fmt.Errorf("%q instead of ]", end)
		}
		p.versions(&s, strings.TrimPrefix(end, "]"))
	default:
		name, versions, found := strings.Cut(t, "@")
		switch name {
		case "s":
			s.kind = text
		case "b":
			s.kind = blob
		default:
			s.kind = fixed
			var err error
			if s.size, err = strconv.Atoi(name); err != nil || s.size <= 0 {
				p.err = fmt.Errorf("unknown field %q", t)
			}
		}
		if found {
			p.versions(&s, "@"+versions)
		}
	}
	return s
}

// versions parses @3+, @2-4 or @-7 (up to 7).
func (p *shapeParser) versions(s *shape, t string) {
	if t == "" {
		return
	}
	t = strings.TrimPrefix(t, "@")
	var from, to string
	if before, ok := strings.CutSuffix(t, "+"); ok {
		from = before
	} else {
		from, to, _ = strings.Cut(t, "-")
	}
	s.from = p.version(from, 0)
	s.to = p.version(to, math.MaxInt16)
}

func (p *shapeParser) version(t string, ifEmpty int16) int16 {
	if t == "" {
		return ifEmpty
	}
	v, err := strconv.ParseInt(t, 10, 16)
	if err != nil {
		p.err = err
	}
	return int16(v)
}
