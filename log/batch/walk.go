package batch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// walk checks a batch's records one after another without making anything of them.
type walk struct {
	base         int64 // base timestamp
	count        int32
	withoutKey   int32
	minTimestamp int64
	maxTimestamp int64
}

// slice walks uncompressed records, which must fill p.
func (w *walk) slice(p []byte) error {
	if int64(w.count)*minRecordLen > int64(len(p)) {
		return fmt.Errorf("%w: %d records in %d bytes", ErrInvalidRecord, w.count, len(p))
	}
	i := 0
	for seq := int32(0); seq < w.count; seq++ {
		n, at := varint(p, i)
		if at < 0 || n <= 0 || n > int64(len(p)-at) {
			return fmt.Errorf("%w: record %d has a wrong length", ErrInvalidRecord, seq)
		}
		i = at + int(n)
		if err := w.record(p[at:i], seq); err != nil {
			return err
		}
	}
	if i != len(p) {
		return fmt.Errorf("%w: %d bytes after the last record", ErrInvalidRecord, len(p)-i)
	}
	return nil
}

// record checks one record's body.
func (w *walk) record(p []byte, seq int32) error {
	delta, i := varint(p, 1) // the first byte is the attributes, unused
	offset, i := varint(p, i)
	if i < 0 || offset != int64(seq) {
		return fmt.Errorf("%w: record %d has no or a wrong offset delta", ErrInvalidRecord, seq)
	}
	if n, _ := varint(p, i); n == -1 {
		w.withoutKey++
	}
	i = skipBytes(p, i, true)
	i = skipBytes(p, i, true)
	headers, i := varint(p, i)
	if i < 0 || headers < 0 || headers > int64(len(p)-i)/2 {
		return fmt.Errorf("%w: record %d is malformed", ErrInvalidRecord, seq)
	}
	for ; headers > 0; headers-- {
		i = skipBytes(p, i, false)
		i = skipBytes(p, i, true)
		if i < 0 {
			return fmt.Errorf("%w: record %d has a malformed header", ErrInvalidRecord, seq)
		}
	}
	if i != len(p) {
		return fmt.Errorf("%w: record %d has %d bytes too many", ErrInvalidRecord, seq, len(p)-i)
	}
	return w.timestamp(delta, seq)
}

func (w *walk) timestamp(delta int64, seq int32) error {
	ts := w.base + delta
	if ts < NoTimestamp || delta > 0 && ts < w.base {
		return fmt.Errorf("%w: record %d is %d ms from %d", ErrInvalidTimestamp, seq, delta, w.base)
	}
	w.maxTimestamp = max(w.maxTimestamp, ts)
	if ts != NoTimestamp {
		w.minTimestamp = min(w.minTimestamp, ts)
	}
	return nil
}

// compressed walks records while they are inflated.
func (w *walk) compressed(c Codec, payload []byte, limit int64) error {
	f, err := newInflater(c, payload, limit)
	if err != nil {
		return err
	}
	defer f.close()
	r := getReader(f)
	defer putReader(r)
	for seq := int32(0); seq < w.count; seq++ {
		if err := w.streamed(r, seq); err != nil {
			return err
		}
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = fmt.Errorf("%w: bytes after the last record", ErrInvalidRecord)
		}
		return err
	}
	if f.src.Len() > 0 && c != CodecSnappy {
		return fmt.Errorf("%w: bytes after the compressed records", ErrInvalidRecord)
	}
	return nil
}

// streamed checks the next record, in place when it fits the reader's window.
func (w *walk) streamed(r *bufio.Reader, seq int32) error {
	n, err := readVarint(r)
	if err != nil {
		return truncated(err)
	}
	if n <= 0 || n > math.MaxInt32 {
		return fmt.Errorf("%w: record %d has a wrong length", ErrInvalidRecord, seq)
	}
	if n > bufferLen {
		return w.large(&bounded{r: r, left: n}, seq)
	}
	p, err := r.Peek(int(n))
	if err != nil {
		return truncated(err)
	}
	if err := w.record(p, seq); err != nil {
		return err
	}
	_, err = r.Discard(int(n))
	return err
}

// bounded reads the fields of one record that is too large to be held. The first error sticks.
type bounded struct {
	r    *bufio.Reader
	left int64
	err  error
}

func (b *bounded) varint() int64 {
	if b.err != nil {
		return 0
	}
	p, _ := b.r.Peek(binary.MaxVarintLen64)
	v, n := int64(0), -1
	if len(p) > 0 {
		v, n = varint(p, 0)
	}
	if n < 0 || int64(n) > b.left {
		b.err = fmt.Errorf("%w: malformed varint", ErrInvalidRecord)
		return 0
	}
	b.skip(int64(n))
	return v
}

func (b *bounded) skip(n int64) {
	if b.err != nil {
		return
	}
	if n < 0 || n > b.left {
		b.err = fmt.Errorf("%w: field of %d bytes in the last %d of a record", ErrInvalidRecord, n, b.left)
		return
	}
	b.left -= n
	if _, err := b.r.Discard(int(n)); err != nil {
		b.err = truncated(err)
	}
}

// bytes passes a length-prefixed field, and returns its length, which is -1 for null.
func (b *bounded) bytes(nullable bool) int64 {
	n := b.varint()
	if n == -1 && nullable {
		return n
	}
	b.skip(n)
	return n
}

// large is record for one that does not fit the window.
func (w *walk) large(b *bounded, seq int32) error {
	b.skip(1)
	delta, offset := b.varint(), b.varint()
	if b.err == nil && offset != int64(seq) {
		return fmt.Errorf("%w: record %d has offset delta %d", ErrInvalidRecord, seq, offset)
	}
	if b.bytes(true) == -1 {
		w.withoutKey++
	}
	b.bytes(true)
	headers := b.varint()
	if headers < 0 || headers > b.left/2 {
		return fmt.Errorf("%w: record %d claims %d headers", ErrInvalidRecord, seq, headers)
	}
	for ; headers > 0 && b.err == nil; headers-- {
		b.bytes(false)
		b.bytes(true)
	}
	switch {
	case b.err != nil:
		return fmt.Errorf("record %d: %w", seq, b.err)
	case b.left != 0:
		return fmt.Errorf("%w: record %d has %d bytes too many", ErrInvalidRecord, seq, b.left)
	}
	return w.timestamp(delta, seq)
}
