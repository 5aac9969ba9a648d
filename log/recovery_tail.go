package log

import (
	"errors"
	"math"

	"balsa/log/batch"
)

// tailScan finds the end of one segment.
type tailScan struct {
	r    *recovery
	s    *segment
	size int64    // of the data file
	next *segment // the segment behind it, nil for the active one

	index    *handle // nil when the file is missing
	slots    int
	last     indexEntry // the last valid entry or mark
	lastSlot int        // -1 when there is none
}

// run returns what is to be done to the segment; its mark is the segment's end.
func (t *tailScan) run() (repair, error) {
	h, err := t.s.index.file.acquire()
	switch {
	case isNotExist(err):
		t.lastSlot = -1
	case err != nil:
		return repair{}, err
	default:
		t.index = h
		defer h.release()
		if err := t.findLast(); err != nil {
			return repair{}, err
		}
	}
	if t.lastSlot >= 0 && t.last.sealed {
		return t.sealed()
	}
	history := t.r.epochs
	rep, err := t.scan(t.lastSlot)
	if errors.Is(err, errIndexDamaged) {
		t.r.epochs = history
		t.r.done.RebuiltIndexes++
		rep, err = t.scan(-1)
	}
	return rep, err
}

// findLast searches the index backwards for a valid entry: behind it may be entries that did not reach the disk whole.
func (t *tailScan) findLast() error {
	size, err := t.index.Size()
	if err != nil {
		return err
	}
	t.slots, t.lastSlot = int(size/entrySize), -1
	var block [blockSlots * entrySize]byte
	for end := t.slots; end > 0; {
		first := max(0, end-blockSlots)
		b := block[:(end-first)*entrySize]
		if _, err := t.index.ReadAt(b, int64(first)*entrySize); err != nil {
			return err
		}
		for slot := end - 1; slot >= first; slot-- {
			if e, ok := decodeEntry(b[(slot-first)*entrySize:], t.s.base, slot); ok {
				t.last, t.lastSlot = e, slot
				return nil
			}
		}
		end = first
	}
	return nil
}

// sealed answers for a segment whose index says that it is complete.
func (t *tailScan) sealed() (repair, error) {
	if t.next == nil {
		return repair{}, corrupt(t.s.data.path, t.size, "segment is sealed, but the next one is missing")
	}
	if t.size != int64(t.last.pos) {
		return repair{}, corrupt(t.s.data.path, t.size, "segment has %d bytes, its index says %d", t.size, t.last.pos)
	}
	history := t.r.epochs
	err := t.epochsBefore(t.lastSlot)
	if errors.Is(err, errIndexDamaged) {
		t.r.epochs = history
		t.r.done.RebuiltIndexes++
		return t.scan(-1)
	}
	return repair{segment: t.s, keep: t.lastSlot, mark: t.last, readable: true}, err
}

