package log

import (
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
// has the same base offset because it holds internal batches only (index is 0 otherwise).
type segmentName struct {
	offset Offset
	index  Index
}

func (n segmentName) String() string {
	if n.index == 0 {
		return fmt.Sprintf("%0*d", digits, n.offset)
	}
	return fmt.Sprintf("%0*d-%0*d", digits, n.offset, digits, n.index)
}

func (n segmentName) less(m segmentName) bool {
	return n.offset < m.offset || n.offset == m.offset && n.index < m.index
}

func (n segmentName) dataFile(dir string) string  { return path.Join(dir, n.String()+dataSuffix) }
func (n segmentName) indexFile(dir string) string { return path.Join(dir, n.String()+indexSuffix) }

// parseName is the inverse of String.
func parseName(stem string) (segmentName, bool) {
	offset, index, long := strings.Cut(stem, "-")
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
	return n, n.String() == stem
}
