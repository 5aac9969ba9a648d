package log

import (
	"context"
	"errors"
	"fmt"
	"math"

	"balsa/log/batch"
)

// cleaned takes what compaction keeps of a segment.
type cleaned interface {
	// keep takes a batch that stays, or what stays of one.
	keep(b batch.Batch, h *batch.Header, changed bool) error
	// drop takes one that goes.
	drop(h *batch.Header) error
}

// pour sends what r keeps of a segment to out.
func (c *compaction) pour(ctx context.Context, s *segment, r *retention, out cleaned) error {
	in, err := c.read(ctx, s)
	if err != nil {
		return err
	}
	defer in.release()
	for {
		if more, err := in.next(); err != nil || !more {
			return err
		}
		kept, err := r.keep(in.raw, &in.header, in.index)
		switch {
		case errors.Is(err, batch.ErrInvalidRecord), errors.Is(err, batch.ErrCorrupt):
			return corrupt(s.data.path, in.pos, "%v", err)
		case err != nil:
			return err
		case kept == nil:
			if in.header.Kind != batch.KindGap {
				r.done.Batches++
			}
			err = out.drop(&in.header)
		default:
			h := kept.Header()
			err = out.keep(kept, &h, h.Length != in.header.Length || h.CRC != in.header.CRC)
		}
		if err != nil {
			return err
		}
	}
}

// errChanged ends a trial.
var errChanged = errors.New("segment changes")

// trial finds out whether writing a segment anew is worth it: if any record goes, or an entry about a share group, or if gaps become enough fewer.
type trial struct {
	run   gapRun
	saved int64
}

func (t *trial) keep(_ batch.Batch, _ *batch.Header, changed bool) error {
	t.run = gapRun{}
	if changed {
		return errChanged
	}
	return nil
}

func (t *trial) drop(h *batch.Header) error {
	if !h.IsInternal() || h.Kind == batch.KindShare {
		return errChanged // what a deletion supersedes must be gone from the disk, too, before the deletion goes: see retention
	}
	if t.run.add(h) {
		t.saved += int64(h.Length)
		return nil
	}
	t.run = gapRun{}
	t.run.add(h)
	t.saved += int64(h.Length) - batch.HeaderLen
	return nil
}

// worthFraction is the part of a segment that gaps must save to have it written anew for that alone.
const worthFraction = 10

// changes says whether a segment must be written anew.
func (c *compaction) changes(ctx context.Context, s *segment, r *retention) (bool, error) {
	var t trial
	err := c.pour(ctx, s, r, &t)
	if errors.Is(err, errChanged) {
		return true, nil
	}
	return t.saved*worthFraction > s.size, err
}

// gapRun is a gap in the making.
type gapRun struct {
	entries, offsets int64
	epoch            Epoch
}

// add makes the gap longer; false when what is added does not fit it.
func (g *gapRun) add(h *batch.Header) bool {
	offsets := int64(h.LastOffsetDelta) + 1
	if g.entries > 0 && (g.epoch != h.Epoch || g.entries+h.Entries() > batch.MaxGap || g.offsets+offsets > math.MaxInt32) {
		return false
	}
	g.entries, g.offsets, g.epoch = g.entries+h.Entries(), g.offsets+offsets, h.Epoch
	return true
}

// rewrite replaces a group of segments by one with what r keeps of them.
func (c *compaction) rewrite(ctx context.Context, g group, r *retention) error {
	w, err := c.newWriter(ctx, g)
	if err != nil {
		return err
	}
	for _, s := range g.segments {
		if err = c.pour(ctx, s, r, w); err != nil {
			break
		}
	}
	if err == nil {
		err = w.finish(g, r.upTo)
	}
	if err == nil {
		err = c.log.replace(g.segments, w.segment)
	}
	if err != nil && c.log.Failed() == nil {
		// Nothing refers to the files. Those that cannot be deleted now are overwritten, or deleted by the next Open. (Of a log
		// that failed, nobody knows which files are its own.)
		_ = w.segment.remove()
	}
	return err
}

// segmentWriter writes a compacted segment and its index.
type segmentWriter struct {
	c       *compaction
	ctx     context.Context
	segment *segment
	indexer indexer
	run     gapRun

	pos    int64
	next   Index
	offset Offset
	slot   int // of the next index entry

	data, index       []byte // not written yet
	dataPos, indexPos int64  // where they belong
}

