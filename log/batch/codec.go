package batch

import "fmt"

// Codec is a compression type as the attributes name it.
type Codec int8

// Kafka's compression types.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
	codecs
)

// String is Kafka's name of the codec.
func (c Codec) String() string {
	if c < 0 || c >= codecs {
		return fmt.Sprintf("codec-%d", int8(c))
	}
	return [...]string{"none", "gzip", "snappy", "lz4", "zstd"}[c]
}

// ParseCodec is the inverse of String.
func ParseCodec(name string) (Codec, error) {
	for c := range codecs {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrUnsupportedCodec, name)
}
