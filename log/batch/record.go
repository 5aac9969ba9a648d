package batch

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Record is one record. Nil Key and Value are null; empty ones are not.
type Record struct {
	Offset    Offset
	Timestamp int64 // ms since the epoch
	Key       []byte
	Value     []byte
	Headers   []RecordHeader
}

// RecordHeader is one header of a record. Value may be null.
type RecordHeader struct {
	Key   []byte
	Value []byte
}

// Records walks the records of a batch whose header is valid. Close must be called.
//
//	r := b.Records(limit)
//	defer r.Close()
//	for r.Next() { use(r.Record()) }
//	if err := r.Err(); err != nil { … }
type Records struct {
	header Header
	rest   []byte // uncompressed batches: what was not walked yet
	zip    *inflater
	r      *bufio.Reader
	body   []byte // compressed batches: the current record, reused
	left   int32
	raw    []byte // the current record as it is stored, without its length
	rec    Record
	err    error
}

// Records starts a walk. limit bounds the decompressed size in bytes. An internal batch has no records.
func (b Batch) Records(limit int64) *Records {
	r := &Records{}
	if r.header, r.err = ParseHeader(b); r.err != nil {
		return r
	}
	if int(r.header.Length) > len(b) {
		r.err = fmt.Errorf("%w: %d bytes of a batch of %d", ErrCorrupt, len(b), r.header.Length)
		return r
	}
	payload := b[HeaderLen:r.header.Length]
	r.left = r.header.Count
	if c := r.header.Codec(); c != CodecNone && !r.header.IsInternal() {
		if r.zip, r.err = newInflater(c, payload, limit); r.err == nil {
			r.r = getReader(r.zip)
		}
		return r
	}
	r.rest = payload
	return r
}

// Next moves to the next record; false at the end and after an error.
func (r *Records) Next() bool {
	if r.err != nil || r.left == 0 {
		return false
	}
	body, err := r.next()
	if err != nil {
		r.err = err
		return false
	}
	r.left--
	r.raw = body
	return r.parse(body)
}

// next returns the bytes of the next record, without its length.
func (r *Records) next() ([]byte, error) {
	if r.r == nil {
		n, i := varint(r.rest, 0)
		if i < 0 || n < 0 || n > int64(len(r.rest)-i) {
			return nil, fmt.Errorf("%w: record length beyond the batch", ErrInvalidRecord)
		}
		body := r.rest[i : i+int(n)]
		r.rest = r.rest[i+int(n):]
		return body, nil
	}
	n, err := readVarint(r.r)
	if err != nil {
		return nil, err
	}
	if n < 0 || n > r.zip.left+int64(r.r.Buffered()) {
		return nil, fmt.Errorf("%w: record of %d bytes", ErrInvalidRecord, n)
	}
	r.body = r.body[:0]
	for int64(len(r.body)) < n { // in steps, so that memory grows with what arrives
		step := int(min(n-int64(len(r.body)), bufferLen))
		at := len(r.body)
		r.body = append(r.body, make([]byte, step)...)
		if _, err := io.ReadFull(r.r, r.body[at:]); err != nil {
			return nil, truncated(err)
		}
	}
	return r.body, nil
}

func truncated(err error) error {
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrInvalidRecord) {
		return err
	}
	return fmt.Errorf("%w: records end early", ErrInvalidRecord)
}

func (r *Records) parse(body []byte) bool {
	rec, delta, ok := parseRecord(body, r.rec.Headers[:0])
	if !ok {
		r.err = fmt.Errorf("%w: malformed record", ErrInvalidRecord)
		return false
	}
	rec.Offset = r.header.BaseOffset + Offset(delta)
	rec.Timestamp += r.header.BaseTimestamp
	if r.header.IsLogAppendTime() {
		rec.Timestamp = r.header.MaxTimestamp
	}
	r.rec = rec
	return true
}

// parseRecord decodes a record's body; the timestamp is the delta.
func parseRecord(p []byte, headers []RecordHeader) (rec Record, offsetDelta int32, ok bool) {
	if len(p) == 0 {
		return Record{}, 0, false
	}
	ts, i := varint(p, 1) // the first byte is the attributes, unused
	delta, i := varint(p, i)
	if i < 0 || !fitsInt32(delta) {
		return Record{}, 0, false
	}
	rec.Timestamp = ts
	if rec.Key, i = field(p, i); i >= 0 {
		rec.Value, i = field(p, i)
	}
	count, i := varint(p, i)
	if i < 0 || count < 0 || count > int64(len(p)-i)/2 {
		return Record{}, 0, false
	}
	for ; count > 0; count-- {
		var h RecordHeader
		if h.Key, i = field(p, i); i < 0 || h.Key == nil {
			return Record{}, 0, false
		}
		if h.Value, i = field(p, i); i < 0 {
			return Record{}, 0, false
		}
		headers = append(headers, h)
	}
	rec.Headers = headers
	return rec, int32(delta), i == len(p)
}

// Record returns the current record. Its slices, and Headers itself, are valid until the next call of Next.
func (r *Records) Record() Record { return r.rec }

// Err says why Next ended; nil when it was the end of the batch.
func (r *Records) Err() error { return r.err }

// Close releases the decompressor. It may be called more than once.
func (r *Records) Close() {
	if r.r != nil {
		putReader(r.r)
		r.r = nil
		r.left = 0
	}
	if r.zip != nil {
		r.zip.close()
		r.zip = nil
	}
}

// Values returns the record values of an uncompressed batch as sub-slices.
func (b Batch) Values() ([][]byte, error) {
	if c := b.Codec(); c != CodecNone {
		return nil, fmt.Errorf("values of a batch: %w: %s", ErrUnsupportedCodec, c)
	}
	r := b.Records(MaxLen)
	defer r.Close()
	values := make([][]byte, 0, min(int(r.left), len(b)/minRecordLen))
	for r.Next() {
		values = append(values, r.rec.Value)
	}
	return values, r.err
}
