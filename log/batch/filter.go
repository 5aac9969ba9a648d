package batch

import "encoding/binary"

// Filter returns b without the records that keep refuses: b itself when it keeps all, else a new batch that has the same place
// in the log (offsets, epoch, producer and sequence numbers; records keep their offsets), the same codec, and the largest
// timestamp of what is kept. Without any record it is empty: such a batch still tells of its producer and its offsets, as in
// Kafka. limit bounds the decompressed size in bytes. The record given to keep is valid only during the call.
func (b Batch) Filter(limit int64, keep func(Record) bool) (kept Batch, err error) {
	r := b.Records(limit)
	defer r.Close()
	h := r.header
	var payload []byte
	count, newest := int32(0), int64(NoTimestamp)
	for r.Next() {
		if !keep(r.rec) {
			continue
		}
		count++
		newest = max(newest, r.rec.Timestamp)
		payload = appendVarint(payload, int64(len(r.raw)))
		payload = append(payload, r.raw...)
	}
	if r.err != nil {
		return nil, r.err
	}
	if count == h.Count {
		return b, nil
	}
	attributes := uint16(h.Attributes)
	if count == 0 {
		attributes &^= AttrCodec
		newest = h.MaxTimestamp // the time index and the answer to a retry know of it
	} else if payload, err = Compress(h.Codec(), payload); err != nil {
		return nil, err
	}
	out := make(Batch, HeaderLen, HeaderLen+len(payload))
	copy(out, b)
	out = append(out, payload...)
	binary.BigEndian.PutUint16(out[posAttributes:], attributes)
	binary.BigEndian.PutUint64(out[posMaxTimestamp:], uint64(newest))
	binary.BigEndian.PutUint32(out[posCount:], uint32(count))
	out.seal()
	return out, nil
}
