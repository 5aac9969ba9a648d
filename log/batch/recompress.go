package batch

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Recompressor stores batches under another codec than the producer's (compression.type other than producer). It keeps
// compressors between batches. Safe for concurrent use.
type Recompressor struct {
	codec Codec
	level int
	pool  sync.Pool
}

// NewRecompressor makes batches of codec c. level is Kafka's compression.gzip.level, compression.lz4.level or
// compression.zstd.level; the other codecs have none.
func NewRecompressor(c Codec, level int) *Recompressor { return &Recompressor{codec: c, level: level} }

// defaultLZ4Level is Kafka's; it stands for the fast compressor, and only other levels for the slow one.
const defaultLZ4Level = 9

// compressor is what all streaming compressors have.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// compressor returns one that writes to w, from the pool if there is one.
func (r *Recompressor) compressor(w io.Writer) (compressor, error) {
	if z, ok := r.pool.Get().(compressor); ok {
		z.Reset(w)
		return z, nil
	}
	switch r.codec {
	case CodecGzip:
		return gzip.NewWriterLevel(w, r.level)
	case CodecSnappy:
		z := &xerialWriter{}
		z.Reset(w)
		return z, nil
	case CodecLZ4:
		z := lz4.NewWriter(w)
		level := lz4.Fast
		if r.level != defaultLZ4Level {
			level = lz4.Level1 << (min(max(r.level, 1), 9) - 1)
		}
		err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ConcurrencyOption(1), lz4.CompressionLevelOption(level))
		return z, err
	case CodecZstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(maxZstdWindow/8), zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(r.level)))
	}
	return nil, fmt.Errorf("%w: %s", ErrUnsupportedCodec, r.codec)
}

// Recompress returns b under the recompressor's codec: b itself when it is that already, else a copy, sealed, with the same
// header but for codec and length. The records pass through piece by piece and are not held: neither they nor the result
// exceed what is said: inflate bytes decompressed, or maxBytes as stored (0: no bound); more is ErrTooLarge. b must be valid.
func (r *Recompressor) Recompress(b Batch, maxBytes int, inflate int64) (Batch, error) {
	if b.Codec() == r.codec {
		return b, nil
	}
	if inflate <= 0 {
		inflate = DefaultMaxInflate
	}
	if maxBytes <= 0 {
		maxBytes = MaxLen
	}
	src, err := newInflater(b.Codec(), b.Payload(), inflate)
	if err != nil {
		return nil, err
	}
	defer src.close()
	out := &capped{b: append(make(Batch, 0, len(b)), b[:HeaderLen]...), limit: maxBytes}
	if err := r.copy(out, src); err != nil {
		return nil, fmt.Errorf("compress again, as %s: %w", r.codec, err)
	}
	attributes := out.b.Attributes()&^AttrCodec | int16(r.codec)
	binary.BigEndian.PutUint16(out.b[posAttributes:], uint16(attributes))
	out.b.seal()
	return out.b, nil
}

func (r *Recompressor) copy(dst io.Writer, src io.Reader) error {
	if r.codec == CodecNone {
		_, err := io.Copy(dst, src)
		return err
	}
	z, err := r.compressor(dst)
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, onlyReader{src}); err != nil {
		return err // the compressor is in an unknown state: not for the pool
	}
	if err := z.Close(); err != nil {
		return err
	}
	z.Reset(nil)
	r.pool.Put(z)
	return nil
}

// onlyReader hides whatever else a reader can, so that copying goes through a buffer of ordinary size.
type onlyReader struct{ io.Reader }

// capped is a batch that grows up to a limit.
type capped struct {
	b     Batch
	limit int
}

func (c *capped) Write(p []byte) (int, error) {
	if len(c.b)+len(p) > c.limit {
		return 0, fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.limit)
	}
	c.b = append(c.b, p...)
	return len(p), nil
}

// xerialWriter compresses block by block in the framing of Java clients.
type xerialWriter struct {
	w     io.Writer
	begun bool
	block []byte // not yet written
	out   []byte // scratch
}

// Reset begins anew.
func (x *xerialWriter) Reset(w io.Writer) { x.w, x.begun, x.block = w, false, x.block[:0] }

// Write implements io.Writer.
func (x *xerialWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		k := min(len(p), xerialBlockLen-len(x.block))
		x.block = append(x.block, p[:k]...)
		p, n = p[k:], n+k
		if len(x.block) == xerialBlockLen {
			if err := x.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// Close writes what is left.
func (x *xerialWriter) Close() error {
	if len(x.block) > 0 || !x.begun {
		return x.flush()
	}
	return nil
}

func (x *xerialWriter) flush() error {
	x.out = x.out[:0]
	if !x.begun {
		x.out = appendXerialHeader(x.out)
		x.begun = true
	}
	if len(x.block) > 0 {
		block := snappy.Encode(nil, x.block)
		x.out = binary.BigEndian.AppendUint32(x.out, uint32(len(block)))
		x.out = append(x.out, block...)
	}
	x.block = x.block[:0]
	_, err := x.w.Write(x.out)
	return err
}
