// Package bytepool lends byte slices whose lifetime is known, so that large buffers on the hot path are not garbage.
package bytepool

import (
	"math/bits"
	"sync"
)

const (
	minShift = 12 // 4 KiB
	maxShift = 22 // 4 MiB: larger buffers are rare, and keeping them would cost more than making them
)

// Pool lends buffers in power-of-two classes from 4 KiB to 4 MiB. The zero value is ready. Safe for concurrent use.
type Pool struct {
	classes [maxShift - minShift + 1]sync.Pool
}

// Get returns a buffer of length n with undefined contents.
func (p *Pool) Get(n int) []byte {
	c := class(n)
	if c >= len(p.classes) {
		return make([]byte, n)
	}
	if b, ok := p.classes[c].Get().(*[]byte); ok {
		return (*b)[:n]
	}
	return make([]byte, n, 1<<(c+minShift))
}

// Put takes a buffer back. The caller must hold no reference into it any more.
func (p *Pool) Put(b []byte) {
	c := class(cap(b))
	if c >= len(p.classes) || cap(b) != 1<<(c+minShift) {
		return
	}
	b = b[:0]
	p.classes[c].Put(&b)
}

func class(n int) int {
	if n <= 1<<minShift {
		return 0
	}
	return bits.Len(uint(n-1)) - minShift
}
