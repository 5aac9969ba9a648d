package log

import (
	"path"
	"sort"
	"strings"

	"balsa/log/vfs"
)

// recovery finds out what a directory holds. inspect only reads; apply then makes the directory right, so that a log that
// is refused as corrupt stays as it was found.
//
// What may be cut and what must be there: an index entry, and a mark, is written only after the data before it was
// fsynced, so the last valid one is a point up to which everything is durable, the clean point. Below it any
// damage is ErrCorrupt. Behind it lies data that was fsynced since, which must be kept, and perhaps an append that a crash tore,
// which was never acknowledged and must be cut. They are told apart by what a torn write looks like: see torn.
type recovery struct {
	fs         vfs.FS
	syncer     Syncer
	dir        string
	checkpoint *checkpointFile // nil when there is none
	interval   int64

	segments   []*segment
	txns       map[segmentName]bool // the transaction indexes found
	repairs    []repair
	remove     []string
	fresh      bool // the directory is empty: make the first segment
	next       Index
	nextOffset Offset
	prevEpoch  Epoch
	epochs     epochs
	done       Recovery
}

// repair is what apply does to a segment.
type repair struct {
	segment  *segment
	missing  bool // the index file does not exist
	keep     int  // entries of the index to keep
	entries  []indexEntry
	mark     indexEntry // what follows them
	cut      bool       // the data file ends at mark.pos
	scanned  bool       // the data was not known to be durable
	untidy   bool       // the index has something behind the entries kept
	readable bool       // the index is right as it is
}

// inspect reads the directory, the tail of the last index, and the data behind the clean point.
func (r *recovery) inspect() error {
	names, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return err
	}
	found, indexes := r.sort(names)
	if len(found) == 0 && r.checkpoint == nil {
		r.fresh = true
		for name := range indexes {
			r.remove = append(r.remove, name.indexFile(r.dir))
		}
		return nil
	}
	if err := r.match(found, indexes); err != nil {
		return err
	}
	if err := r.loadEpochs(); err != nil {
		return err
	}
	if err := r.follow(); err != nil {
		return err
	}
	// A first entry of the epoch that was before it begins no epoch, but is the first known of it.
	if s := r.segments[0]; r.next > s.baseIndex && (len(r.epochs) == 0 || r.epochs[0].Index > s.baseIndex) {
		r.epochs = append(epochs{{r.prevEpoch, s.baseIndex, s.base}}, r.epochs...)
	}
	return nil
}

// sort makes sense of the file names. What a crash left half written is to be removed.
func (r *recovery) sort(names []string) (found []segmentName, indexes map[segmentName]bool) {
	indexes, r.txns = map[segmentName]bool{}, map[segmentName]bool{}
	for _, name := range names {
		ext := path.Ext(name)
		if ext == tempSuffix {
			r.remove = append(r.remove, path.Join(r.dir, name))
			continue
		}
		n, ok := parseName(strings.TrimSuffix(name, ext))
		switch {
		case !ok:
		case ext == dataSuffix:
			found = append(found, n)
		case ext == indexSuffix:
			indexes[n] = true
		case ext == txnSuffix:
			r.txns[n] = true
		}
	}
	sort.Slice(found, func(i, k int) bool { return found[i].less(found[k]) })
	return found, indexes
}

