package log

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"balsa/log/batch"
)

// scanChunk is how much a scan reads at once.
const scanChunk = 256 << 10

// sectorSize is the smallest piece that a disk writes whole.
const sectorSize = 512

// scanner checks the batches of a segment one after another, CRCs included.
type scanner struct {
	f      io.ReaderAt
	path   string
	size   int64
	pos    int64
	offset Offset // that the batch at pos must have

	buf  []byte
	from int64 // position of what buf holds
	have int64
}

// damage says what is wrong with the batch at pos.
type damage struct {
	reason error
	end    int64 // where the damaged batch ends, or its header if nothing is known about it
	short  bool  // the header is plausible, and the file ends before the batch does
}

// batch checks the batch at pos. What is wrong with it is told as damage; err is for reads that failed.
func (s *scanner) batch(epoch Epoch) (batch.Header, damage, error) {
	left := s.size - s.pos
	if left < batch.HeaderLen {
		return batch.Header{}, damage{reason: fmt.Errorf("%d bytes are no batch", left), end: s.size}, nil
	}
	b, err := s.read(s.pos, batch.HeaderLen)
	if err != nil {
		return batch.Header{}, damage{}, err
	}
	h, err := batch.ParseHeader(b)
	switch {
	case err != nil:
	case h.BaseOffset != s.offset:
		err = fmt.Errorf("batch has offset %d, not %d", h.BaseOffset, s.offset)
	case h.Epoch < epoch:
		err = fmt.Errorf("batch has epoch %d after %d", h.Epoch, epoch)
	}
	if err != nil {
		return h, damage{reason: err, end: s.pos + batch.HeaderLen}, nil
	}
	end := s.pos + int64(h.Length)
	if end > s.size {
		return h, damage{reason: fmt.Errorf("%d bytes of a batch of %d", left, h.Length), end: s.size, short: true}, nil
	}
	sum, err := s.checksum(end, 0, s.pos+crcFrom)
	if err != nil {
		return h, damage{}, err
	}
	if sum != h.CRC {
		return h, damage{reason: fmt.Errorf("CRC is %08x, field says %08x", sum, h.CRC), end: end}, nil
	}
	return h, damage{}, nil
}

// crcFrom is where the part of a batch begins that its CRC covers.
const crcFrom = 21

// checksum continues sum over the bytes from at to end.
func (s *scanner) checksum(end int64, sum uint32, at int64) (uint32, error) {
	for at < end {
		b, err := s.read(at, min(end-at, scanChunk))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(len(b))
	}
	return sum, nil
}

// read returns n bytes, at most scanChunk, within the segment. They are valid until the next call.
func (s *scanner) read(at, n int64) ([]byte, error) {
	if at < s.from || at+n > s.from+s.have {
		s.from, s.have = at, min(scanChunk, s.size-at)
		if s.buf == nil {
			s.buf = make([]byte, s.have)
		}
		if int64(len(s.buf)) < s.have {
			s.buf = make([]byte, s.have)
		}
		if k, err := s.f.ReadAt(s.buf[:s.have], at); int64(k) < s.have {
			s.have = 0
			return nil, fmt.Errorf("read %s at byte %d: %w", s.path, at, err)
		}
	}
	return s.buf[at-s.from : at-s.from+n], nil
}

// torn says whether damage behind the clean point is what a crash leaves of writes that were not yet fsynced, so that
// it, and everything behind it, was never acknowledged and can be cut. A write that was cut short leaves
//
//   - a file that ends within the batch, because not all of the size extension was recorded; or
//   - zeros in place of the sectors that were not written: all of the file behind its last durable byte is new,
//     and truncations are fsynced, so there is no other old content that could show through.
//
// Damage to data that was fsynced (a flipped bit, garbage) has neither, and is not torn, also when nothing valid follows it:
// the last batch may well have been acknowledged. A flipped bit in a length field can make a batch seem to reach
// beyond the end of the file; so that is looked for.
func (s *scanner) torn(d damage) (bool, error) {
	if s.size-s.pos < batch.HeaderLen {
		return true, nil
	}
	if d.short {
		flipped, err := s.lengthFlipped()
		return err == nil && !flipped, err
	}
	return s.zeroSector(d.end)
}

// lengthFlipped says whether the batch at pos would be valid if one bit of its length field were another.
func (s *scanner) lengthFlipped() (bool, error) {
	b, err := s.read(s.pos, batch.HeaderLen)
	if err != nil {
		return false, err
	}
	length, crc := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[17:])
	for bit := range 32 {
		end := s.pos + 12 + int64(length^1<<bit)
		if end < s.pos+batch.HeaderLen || end > s.size {
			continue
		}
		sum, err := s.checksum(end, 0, s.pos+crcFrom)
		if err != nil || sum == crc {
			return err == nil, err
		}
	}
	return false, nil
}

// zeroSector says whether a sector of the damaged batch, from pos to end, holds nothing but zeros.
func (s *scanner) zeroSector(end int64) (bool, error) {
	for sector := s.pos / sectorSize * sectorSize; sector < end; sector += sectorSize {
		lo, hi := max(sector, s.pos), min(sector+sectorSize, s.size)
		b, err := s.read(lo, hi-lo)
		if err != nil {
			return false, err
		}
		if allZero(b) && (lo == sector || s.wouldShow(len(b))) {
			return true, nil
		}
	}
	return false, nil
}

// wouldShow says whether the first n bytes of the batch at pos cannot all be zero in a good batch: its offset is known,
// and the length behind it is not zero.
func (s *scanner) wouldShow(n int) bool {
	var offset [8]byte
	binary.BigEndian.PutUint64(offset[:], uint64(s.offset))
	return n >= 12 || !allZero(offset[:min(n, len(offset))])
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
