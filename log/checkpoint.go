package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path"

	"balsa/log/vfs"
)

// Checkpoint is what lets a log open without reading its data. State belongs to the caller (Raft's position and
// configuration, the state machine's state) and is returned by Open as it was saved.
type Checkpoint struct {
	Index Index // the last index that State covers; not beyond what is durable
	State []byte
}

const (
	checkpointName  = "checkpoint"
	checkpointMagic = "balsackp"
	// checkpointVersion 1 knew no compaction.
	checkpointVersion = 2

	flagReset     = 1 // the log is being reset: its segments are to be deleted
	flagIndexName = 1 // of a segment: its name has the index in it
)

// checkpointFile is the content of the checkpoint file.
type checkpointFile struct {
	Checkpoint
	reset      bool
	nextOffset Offset // the offset after entry Index
	epoch      Epoch  // of entry Index
	prevEpoch  Epoch  // of the entry before the first segment
	cleanedTo  Offset // see Log.CleanedTo
	segments   []checkpointSegment
	epochs     epochs // up to Index
}

// checkpointSegment is a segment that begins at or before entry Index+1.
type checkpointSegment struct {
	name      segmentName
	baseIndex Index
	size      int64 // of a sealed segment; -1 of the active one
}

const (
	checkpointHeaderLen  = 8 + 2 + 2 + 8 + 8 + 4 + 4 + 4 + 4 + 4 // of version 1
	checkpointSegmentLen = 8 + 8 + 8 + 4                         // of version 1
	checkpointEpochLen   = 4 + 8 + 8
)