// match compares the segments found with those of the checkpoint, and gives those their base indexes. Segments before
// the checkpoint's first were being deleted; the checkpoint's own may be missing at the front only, where they were
// deleted since; segments behind its last are newer.
func (r *recovery) match(found []segmentName, indexes map[segmentName]bool) error {
	known := []checkpointSegment{{name: segmentName{}, baseIndex: 1, size: -1}}
	if r.checkpoint != nil {
		known = r.checkpoint.segments
	}
	found, err := r.leftovers(found, indexes, known)
	if err != nil {
		return err
	}
	for len(found) > 0 && found[0].less(known[0].name) {
		r.remove = append(r.remove, found[0].dataFile(r.dir), found[0].indexFile(r.dir))
		delete(indexes, found[0])
		found = found[1:]
	}
	if len(found) == 0 {
		return corrupt(known[0].name.dataFile(r.dir), 0, "segment is missing")
	}
	for len(known) > 0 && known[0].name != found[0] {
		known = known[1:]
	}
	if len(known) == 0 {
		k := r.checkpoint
		if k == nil || found[0].offset != k.nextOffset || found[0].index != 0 && found[0].index != k.Index+1 {
			return corrupt(found[0].dataFile(r.dir), 0, "segments before it are missing")
		}
		known = []checkpointSegment{{name: found[0], baseIndex: k.Index + 1, size: -1}}
	}
	for i, name := range found {
		s := newSegment(r.fs, r.dir, name, 0)
		s.size = -1
		if i < len(known) {
			if known[i].name != name {
				return corrupt(known[i].name.dataFile(r.dir), 0, "segment is missing")
			}
			s.baseIndex, s.size = known[i].baseIndex, known[i].size
		}
		r.segments = append(r.segments, s)
	}
	if len(found) < len(known) {
		return corrupt(known[len(found)].name.dataFile(r.dir), 0, "segment is missing")
	}
	for _, s := range r.segments {
		delete(indexes, s.name)
	}
	for name := range indexes { // without a segment
		r.remove = append(r.remove, name.indexFile(r.dir))
	}
	r.matchTxns()
	return nil
}

// matchTxns tells the segments which of them have a transaction index.
func (r *recovery) matchTxns() {
	for _, s := range r.segments {
		s.txns.exists = r.txns[s.name]
		delete(r.txns, s.name)
	}
	for name := range r.txns { // without a segment
		r.remove = append(r.remove, name.txnFile(r.dir))
	}
}

// leftovers sorts out what compaction left: segments that it was writing, and those that were replaced. Which segments there
// are up to its position is for the checkpoint to say; nothing else is left out, so that a segment of the list that is
// missing shows.
func (r *recovery) leftovers(found []segmentName, indexes map[segmentName]bool, known []checkpointSegment) ([]segmentName, error) {
	listed := map[segmentName]bool{}
	for _, k := range known {
		listed[k.name] = true
	}
	kept := found[:0:0]
	for _, name := range found {
		// The segment of the list in whose place it lies.
		k := sort.Search(len(known), func(k int) bool { return name.before(known[k].name) }) - 1
		cleaned := k >= 0 && known[k].name.generation > 0 && k+1 < len(known)
		if listed[name] || name.generation == 0 && !cleaned {
			kept = append(kept, name)
			continue
		}
		if r.checkpoint == nil {
			return nil, corrupt(checkpointPath(r.dir), 0, "checkpoint is missing, but there is a compacted segment %s", name)
		}
		r.remove = append(r.remove, name.dataFile(r.dir), name.indexFile(r.dir))
		delete(indexes, name)
	}
	return kept, nil
}

// loadEpochs starts the epoch history with what the checkpoint has.
func (r *recovery) loadEpochs() error {
	c := r.checkpoint
	if c == nil {
		return nil
	}
	first := r.segments[0]
	if first.baseIndex > c.Index+1 {
		return corrupt(first.data.path, 0, "first entry is %d, the checkpoint is at %d", first.baseIndex, c.Index)
	}
	r.prevEpoch = c.epochs.at(first.baseIndex-1, c.prevEpoch)
	r.epochs = c.epochs.trim(first.baseIndex, first.base, c.Index+1)
	return nil
}

// follow goes through the segments in order: by a stat where the checkpoint knows all about one, by the seal of
// those that are newer, and to the last one's end.
func (r *recovery) follow() error {
	for k, s := range r.segments {
		size, err := r.fileSize(s)
		if err != nil {
			return err
		}
		if k == len(r.segments)-1 {
			return r.tail(s, size, nil)
		}
		next := r.segments[k+1]
		if s.size >= 0 {
			if size != s.size {
				return corrupt(s.data.path, size, "segment has %d bytes, not %d", size, s.size)
			}
			continue
		}
		if err := r.tail(s, size, next); err != nil {
			return err
		}
		if known := next.baseIndex; known != 0 && known != r.next {
			return corrupt(next.data.path, 0, "first entry is %d in the checkpoint, %d by the segment before", known, r.next)
		}
		if next.base != r.nextOffset || next.name.index != 0 && next.name.index != r.next {
			return corrupt(s.data.path, size, "segment ends at offset %d, entry %d; the next one is %s", r.nextOffset, r.next, next.name)
		}
		next.baseIndex = r.next
	}
	return nil
}

