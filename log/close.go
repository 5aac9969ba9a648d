package log

// Close flushes, records a clean shutdown and closes the files; slices that are out stay readable. A log that failed is
// only closed: what it has in doubt is for the next Open. Closing again does nothing.
func (l *Log) Close() error {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if l.isClosed() {
		return nil
	}
	err := l.Failed()
	if err == nil {
		err = l.closeCleanly()
	}
	l.mu.Lock()
	l.closed = true
	l.ring = ring{}
	segments := l.segments
	l.mu.Unlock()
	l.background.Wait()
	for _, s := range append(segments[:len(segments):len(segments)], l.doomed...) {
		s.retire(ErrClosed)
	}
	return err
}

func (l *Log) isClosed() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.closed
}

// closeCleanly makes everything durable, and leaves the index with a mark at the very end, so that the next Open scans
// nothing.
func (l *Log) closeCleanly() error {
	if err := l.sync(); err != nil {
		return err
	}
	s := l.active()
	if !s.index.isDirty() {
		return nil
	}
	if err := s.index.sync(l.syncer); err != nil {
		return l.fail(err)
	}
	return nil
}

func (x *index) isDirty() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dirty > 0
}