func (c *checkpointFile) encode() []byte {
	be := binary.BigEndian
	b := make([]byte, 0, checkpointHeaderLen+8+len(c.segments)*(checkpointSegmentLen+4)+len(c.epochs)*checkpointEpochLen+len(c.State)+4)
	b = append(b, checkpointMagic...)
	b = be.AppendUint16(b, checkpointVersion)
	flags := uint16(0)
	if c.reset {
		flags |= flagReset
	}
	b = be.AppendUint16(b, flags)
	b = be.AppendUint64(b, uint64(c.Index))
	b = be.AppendUint64(b, uint64(c.nextOffset))
	b = be.AppendUint32(b, uint32(c.epoch))
	b = be.AppendUint32(b, uint32(c.prevEpoch))
	b = be.AppendUint32(b, uint32(len(c.segments)))
	b = be.AppendUint32(b, uint32(len(c.epochs)))
	b = be.AppendUint32(b, uint32(len(c.State)))
	b = be.AppendUint64(b, uint64(c.cleanedTo))
	for _, s := range c.segments {
		b = be.AppendUint64(b, uint64(s.name.offset))
		b = be.AppendUint64(b, uint64(s.baseIndex))
		b = be.AppendUint64(b, uint64(s.size))
		flags := uint32(0)
		if s.name.index != 0 {
			flags |= flagIndexName
		}
		b = be.AppendUint32(b, flags)
		b = be.AppendUint32(b, s.name.generation)
	}
	for _, e := range c.epochs {
		b = be.AppendUint32(b, uint32(e.Epoch))
		b = be.AppendUint64(b, uint64(e.Index))
		b = be.AppendUint64(b, uint64(e.Offset))
	}
	b = append(b, c.State...)
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseCheckpoint is the inverse of encode. It trusts nothing but a right checksum of a known version.
func parseCheckpoint(b []byte) (*checkpointFile, error) {
	be := binary.BigEndian
	if len(b) < checkpointHeaderLen+4 || string(b[:8]) != checkpointMagic {
		return nil, fmt.Errorf("%d bytes are no checkpoint", len(b))
	}
	body := b[:len(b)-4]
	if sum := crc32.Checksum(body, castagnoli); sum != be.Uint32(b[len(body):]) {
		return nil, fmt.Errorf("checksum is %08x, file says %08x", sum, be.Uint32(b[len(body):]))
	}
	version, segmentLen := be.Uint16(b[8:]), int64(checkpointSegmentLen)
	if version == 0 || version > checkpointVersion {
		return nil, fmt.Errorf("version %d is unknown", version)
	}
	c := &checkpointFile{
		Checkpoint: Checkpoint{Index: Index(be.Uint64(b[12:]))},
		reset:      be.Uint16(b[10:])&flagReset != 0,
		nextOffset: Offset(be.Uint64(b[20:])),
		epoch:      Epoch(be.Uint32(b[28:])),
		prevEpoch:  Epoch(be.Uint32(b[32:])),
	}
	segments, epochs, state := int64(be.Uint32(b[36:])), int64(be.Uint32(b[40:])), int64(be.Uint32(b[44:]))
	p := body[checkpointHeaderLen:]
	if version > 1 {
		if segmentLen += 4; len(p) < 8 {
			return nil, fmt.Errorf("%d bytes are no checkpoint", len(b))
		}
		c.cleanedTo, p = Offset(be.Uint64(p)), p[8:]
	}
	if segments == 0 || int64(len(p)) != segments*segmentLen+epochs*checkpointEpochLen+state {
		return nil, fmt.Errorf("%d segments, %d epochs and %d bytes of state in %d bytes", segments, epochs, state, len(p))
	}
	for ; segments > 0; segments-- {
		s := checkpointSegment{
			name:      segmentName{offset: Offset(be.Uint64(p))},
			baseIndex: Index(be.Uint64(p[8:])),
			size:      int64(be.Uint64(p[16:])),
		}
		if be.Uint32(p[24:])&flagIndexName != 0 {
			s.name.index = s.baseIndex
		}
		if version > 1 {
			s.name.generation = be.Uint32(p[28:])
		}
		c.segments = append(c.segments, s)
		p = p[segmentLen:]
	}
	for ; epochs > 0; epochs-- {
		c.epochs = append(c.epochs, EpochStart{
			Epoch: Epoch(be.Uint32(p)), Index: Index(be.Uint64(p[4:])), Offset: Offset(be.Uint64(p[12:])),
		})
		p = p[checkpointEpochLen:]
	}
	if state > 0 {
		c.State = append([]byte(nil), p...)
	}
	return c, nil
}

// resetCheckpoint is the checkpoint of an emptied log. It asks Open to finish the reset.
func resetCheckpoint(i Index, o Offset, prev Epoch, state []byte) *checkpointFile {
	return &checkpointFile{
		Checkpoint: Checkpoint{Index: i - 1, State: state},
		reset:      true,
		nextOffset: o,
		cleanedTo:  o,
		epoch:      prev,
		prevEpoch:  prev,
		segments:   []checkpointSegment{{name: segmentName{offset: o}, baseIndex: i, size: -1}},
	}
}

// open returns the segment, without touching its files.
func (s checkpointSegment) open(fsys vfs.FS, dir string) *segment {
	return newSegment(fsys, dir, s.name, s.baseIndex)
}

// SaveCheckpoint stores c durably, atomically. c.Index lies between FirstIndex-1 and DurableIndex.
func (l *Log) SaveCheckpoint(c Checkpoint) error {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	next, err := l.OffsetOf(c.Index + 1)
	if err != nil {
		return fmt.Errorf("save checkpoint of %s at %d: %w", l.dir, c.Index, err)
	}
	if err := l.flushAborted(next); err != nil {
		return fmt.Errorf("save checkpoint of %s: aborted transactions: %w", l.dir, err)
	}
	file, err := l.describe(c, next, nil)
	if err != nil {
		return fmt.Errorf("save checkpoint of %s: %w", l.dir, err)
	}
	if err := l.writeCheckpoint(file); err != nil {
		return fmt.Errorf("save checkpoint of %s: %w", l.dir, err)
	}
	l.saved = c.Index
	return nil
}

// describe collects what the checkpoint says about the log. Segments and epochs beyond c.Index are left out: a
// truncation may remove them, and their absence must not look like a loss. segments are those that the log is about to have;
// nil for those that it has.
func (l *Log) describe(c Checkpoint, next Offset, segments []*segment) (*checkpointFile, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if segments == nil {
		segments = l.segments
	}
	if c.Index > l.durable {
		return nil, fmt.Errorf("entry %d is not durable, the last that is is %d", c.Index, l.durable)
	}
	file := &checkpointFile{
		Checkpoint: c,
		nextOffset: next,
		epoch:      l.epochs.at(c.Index, l.prevEpoch),
		prevEpoch:  l.prevEpoch,
		cleanedTo:  l.cleanedTo,
		epochs:     l.epochs.truncate(c.Index + 1),
	}
	for k, s := range segments {
		if k > 0 && s.baseIndex > c.Index+1 {
			break
		}
		size := int64(-1)
		if k+1 < len(segments) && segments[k+1].baseIndex <= c.Index+1 {
			size = s.size // sealed, and no truncation will come so far
		}
		file.segments = append(file.segments, checkpointSegment{s.name, s.baseIndex, size})
	}
	return file, nil
}

func (l *Log) writeCheckpoint(c *checkpointFile) error { return writeCheckpoint(l.fs, l.dir, c) }

func checkpointPath(dir string) string { return path.Join(dir, checkpointName) }
