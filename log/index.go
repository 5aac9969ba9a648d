package log

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"balsa/log/vfs"
)

// errIndexDamaged means that an index must be rebuilt. It never leaves the package.
var errIndexDamaged = errors.New("index damaged")

// errRemoved is what users of a removed segment meet; they look at the log anew.
var errRemoved = errors.New("segment removed")

// index is a segment's sparse index: a file of entries, and in memory those whose data is not durable yet. It is searched in
// the file; nothing of it is cached but by the kernel, so that an idle log costs no memory.
type index struct {
	file lazyFile
	base Offset

	mu      sync.Mutex
	loaded  bool // n is known
	n       int  // entries in the file, not counting the mark behind them
	pending []indexEntry
	version int        // counts truncations and rebuilds
	dirty   int        // entries written since the last fsync of the file
	mark    indexEntry // the mark behind the entries of the file
}

func (x *index) init(fs vfs.FS, path string, base Offset) {
	x.file = lazyFile{fs: fs, path: path}
	x.base = base
}

// add appends entries whose data was written but is not durable.
func (x *index) add(entries []indexEntry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.pending = append(x.pending, entries...)
}

// flush writes the entries of batches before mark.pos, which is durable, and the mark behind them. If it fails the
// entries stay in memory: an index is never needed to be complete.
func (x *index) flush(mark indexEntry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.flushLocked(mark)
}

func (x *index) flushLocked(mark indexEntry) error {
	k := 0
	for k < len(x.pending) && x.pending[k].pos < mark.pos {
		k++
	}
	buf := make([]byte, (k+1)*entrySize)
	for i, e := range x.pending[:k] {
		e.encode(buf[i*entrySize:], x.base, x.n+i)
	}
	mark.mark = true
	mark.encode(buf[k*entrySize:], x.base, x.n+k)
	h, err := x.file.acquire()
	if err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	defer h.release()
	if _, err := h.WriteAt(buf, int64(x.n)*entrySize); err != nil {
		return fmt.Errorf("write index: %w", err)
	}
	x.n += k
	x.dirty += k + 1
	x.mark = mark
	if x.pending = x.pending[k:]; len(x.pending) == 0 {
		x.pending = nil
	}
	return nil
}

// sync makes what was flushed durable.
func (x *index) sync(syncer Syncer) error {
	h, err := x.file.acquire()
	if err != nil {
		return fmt.Errorf("sync index: %w", err)
	}
	defer h.release()
	x.mu.Lock()
	dirty := x.dirty
	x.mu.Unlock()
	if err := syncer.Sync(h.File); err != nil {
		return fmt.Errorf("sync index: %w", err)
	}
	x.mu.Lock()
	x.dirty -= dirty
	x.mu.Unlock()
	return nil
}

// truncate durably removes all entries at or behind pos, and the mark, so that the index never claims more than the
// data file holds when that is truncated next.
func (x *index) truncate(pos int64, syncer Syncer) error {
	v, err := x.view()
	if err != nil {
		return err
	}
	defer v.release()
	keep, err := v.search(func(e indexEntry) bool { return int64(e.pos) < pos })
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	keep++
	x.version++
	x.pending = append([]indexEntry(nil), x.pending[:max(0, min(keep-x.n, len(x.pending)))]...)
	x.n = min(x.n, keep)
	x.mark = indexEntry{mark: true, maxTimestamp: -1}
	if err := v.h.Truncate(int64(x.n) * entrySize); err != nil {
		return fmt.Errorf("truncate index: %w", err)
	}
	if err := syncer.Sync(v.h.File); err != nil {
		return fmt.Errorf("truncate index: %w", err)
	}
	x.dirty = 0
	return nil
}

// load finds out how many entries a sealed segment's index has, and its seal. The caller holds mu.
func (x *index) load() error {
	h, err := x.file.acquire()
	if err != nil {
		return damaged(err)
	}
	defer h.release()
	size, err := h.Size()
	if err != nil {
		return err
	}
	slots := int(size / entrySize)
	if slots == 0 || size%entrySize != 0 {
		return errIndexDamaged
	}
	var buf [entrySize]byte
	if _, err := h.ReadAt(buf[:], int64(slots-1)*entrySize); err != nil {
		return damaged(err)
	}
	seal, ok := decodeEntry(buf[:], x.base, slots-1)
	if !ok || !seal.sealed {
		return errIndexDamaged
	}
	x.n, x.loaded, x.mark = slots-1, true, seal
	return nil
}

// damaged turns the errors of a missing or short index file into errIndexDamaged.
func damaged(err error) error {
	if errors.Is(err, io.EOF) || isNotExist(err) {
		return errIndexDamaged
	}
	return err
}
