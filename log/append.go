package log

import (
	"errors"
	"fmt"
	"io"

	"balsa/log/batch"
)

// ErrTooLarge means that what was to be appended at once does not fit a segment of the largest possible size (2 GiB).
var ErrTooLarge = errors.New("append too large for a segment")

// Flush says when what Append writes is made durable.
type Flush int

// The times of a Flush.
const (
	FlushAsConfigured Flush = iota // before Append returns with Config.FlushEveryAppend, else in the background
	FlushNow                       // before Append returns
	FlushByCaller                  // when the caller calls Sync, which it may do while it appends more
)

// Append stamps each batch in place with its base offset and epoch, and writes all of them with one write
// (pwritev) to one file.
// It is all or nothing: after an error the log is as before, or latched as failed (ErrFailed); a failed fsync latches too.
// One caller at a time; concurrent with every reader. The batches are not retained after it returns.
// epochs[i] is the epoch of batches[i]; epochs never fall. Every batch gets base offset = NextOffset; internal batches
// (batch.IsInternal) consume none, unless they are gaps.
// Headers are checked, CRCs are not: what comes from a client or over the network is validated before.
func (l *Log) Append(batches []batch.Batch, epochs []Epoch, flush Flush) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if len(batches) == 0 {
		return nil
	}
	l.activity.Add(1)
	total, err := l.stamp(batches, epochs)
	if err != nil {
		return fmt.Errorf("append to %s: %w", l.dir, err)
	}
	s, err := l.makeRoom(total)
	if err != nil {
		return fmt.Errorf("append to %s: %w", l.dir, err)
	}
	if err := l.write(s, total); err != nil {
		return fmt.Errorf("append to %s: %w", l.dir, err)
	}
	everyAppend, tooMuch := l.publish(s, total)
	switch {
	case flush == FlushNow, flush == FlushAsConfigured && everyAppend:
		return l.sync()
	case flush == FlushAsConfigured && tooMuch:
		l.flushInBackground()
	}
	return nil
}

// stamp numbers the batches and fills l.slots, all but the positions. It returns their total length.
func (l *Log) stamp(batches []batch.Batch, epochs []Epoch) (total int64, err error) {
	if len(batches) != len(epochs) {
		return 0, fmt.Errorf("%d batches with %d epochs", len(batches), len(epochs))
	}
	l.slots, l.bufs = l.slots[:0], l.bufs[:0]
	next, epoch := l.nextOffset, l.LastEpoch()
	for i, b := range batches {
		h, err := batch.ParseHeader(b)
		if err != nil {
			return 0, err
		}
		if int(h.Length) != len(b) {
			return 0, fmt.Errorf("%w: length field says %d bytes, there are %d", batch.ErrCorrupt, h.Length, len(b))
		}
		if epochs[i] < epoch {
			return 0, fmt.Errorf("epoch falls from %d to %d", epoch, epochs[i])
		}
		epoch = epochs[i]
		b.Stamp(next, epoch)
		h.BaseOffset, h.Epoch = next, epoch
		if next = h.NextOffset(); next < h.BaseOffset {
			return 0, fmt.Errorf("%w: offsets overflow", batch.ErrInvalidRecord)
		}
		l.slots = append(l.slots, slot{pos: total, header: h})
		l.bufs = append(l.bufs, b)
		total += int64(len(b))
	}
	return total, nil
}

// makeRoom returns the segment to write to, after a roll when the active one is full or old, and gives the slots their
// positions.
func (l *Log) makeRoom(total int64) (*segment, error) {
	if total > maxSegmentBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, total)
	}
	s, size, config := l.activeState()
	last := l.slots[len(l.slots)-1].header
	entries := int64(0)
	for i := range l.slots {
		entries += l.slots[i].header.Entries()
	}
	full := size > 0 && (size+total > config.SegmentBytes || s.rel(last.NextOffset()) > maxSegmentBytes ||
		s.relIndex(l.nextIndex)+entries > maxSegmentBytes)
	if full || l.nextOffset > s.base && config.SegmentAge > 0 && l.expired(s, config.SegmentAge, l.newestSlot()) {
		if err := l.roll(); err != nil {
			return nil, err
		}
		s, size, _ = l.activeState()
	}
	if s.rel(last.NextOffset()) > maxSegmentBytes {
		return nil, fmt.Errorf("%w: offsets %d to %d", ErrTooLarge, s.base, last.NextOffset())
	}
	for i := range l.slots {
		l.slots[i].pos += size
	}
	return s, nil
}

// newestSlot returns the largest timestamp of what is to be appended.
func (l *Log) newestSlot() int64 {
	newest := int64(batch.NoTimestamp)
	for i := range l.slots {
		newest = max(newest, l.slots[i].header.MaxTimestamp)
	}
	return newest
}

func (l *Log) activeState() (*segment, int64, Config) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.active(), l.active().size, l.config
}

// write puts the batches behind the end of the active segment s.
func (l *Log) write(s *segment, total int64) error {
	h, err := s.data.acquire()
	if err != nil {
		return err
	}
	defer h.release()
	pos := l.slots[0].pos
	n, err := h.WritevAt(l.bufs, pos)
	clear(l.bufs) // the batches are not retained
	if err == nil && int64(n) < total {
		err = io.ErrShortWrite
	}
	if err == nil {
		return nil
	}
	// Back to what was there, durably: later writes to this place must not mix with what is left of this one. Not beside a caller's Sync:
	// the system tells of a failed write-back once, and who is not told would take for durable what is lost.
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	undo := h.Truncate(pos)
	if undo == nil {
		undo = l.syncer.Sync(h.File)
	}
	if undo != nil {
		return l.fail(errors.Join(err, undo))
	}
	return err
}

// publish makes the written batches visible, and says what the configuration wants: an fsync after every append, or one because too
// much is not durable. The index comes first, so that a reader who sees a batch finds its entry.
func (l *Log) publish(s *segment, total int64) (everyAppend, tooMuch bool) {
	index := l.nextIndex
	var entries []indexEntry
	for i := range l.slots {
		sl := &l.slots[i]
		if e, wanted := l.indexer.add(s, &sl.header, index, sl.pos); wanted {
			entries = append(entries, e)
		}
		index += Index(sl.header.Entries())
	}
	if len(entries) > 0 {
		s.index.add(entries)
	}
	now := l.now()

	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.slots {
		h := &l.slots[i].header
		if len(l.epochs) == 0 || h.Epoch != l.lastEpoch() {
			l.epochs = append(l.epochs, EpochStart{Epoch: h.Epoch, Index: l.nextIndex, Offset: h.BaseOffset})
		}
		if !h.IsInternal() {
			s.maxTimestamp = max(s.maxTimestamp, h.MaxTimestamp)
			if l.activeSince.IsZero() {
				l.activeSince, s.birth = now, birth(h)
			}
		}
		if h.Kind == batch.KindGap {
			l.ring = ring{} // it has one slot for each entry
		} else {
			l.ring.push(l.nextIndex, l.slots[i])
		}
		l.nextIndex += Index(h.Entries())
	}
	l.nextOffset = l.slots[len(l.slots)-1].header.NextOffset()
	s.size += total
	l.size += total
	if l.dirtySince.IsZero() {
		l.dirtySince = now
	}
	return l.config.FlushEveryAppend, s.size-l.synced >= l.config.FlushBytes
}
