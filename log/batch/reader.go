package batch

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// bufferLen is the window through which decompressed records are walked. Records that fit it are checked in place.
const bufferLen = 32 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, bufferLen) }}

func getReader(src io.Reader) *bufio.Reader {
	r := readers.Get().(*bufio.Reader)
	r.Reset(src)
	return r
}

func putReader(r *bufio.Reader) {
	r.Reset(nil)
	readers.Put(r)
}

// readVarint reads a zigzag varint.
func readVarint(r *bufio.Reader) (int64, error) {
	v, n := int64(0), -1
	p, err := r.Peek(binary.MaxVarintLen64)
	if len(p) > 0 {
		v, n = varint(p, 0)
	}
	if n < 0 {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: malformed varint", ErrInvalidRecord)
		}
		return 0, err
	}
	_, err = r.Discard(n)
	return v, err
}