// epochsBefore adds to the history the epochs that begin in the entries before slot and behind the checkpoint.
func (t *tailScan) epochsBefore(slot int) error {
	v := indexViews.Get().(*indexView)
	defer indexViews.Put(v)
	v.h, v.base, v.n, v.pending, v.have = t.index, t.s.base, slot, nil, 0
	known := int64(0) // entries of the segment that the checkpoint covers
	if c := t.r.checkpoint; c != nil && c.Index >= t.s.baseIndex {
		known = int64(c.Index-t.s.baseIndex) + 1
	}
	from, err := v.search(func(e indexEntry) bool { return int64(e.relIndex) < known })
	if err != nil {
		return err
	}
	prev, err := v.at(from)
	if err != nil {
		return err
	}
	for k := from + 1; k < slot; k++ {
		e, err := v.entry(k)
		if err != nil {
			return err
		}
		if k > 0 && (e.pos <= prev.pos || e.relIndex <= prev.relIndex) {
			return errIndexDamaged
		}
		prev = e
		if e.epochStart {
			if err := t.epochAt(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// epochAt adds the epoch of the batch that an entry points to.
func (t *tailScan) epochAt(e indexEntry) error {
	if int64(e.pos) >= t.size {
		return corrupt(t.s.data.path, t.size, "segment has %d bytes, its index has a batch at %d", t.size, e.pos)
	}
	c, err := t.s.cursor(e, t.size)
	if err != nil {
		return err
	}
	defer c.release()
	if _, err := c.load(); err != nil {
		return err
	}
	return t.epoch(c.index, &c.header, c.pos)
}

// checkpointed says whether the checkpoint covers entry i, and so knows its epoch.
func (t *tailScan) checkpointed(i Index) bool {
	c := t.r.checkpoint
	return c != nil && i <= c.Index
}

// epochFloor is the least epoch that entry i may have. The history may reach beyond i: when the index is lost, a scan
// begins at the segment's start, and the checkpoint knows epochs that began since.
func (t *tailScan) epochFloor(i Index) Epoch {
	if t.checkpointed(i) {
		return t.r.epochs.at(i, t.r.prevEpoch)
	}
	return t.r.epochs.last(t.r.prevEpoch)
}

// epoch takes a batch's epoch into the history.
func (t *tailScan) epoch(i Index, h *batch.Header, pos int64) error {
	last := t.epochFloor(i)
	if t.checkpointed(i) {
		if h.Epoch != last {
			return corrupt(t.s.data.path, pos, "entry %d has epoch %d, not %d", i, h.Epoch, last)
		}
		return nil
	}
	if h.Epoch < last {
		return corrupt(t.s.data.path, pos, "entry %d has epoch %d after %d", i, h.Epoch, last)
	}
	if h.Epoch > last {
		t.r.epochs = append(t.r.epochs[:len(t.r.epochs):len(t.r.epochs)], EpochStart{h.Epoch, i, h.BaseOffset})
	}
	return nil
}

// scan checks every batch from the clean point that slot stands for on (-1: the start of the segment) and finds where
// the segment ends. In a segment that has a successor all was durable.
func (t *tailScan) scan(slot int) (repair, error) {
	var from indexEntry
	if slot >= 0 {
		if err := t.epochsBefore(slot); err != nil {
			return repair{}, err
		}
		from = t.last
	} else {
		from.maxTimestamp = batch.NoTimestamp
	}
	if t.size < int64(from.pos) {
		return repair{}, corrupt(t.s.data.path, t.size, "segment has %d bytes, its index has data up to %d", t.size, from.pos)
	}
	// An ordinary entry is written anew when its batch is scanned: since starts at the interval, so the first one gets one.
	rep := repair{segment: t.s, missing: t.index == nil, keep: max(slot, 0), untidy: t.slots > slot+1}
	x := indexer{interval: t.r.interval, since: t.r.interval, maxTimestamp: from.maxTimestamp}
	x.epoch = t.r.epochs.at(t.s.baseIndex+Index(from.relIndex)-1, t.r.prevEpoch)
	durable := t.durable()
	sc := scanner{path: t.s.data.path, size: t.size, pos: int64(from.pos), offset: t.s.base + Offset(from.relOffset)}
	index := t.s.baseIndex + Index(from.relIndex)
	h, err := t.s.data.acquire()
	if err != nil {
		return repair{}, err
	}
	defer h.release()
	sc.f = h.File
	for sc.pos < t.size {
		header, d, err := sc.batch(t.epochFloor(index))
		if err != nil {
			return repair{}, err
		}
		if d.reason != nil {
			if sc.pos < durable {
				return repair{}, corrupt(sc.path, sc.pos, "%v, below what was durable, %d", d.reason, durable)
			}
			isTorn, err := sc.torn(d)
			if err != nil {
				return repair{}, err
			}
			if !isTorn {
				return repair{}, corrupt(sc.path, sc.pos, "%v, and this is not what a torn write leaves", d.reason)
			}
			rep.cut = true
			t.r.done.CutBytes += t.size - sc.pos
			break
		}
		if err := t.epoch(index, &header, sc.pos); err != nil {
			return repair{}, err
		}
		if e, wanted := x.add(t.s, &header, index, sc.pos); wanted {
			rep.entries = append(rep.entries, e)
		}
		t.r.done.ScannedBytes += int64(header.Length)
		sc.pos, sc.offset, index = sc.pos+int64(header.Length), header.NextOffset(), index+Index(header.Entries())
	}
	if sc.offset-t.s.base > math.MaxInt32 {
		return repair{}, corrupt(sc.path, sc.pos, "offset %d is too far from the segment's first", sc.offset)
	}
	rep.mark = t.s.markAt(sc.pos, index, sc.offset, x.maxTimestamp)
	rep.mark.sealed = t.next != nil
	// Only a mark says that the file ends where it should. Without one a truncation may have been under way, whose cut is in
	// the page cache and not on the disk.
	rep.scanned = sc.pos > int64(from.pos) || !from.mark
	rep.readable = !rep.scanned && !rep.cut && !rep.untidy && !rep.missing && slot >= 0 && from.mark && !rep.mark.sealed
	return rep, nil
}

// durable returns the position below which everything was fsynced.
func (t *tailScan) durable() int64 {
	switch {
	case t.next != nil:
		return math.MaxInt64
	case t.lastSlot < 0:
		return 0
	case t.last.mark:
		return int64(t.last.pos)
	default:
		return int64(t.last.pos) + 1 // the batch that the entry points to
	}
}
