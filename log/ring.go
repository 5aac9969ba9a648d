package log

import (
	"sort"

	"balsa/log/batch"
)

// ringMax is how many of the last entries are answered from memory: two of Raft's largest AppendEntries.
const (
	ringMin = 16
	ringMax = 2048
)

// slot is an entry's header and its position in its segment.
type slot struct {
	pos    int64
	header batch.Header
}

// ring holds the headers of the last entries. It grows with use, up to ringMax, and holds nothing until there is an append.
type ring struct {
	slots []slot
	first Index // index of the oldest entry held
	n     int
}

func (r *ring) at(i Index) *slot { return &r.slots[uint64(i)%uint64(len(r.slots))] }

// has says whether entry i is held.
func (r *ring) has(i Index) bool { return r.n > 0 && i >= r.first && i < r.next() }

func (r *ring) next() Index { return r.first + Index(r.n) }

// push adds entry i, which follows the last one held, or is the first.
func (r *ring) push(i Index, s slot) {
	if r.n > 0 && r.next() != i {
		*r = ring{}
	}
	if r.n == 0 {
		r.first = i
	}
	switch {
	case r.n < len(r.slots):
	case r.n < ringMax:
		r.grow()
	default:
		r.first++
		r.n--
	}
	*r.at(i) = s
	r.n++
}

func (r *ring) grow() {
	grown := ring{slots: make([]slot, max(ringMin, 2*len(r.slots))), first: r.first, n: r.n}
	for i := r.first; i < r.next(); i++ {
		*grown.at(i) = *r.at(i)
	}
	*r = grown
}

// truncate drops the entries from i on.
func (r *ring) truncate(i Index) {
	if i <= r.first {
		*r = ring{}
		return
	}
	r.n = min(r.n, int(i-r.first))
}

// trim drops the entries before i.
func (r *ring) trim(i Index) {
	if i >= r.next() {
		*r = ring{}
		return
	}
	if i > r.first {
		r.n -= int(i - r.first)
		r.first = i
	}
}

// search returns the index of the data batch that holds offset o; false when it is not held.
func (r *ring) search(o Offset) (Index, bool) {
	if r.n == 0 || r.at(r.first).header.BaseOffset > o {
		return 0, false
	}
	k := sort.Search(r.n, func(k int) bool { return r.at(r.first+Index(k)).header.NextOffset() > o })
	return r.first + Index(k), k < r.n
}
