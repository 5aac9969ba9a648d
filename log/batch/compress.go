package batch

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

var (
	gzipWriters = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	lz4Writers  = sync.Pool{New: func() any { return lz4.NewWriter(nil) }}
	zstdWriters = sync.Pool{New: func() any {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
			zstd.WithWindowSize(maxZstdWindow/8))
		if err != nil {
			panic("batch: zstd options: " + err.Error())
		}
		return e
	}}
)

// Compress returns the compressed form of src at the codec's default level, as Kafka clients expect it.
func Compress(c Codec, src []byte) ([]byte, error) {
	var out bytes.Buffer
	switch c {
	case CodecNone:
		return src, nil
	case CodecGzip:
		z := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(z)
		z.Reset(&out)
		err := finish(z, src)
		return out.Bytes(), err
	case CodecSnappy:
		return xerial(src), nil
	case CodecLZ4:
		z := lz4Writers.Get().(*lz4.Writer)
		defer lz4Writers.Put(z)
		z.Reset(&out)
		if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ConcurrencyOption(1)); err != nil {
			return nil, fmt.Errorf("compress with lz4: %w", err)
		}
		err := finish(z, src)
		return out.Bytes(), err
	case CodecZstd:
		z := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(z)
		return z.EncodeAll(src, nil), nil
	default:
		return nil, fmt.Errorf("compress: %w: %d", ErrUnsupportedCodec, int8(c))
	}
}

func finish(z io.WriteCloser, src []byte) error {
	if _, err := z.Write(src); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	return nil
}
