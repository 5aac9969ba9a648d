package batch

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxZstdWindow is what RFC 8878 asks every decoder to support. A frame that wants more memory is refused: the window
// is allocated on the word of its header, before a byte was inflated.
const maxZstdWindow = 8 << 20

// The pools keep decoders, whose tables and windows are dear to make, between batches. They hold no state of a batch.
var (
	gzipReaders = sync.Pool{New: func() any { return new(gzip.Reader) }}
	lz4Readers  = sync.Pool{New: func() any { return lz4.NewReader(nil) }}
	zstdReaders = sync.Pool{New: func() any {
		// Without concurrency the decoder has no goroutines, so that the pool may drop it.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			panic("batch: zstd options: " + err.Error())
		}
		return d
	}}
)

// inflater reads the decompressed form of a payload, and fails with ErrTooLarge beyond its limit.
type inflater struct {
	src     bytes.Reader
	r       io.Reader
	codec   Codec
	left    int64 // bytes that may still come
	release func()
}

// newInflater starts decompression of src. The caller calls close exactly once.
func newInflater(c Codec, src []byte, limit int64) (*inflater, error) {
	f := &inflater{codec: c, left: limit}
	f.src.Reset(src)
	switch c {
	case CodecNone:
		f.r = &f.src
	case CodecGzip:
		z := gzipReaders.Get().(*gzip.Reader)
		f.release = func() { gzipReaders.Put(z) }
		if err := z.Reset(&f.src); err != nil {
			f.close()
			return nil, fmt.Errorf("%w: gzip: %w", ErrInvalidRecord, err)
		}
		f.r = z
	case CodecSnappy:
		s := snappyReaders.Get().(*snappyReader)
		s.reset(src, limit)
		f.release = func() { s.reset(nil, 0); snappyReaders.Put(s) }
		f.r = s
	case CodecLZ4:
		z := lz4Readers.Get().(*lz4.Reader)
		z.Reset(&f.src)
		f.release = func() { z.Reset(nil); lz4Readers.Put(z) }
		f.r = z
	case CodecZstd:
		z := zstdReaders.Get().(*zstd.Decoder)
		f.release = func() { _ = z.Reset(nil); zstdReaders.Put(z) }
		if err := z.Reset(&f.src); err != nil {
			f.close()
			return nil, f.wrap(err)
		}
		f.r = z
	default:
		return nil, fmt.Errorf("%w: %d", ErrUnsupportedCodec, int8(c))
	}
	return f, nil
}

func (f *inflater) close() {
	if f.release != nil {
		f.release()
	}
	f.release, f.r = nil, nil
}

func (f *inflater) Read(p []byte) (int, error) {
	if f.left <= 0 {
		var one [1]byte
		if n, err := f.r.Read(one[:]); n == 0 {
			return 0, f.wrap(err)
		}
		return 0, fmt.Errorf("%w: inflates beyond the limit", ErrTooLarge)
	}
	n, err := f.r.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, f.wrap(err)
}

// wrap sorts a decoder's error into ours. io.EOF stays: it is the end that one waits for.
func (f *inflater) wrap(err error) error {
	switch {
	case err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case errors.Is(err, ErrTooLarge), errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%w: %s: %w", ErrTooLarge, f.codec, err)
	default:
		return fmt.Errorf("%w: %s: %w", ErrInvalidRecord, f.codec, err)
	}
}

// Decompress returns the inflated form of src, at most limit bytes: more is ErrTooLarge, and what does not inflate is
// ErrInvalidRecord. Memory grows with what was inflated, never with what src claims (zstd's window apart, 8 MiB).
func Decompress(c Codec, src []byte, limit int64) ([]byte, error) {
	f, err := newInflater(c, src, limit)
	if err != nil {
		return nil, err
	}
	defer f.close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(f); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