// newWriter creates the files, under names of their own: nothing refers to them before the checkpoint does.
func (c *compaction) newWriter(ctx context.Context, g group) (*segmentWriter, error) {
	l, first := c.log, g.segments[0]
	name := first.name
	name.generation++
	s := newSegment(l.fs, l.dir, name, first.baseIndex)
	if err := s.create(); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return &segmentWriter{
		c: c, ctx: ctx, segment: s, next: s.baseIndex, offset: s.base,
		indexer: indexer{
			interval: int64(l.config.IndexIntervalBytes), epoch: l.epochs.at(s.baseIndex-1, l.prevEpoch),
			maxTimestamp: batch.NoTimestamp,
		},
	}, nil
}

func (w *segmentWriter) keep(b batch.Batch, h *batch.Header, _ bool) error {
	if err := w.flushGap(); err != nil {
		return err
	}
	return w.add(b, h)
}

func (w *segmentWriter) drop(h *batch.Header) error {
	if w.run.add(h) {
		return nil
	}
	if err := w.flushGap(); err != nil {
		return err
	}
	w.run.add(h)
	return nil
}

// flushGap writes the gap that was gathered.
func (w *segmentWriter) flushGap() error {
	if w.run.entries == 0 {
		return nil
	}
	b := batch.Gap(w.run.entries, w.run.offsets)
	b.Stamp(w.offset, w.run.epoch)
	h := b.Header()
	w.run = gapRun{}
	return w.add(b, &h)
}

// add writes a batch.
func (w *segmentWriter) add(b batch.Batch, h *batch.Header) error {
	if e, wanted := w.indexer.add(w.segment, h, w.next, w.pos); wanted {
		w.putEntry(e)
	}
	w.data = append(w.data, b...)
	w.pos += int64(len(b))
	w.next += Index(h.Entries())
	w.offset = h.NextOffset()
	if len(w.data) < compactChunk {
		return nil
	}
	return w.flush()
}

func (w *segmentWriter) putEntry(e indexEntry) {
	var entry [entrySize]byte
	e.encode(entry[:], w.segment.base, w.slot)
	w.index = append(w.index, entry[:]...)
	w.slot++
}

// flush writes what was gathered.
func (w *segmentWriter) flush() error {
	n := len(w.data) + len(w.index)
	if err := writeTo(&w.segment.data, &w.data, &w.dataPos); err != nil {
		return err
	}
	if err := writeTo(&w.segment.index.file, &w.index, &w.indexPos); err != nil {
		return err
	}
	w.c.done.BytesWritten += int64(n)
	return w.c.throttle(w.ctx, n)
}

func writeTo(f *lazyFile, buf *[]byte, pos *int64) error {
	h, err := f.acquire()
	if err != nil {
		return err
	}
	defer h.release()
	if _, err := h.WriteAt(*buf, *pos); err != nil {
		return err
	}
	*pos += int64(len(*buf))
	*buf = (*buf)[:0]
	return nil
}

// finish completes the files and makes them durable.
func (w *segmentWriter) finish(g group, upTo Offset) error {
	if err := w.flushGap(); err != nil {
		return err
	}
	if w.next != g.next.baseIndex || w.offset != g.next.base {
		return fmt.Errorf("compacted segment ends at entry %d, offset %d, not at %d, %d", w.next, w.offset, g.next.baseIndex, g.next.base)
	}
	s := w.segment
	s.size, s.maxTimestamp, s.timeKnown = w.pos, w.indexer.maxTimestamp, true
	seal := s.sealAt(w.pos, g.next)
	s.index.mark, s.index.n = seal, w.slot
	w.putEntry(seal)
	if err := w.flush(); err != nil {
		return err
	}
	for _, f := range []*lazyFile{&s.data, &s.index.file} {
		h, err := f.acquire()
		if err != nil {
			return err
		}
		err = w.c.log.syncer.Sync(h.File)
		h.release()
		if err != nil {
			return err
		}
	}
	if err := mergeTxns(g.segments, s, upTo); err != nil {
		return err
	}
	return w.c.log.fs.SyncDir(w.c.log.dir)
}
