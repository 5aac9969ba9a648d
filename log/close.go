package log

// Close flushes, records a clean shutdown and closes the files; slices that are out stay readable. A log that failed is
// only closed: what it has in doubt is for the next Open. A compaction is stopped. Closing again does nothing.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closing = true
	stop := l.stopCompaction
	l.mu.Unlock()
	if stop != nil {
		stop()
	}
	l.compactMu.Lock() // it writes files: nobody may open the directory anew before it is through
	defer l.compactMu.Unlock()
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
	l.closed = true // from here on no background fsync starts
	l.ring = ring{}
	segments := l.segments
	l.mu.Unlock()
	l.background.Wait()
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
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
	l.mu.RLock()
	s := l.active()
	mark := s.markAt(s.size, l.nextIndex, l.nextOffset, s.maxTimestamp)
	l.mu.RUnlock()
	dirty, err := s.index.complete(mark)
	if err != nil || !dirty {
		return err // without a mark at the end the next Open scans, that is all
	}
	if err := s.index.sync(l.syncer); err != nil {
		return l.fail(err)
	}
	return nil
}

// complete writes what an earlier flush could not, and says whether the file has anything to be fsynced.
func (x *index) complete(mark indexEntry) (dirty bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.pending) > 0 || x.mark != mark {
		if err := x.flushLocked(mark); err != nil {
			return false, err
		}
	}
	return x.dirty > 0, nil
}
