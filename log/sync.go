package log

import "time"

// Sync makes everything appended so far durable. Appends go on meanwhile; they are not waited for.
func (l *Log) Sync() error { return l.sync() }

// sync fsyncs the active segment (all others are durable), and then lets its index know.
func (l *Log) sync() error {
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	l.mu.RLock()
	closed, failed := l.closed, l.failed
	s, size, next := l.active(), l.active().size, l.nextIndex
	mark := s.markAt(size, next, l.nextOffset, s.maxTimestamp)
	done := l.durable == next-1
	l.mu.RUnlock()
	switch {
	case failed != nil:
		return failed
	case closed:
		return ErrClosed
	case done:
		return nil
	}
	h, err := s.data.acquire()
	if err != nil {
		return l.fail(err)
	}
	err = l.syncer.Sync(h.File)
	h.release()
	if err != nil {
		return l.fail(err)
	}
	l.mu.Lock()
	l.durable, l.synced = next-1, size
	l.dirtySince = time.Time{}
	if s.size > size {
		l.dirtySince = l.now()
	}
	l.mu.Unlock()
	// An index that cannot be written now is written later: recovery reads more, that is all.
	_ = s.index.flush(mark)
	return nil
}

// flushInBackground starts a sync unless one is on its way. A failure latches the log, so that nobody misses it.
func (l *Log) flushInBackground() {
	l.mu.Lock() // so that Close does not begin to wait meanwhile
	defer l.mu.Unlock()
	if l.closed || !l.flushing.CompareAndSwap(false, true) {
		return
	}
	l.background.Go(func() {
		defer l.flushing.Store(false)
		_ = l.sync()
	})
}