func (r *recovery) fileSize(s *segment) (int64, error) {
	h, err := s.data.acquire()
	if err != nil {
		return 0, err
	}
	defer h.release()
	size, err := h.Size()
	if err == nil && size > maxSegmentBytes {
		err = corrupt(s.data.path, size, "segment is too large")
	}
	return size, err
}

// tail finds the end of a segment whose end the checkpoint does not know, and the epochs that begin in it.
func (r *recovery) tail(s *segment, size int64, next *segment) error {
	t := tailScan{r: r, s: s, size: size, next: next}
	rep, err := t.run()
	if err != nil {
		return err
	}
	s.size, s.maxTimestamp, s.timeKnown = int64(rep.mark.pos), rep.mark.maxTimestamp, true
	r.next, r.nextOffset = s.baseIndex+Index(rep.mark.relIndex), s.base+Offset(rep.mark.relOffset)
	r.repairs = append(r.repairs, rep)
	return nil
}

// apply makes the directory what inspect found it to be.
func (r *recovery) apply() error {
	if r.fresh {
		s := newSegment(r.fs, r.dir, segmentName{}, 1)
		r.segments = []*segment{s}
		r.next = 1
		s.timeKnown = true
		if err := s.create(); err != nil {
			return err
		}
	}
	if err := r.createIndexes(); err != nil {
		return err
	}
	// This also covers what the process that was here before created, renamed or deleted and may not have made durable:
	// before anything builds on it, it must be.
	if err := r.fs.SyncDir(r.dir); err != nil {
		return err
	}
	for _, p := range r.remove {
		// One by one, in order: a crash must not leave a hole between segments.
		if err := removeIfThere(r.fs, p); err != nil {
			return err
		}
		if err := r.fs.SyncDir(r.dir); err != nil {
			return err
		}
	}
	for _, rep := range r.repairs {
		if err := rep.apply(r.syncer); err != nil {
			return err
		}
	}
	for _, s := range r.segments[:len(r.segments)-1] {
		s.data.closeNow()
		s.index.file.closeNow()
	}
	return nil
}

// createIndexes creates the index files that are missing, empty.
func (r *recovery) createIndexes() error {
	for _, rep := range r.repairs {
		if !rep.missing {
			continue
		}
		file, err := r.fs.OpenFile(rep.segment.index.file.path, true)
		if err != nil {
			return err
		}
		rep.segment.index.file.replace(file)
	}
	return nil
}

// apply makes the segment end where it was found to end, durably, and its index right.
func (rep *repair) apply(syncer Syncer) error {
	s := rep.segment
	if rep.cut || rep.scanned {
		h, err := s.data.acquire()
		if err != nil {
			return err
		}
		defer h.release()
		if rep.cut {
			if err := h.Truncate(int64(rep.mark.pos)); err != nil {
				return err
			}
		}
		if err := syncer.Sync(h.File); err != nil {
			return err
		}
	}
	return rep.applyIndex(syncer)
}

func (rep *repair) applyIndex(syncer Syncer) error {
	x := &rep.segment.index
	x.loaded, x.n, x.pending, x.mark = true, rep.keep, rep.entries, rep.mark
	if rep.readable {
		return nil
	}
	if rep.untidy {
		h, err := x.file.acquire()
		if err != nil {
			return err
		}
		defer h.release()
		if err := h.Truncate(int64(rep.keep) * entrySize); err != nil {
			return err
		}
	}
	if x.flush(rep.mark) != nil {
		return nil // a full disk: the entries stay in memory
	}
	if rep.mark.sealed {
		return x.sync(syncer)
	}
	return nil
}
