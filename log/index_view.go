package log

import (
	"sort"
	"sync"
)

// blockSlots is how many entries a search reads at once.
const blockSlots = 4096 / entrySize

// indexView is an index at one moment. Truncations may pull the file from under it; then the index's version changed.
type indexView struct {
	h       *handle
	base    Offset
	n       int
	pending []indexEntry
	version int

	first, have int // the slots that are in block
	block       [blockSlots * entrySize]byte
}

// Views are pooled for their blocks.
var indexViews = sync.Pool{New: func() any { return new(indexView) }}

// view opens the index; the caller releases the view.
func (x *index) view() (*indexView, error) {
	h, err := x.file.acquire()
	if err != nil {
		return nil, damaged(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.loaded {
		if err := x.load(); err != nil {
			h.release()
			return nil, err
		}
	}
	v := indexViews.Get().(*indexView)
	v.h, v.base, v.n, v.version, v.have = h, x.base, x.n, x.version, 0
	v.pending = x.pending[:len(x.pending):len(x.pending)]
	return v, nil
}

func (v *indexView) release() {
	v.h.release()
	v.h, v.pending = nil, nil
	indexViews.Put(v)
}

func (v *indexView) count() int { return v.n + len(v.pending) }

// entry returns an entry, checked.
func (v *indexView) entry(slot int) (indexEntry, error) {
	if slot >= v.n {
		return v.pending[slot-v.n], nil
	}
	if slot < v.first || slot >= v.first+v.have {
		first := slot / blockSlots * blockSlots
		have := min(blockSlots, v.n-first)
		v.have = 0
		if _, err := v.h.ReadAt(v.block[:have*entrySize], int64(first)*entrySize); err != nil {
			return indexEntry{}, damaged(err)
		}
		v.first, v.have = first, have
	}
	at := (slot - v.first) * entrySize
	e, ok := decodeEntry(v.block[at:at+entrySize], v.base, slot)
	// A mark where an entry belongs is what the entry was to overwrite: a write that did not reach the disk.
	if !ok || e.mark {
		return indexEntry{}, errIndexDamaged
	}
	return e, nil
}

// search returns the last slot whose entry satisfies before, -1 when none does. before must hold for a prefix.
func (v *indexView) search(before func(indexEntry) bool) (int, error) {
	var failed error
	slot := sort.Search(v.count(), func(slot int) bool {
		if failed != nil {
			return true
		}
		e, err := v.entry(slot)
		if err != nil {
			failed = err
			return true
		}
		return !before(e)
	})
	return slot - 1, failed
}

// at returns the entry in slot, where slot -1 stands for the start of the segment.
func (v *indexView) at(slot int) (indexEntry, error) {
	if slot < 0 {
		return indexEntry{maxTimestamp: -1}, nil
	}
	return v.entry(slot)
}
