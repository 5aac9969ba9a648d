package log

import (
	"fmt"
	"sort"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// segment is one file of batches and its index. All segments but the last are sealed: complete, durable, unchanging.
type segment struct {
	name      segmentName
	base      Offset
	baseIndex Index
	data      lazyFile
	index     index
	txns      txnIndex

	// size and maxTimestamp are guarded by Log.mu as long as the segment is active, and constant afterwards.
	size         int64
	maxTimestamp int64 // of the data batches; NoTimestamp when there is none. Known once timeKnown.
	timeKnown    bool

	birth int64 // timestamp of the first data batch, ms; unknownBirth until asked for. Guarded by Log.appendMu.
}

func newSegment(fs vfs.FS, dir string, name segmentName, baseIndex Index) *segment {
	s := &segment{name: name, base: name.offset, baseIndex: baseIndex, maxTimestamp: batch.NoTimestamp}
	s.data = lazyFile{fs: fs, path: name.dataFile(dir)}
	s.index.init(fs, name.indexFile(dir), name.offset)
	s.txns.init(fs, name.txnFile(dir), name.offset)
	return s
}

// create makes the segment's files, empty. They are durable after a SyncDir.
func (s *segment) create() error {
	for _, f := range []*lazyFile{&s.data, &s.index.file} {
		file, err := f.fs.OpenFile(f.path, true)
		if err != nil {
			return fmt.Errorf("create segment: %w", err)
		}
		f.replace(file)
		if size, err := file.Size(); err != nil {
			return fmt.Errorf("create segment: %w", err)
		} else if size == 0 {
			continue
		}
		if err := file.Truncate(0); err != nil {
			return fmt.Errorf("create segment: %w", err)
		}
		if err := file.Sync(); err != nil {
			return fmt.Errorf("create segment: %w", err)
		}
	}
	s.index.loaded = true
	return nil
}

// remove deletes the files. Users of open ones can go on reading.
func (s *segment) remove() error {
	for _, f := range []*lazyFile{&s.data, &s.index.file, &s.txns.file} {
		f.retire(errRemoved)
		if err := removeIfThere(f.fs, f.path); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) retire(why error) {
	s.data.retire(why)
	s.index.file.retire(why)
	s.txns.file.retire(why)
}

// rel returns o relative to the segment's base.
func (s *segment) rel(o Offset) int64 { return int64(o - s.base) }

// relIndex returns i relative to the segment's first entry.
func (s *segment) relIndex(i Index) int64 { return int64(i - s.baseIndex) }

// view is what a reader sees: the log at one moment. Its segments' files may be gone by the time they are used; then
// Log.generation has changed.
type view struct {
	segments   []*segment
	size       int64 // of the last segment
	nextIndex  Index
	nextOffset Offset
	generation uint64
}

func (l *Log) view() (view, error) {
	l.activity.Add(1)
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return view{}, ErrClosed
	}
	return view{l.segments, l.active().size, l.nextIndex, l.nextOffset, l.generation}, nil
}

// changedSince says whether segments or entries were removed since v was taken.
func (l *Log) changedSince(v view) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.generation != v.generation && !l.closed
}

func (v *view) firstIndex() Index   { return v.segments[0].baseIndex }
func (v *view) firstOffset() Offset { return v.segments[0].base }

// byOffset returns the ordinal of the segment that holds offset o, or would.
func (v *view) byOffset(o Offset) int {
	return sort.Search(len(v.segments), func(k int) bool { return v.segments[k].base > o }) - 1
}

// byIndex returns the ordinal of the segment that holds entry i, or would.
func (v *view) byIndex(i Index) int {
	return sort.Search(len(v.segments), func(k int) bool { return v.segments[k].baseIndex > i }) - 1
}

// end returns where segment k ends.
func (v *view) end(k int) (size int64, next Index, offset Offset) {
	if k == len(v.segments)-1 {
		return v.size, v.nextIndex, v.nextOffset
	}
	return v.segments[k].size, v.segments[k+1].baseIndex, v.segments[k+1].base
}
