package cluster

import "sync/atomic"

// latest is a value that one goroutine at a time publishes and any number read and wait for, without locks.
type latest[T any] struct{ current atomic.Pointer[published[T]] }

type published[T any] struct {
	value   T
	changed chan struct{} // closed when a later value is there
}

func newLatest[T any](v T) *latest[T] {
	l := &latest[T]{}
	l.current.Store(&published[T]{value: v, changed: make(chan struct{})})
	return l
}

// get returns the latest value and a channel that is closed as soon as there is a later one.
func (l *latest[T]) get() (T, <-chan struct{}) {
	p := l.current.Load()
	return p.value, p.changed
}

func (l *latest[T]) publish(v T) {
	before := l.current.Swap(&published[T]{value: v, changed: make(chan struct{})})
	close(before.changed)
}
