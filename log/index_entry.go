package log

import (
	"encoding/binary"
	"hash/crc32"

	"balsa/log/batch"
)

// entrySize is the size of an index entry in its file.
const entrySize = 24

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// indexEntry says what lies at a position of a segment. An ordinary entry points to the start of a batch; a mark points to
// the end of the data at the time it was written and is overwritten by the next entry.
type indexEntry struct {
	relOffset    uint32 // offset of the batch, relative to the segment's base
	relIndex     uint32 // Raft index of the batch, relative to the segment's first
	pos          uint32
	maxTimestamp int64 // largest timestamp of all data batches before pos in this segment
	epochStart   bool  // the batch has another epoch than the one before it
	internal     bool  // the batch consumes no offset
	mark         bool
	sealed       bool // a mark: the segment ends here, and another one follows
}

const topBit = 1 << 31

// encode writes the entry for slot number slot of the index of the segment with base offset base. Both go into the
// checksum, so that an entry read from elsewhere is not taken for one.
func (e indexEntry) encode(dst []byte, base Offset, slot int) {
	binary.BigEndian.PutUint32(dst, e.relOffset|top(e.epochStart))
	binary.BigEndian.PutUint32(dst[4:], e.relIndex|top(e.mark))
	binary.BigEndian.PutUint32(dst[8:], e.pos|top(e.internal || e.sealed))
	binary.BigEndian.PutUint64(dst[12:], uint64(e.maxTimestamp))
	binary.BigEndian.PutUint32(dst[20:], entryChecksum(dst, base, slot))
}

func top(set bool) uint32 {
	if set {
		return topBit
	}
	return 0
}

// decodeEntry is the inverse of encode; false when the checksum is wrong.
func decodeEntry(src []byte, base Offset, slot int) (indexEntry, bool) {
	if binary.BigEndian.Uint32(src[20:]) != entryChecksum(src, base, slot) {
		return indexEntry{}, false
	}
	offset, index, pos := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:]), binary.BigEndian.Uint32(src[8:])
	e := indexEntry{
		relOffset:    offset &^ topBit,
		relIndex:     index &^ topBit,
		pos:          pos &^ topBit,
		maxTimestamp: int64(binary.BigEndian.Uint64(src[12:])),
		epochStart:   offset&topBit != 0,
		mark:         index&topBit != 0,
	}
	if e.mark {
		e.sealed = pos&topBit != 0
	} else {
		e.internal = pos&topBit != 0
	}
	return e, true
}

// entryChecksum is the CRC of an entry, started from a value that tells where the entry belongs.
func entryChecksum(entry []byte, base Offset, slot int) uint32 {
	return crc32.Update(placeSeed(base, slot), castagnoli, entry[:20])
}

// placeSeed is what the checksum of entry number slot of a side file begins with, so that no other place's entry passes.
func placeSeed(base Offset, slot int) uint32 {
	return uint32(base) ^ uint32(base>>32) ^ uint32(slot)*0x9e3779b1
}

// indexer decides which batches of a segment get an index entry: the first one after every interval of bytes, the
// first of each epoch, and every internal one.
type indexer struct {
	interval     int64
	since        int64 // bytes since the last entry
	epoch        Epoch // of the last batch
	maxTimestamp int64
}

// add takes the next batch, which lies at pos, and returns its entry if it gets one.
func (x *indexer) add(s *segment, h *batch.Header, i Index, pos int64) (indexEntry, bool) {
	e := indexEntry{
		relOffset:    uint32(s.rel(h.BaseOffset)),
		relIndex:     uint32(s.relIndex(i)),
		pos:          uint32(pos),
		maxTimestamp: x.maxTimestamp,
		epochStart:   h.Epoch != x.epoch,
		internal:     h.IsInternal(),
	}
	wanted := e.epochStart || e.internal || x.since >= x.interval
	if wanted {
		x.since = 0
	}
	x.since += int64(h.Length)
	x.epoch = h.Epoch
	if !e.internal {
		x.maxTimestamp = max(x.maxTimestamp, h.MaxTimestamp)
	}
	return e, wanted
}
