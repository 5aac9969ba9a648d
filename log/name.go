package log

import (
	"cmp"
	"fmt"
	"path"
	"strconv"
	"strings"
)

const (
	dataSuffix  = ".log"
	indexSuffix = ".index"
	tempSuffix  = ".tmp"
	digits      = 20
)

// segmentName is the stem of a segment's files: its base offset, and also its base index where the segment before it
// has the same base offset because it holds internal batches only (index is 0 otherwise). Each time that compaction writes
// the segment anew it gets the next generation; as it was appended it has generation 0, and none in its name.
type segmentName struct {
	offset     Offset
	index      Index
	generation uint32
}

func (n segmentName) String() string {
	s := fmt.Sprintf("%0*d", digits, n.offset)
	if n.index != 0 {
		s += fmt.Sprintf("-%0*d", digits, n.index)
	}
	if n.generation != 0 {
		s += fmt.Sprintf(".%d", n.generation)
	}
	return s
}

func (n segmentName) less(m segmentName) bool {
	if c := cmp.Compare(n.offset, m.offset); c != 0 {
		return c < 0
	}
	if c := cmp.Compare(n.index, m.index); c != 0 {
		return c < 0
	}
	return n.generation < m.generation
}

// before says whether n names a place in the log before that of m.
func (n segmentName) before(m segmentName) bool {
	return n.offset < m.offset || n.offset == m.offset && n.index < m.index
}

func (n segmentName) dataFile(dir string) string  { return path.Join(dir, n.String()+dataSuffix) }
func (n segmentName) indexFile(dir string) string { return path.Join(dir, n.String()+indexSuffix) }

// parseName is the inverse of String.
func parseName(stem string) (segmentName, bool) {
	place, generation, cleaned := strings.Cut(stem, ".")
	offset, index, long := strings.Cut(place, "-")
	o, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || o < 0 {
		return segmentName{}, false
	}
	n := segmentName{offset: Offset(o)}
	if long {
		i, err := strconv.ParseUint(index, 10, 64)
		if err != nil || i == 0 {
			return segmentName{}, false
		}
		n.index = Index(i)
	}
	if cleaned {
		g, err := strconv.ParseUint(generation, 10, 32)
		if err != nil || g == 0 {
			return segmentName{}, false
		}
		n.generation = uint32(g)
	}
	return n, n.String() == stem
}
