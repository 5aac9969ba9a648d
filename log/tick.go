package log

import (
	"fmt"
	"time"
)

const (
	// idleAfter is how long a log must rest before Tick drops what it keeps for speed.
	idleAfter = 30 * time.Second
	// indexSyncEntries is how many entries an index gets between two fsyncs of its own, so that after a power cut
	// recovery finds a clean point not far from the end: at the default interval they stand for 64 MiB of data.
	indexSyncEntries = 16 << 10
)

// idleness is what Tick remembers.
type idleness struct {
	activity uint64 // Log.activity when it last changed
	since    time.Time
	swept    time.Time // when files were last closed
}

// Tick does housekeeping that needs the clock: rolls by age, background flush, drops caches of an idle log. Call it about
// once a second; it returns fast unless there is something to do.
func (l *Log) Tick(now time.Time) error {
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.rollByAge(); err != nil {
		return fmt.Errorf("tick %s: %w", l.dir, err)
	}
	l.mu.RLock()
	due := l.config.FlushInterval > 0 && !l.dirtySince.IsZero() && now.Sub(l.dirtySince) >= l.config.FlushInterval
	active := l.active()
	l.mu.RUnlock()
	if due {
		l.flushInBackground()
	}
	if active.index.due() {
		if err := active.index.sync(l.syncer); err != nil {
			return l.fail(err)
		}
	}
	return l.rest(now)
}

// rollByAge rolls the active segment when its first record is older than segment.ms.
func (l *Log) rollByAge() error {
	l.mu.RLock()
	age := l.config.SegmentAge
	old := age > 0 && !l.activeSince.IsZero() && l.now().Sub(l.activeSince) > age
	l.mu.RUnlock()
	if !old {
		return nil
	}
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if s, _, _ := l.activeState(); l.nextOffset == s.base || !l.expired(s, age, 0) {
		return nil
	}
	return l.roll()
}

// rest drops the ring and closes files that have not been used for a while, and deletes what is left to delete.
func (l *Log) rest(now time.Time) error {
	l.adminMu.Lock()
	defer l.adminMu.Unlock()
	err := l.deleteDoomed()
	if a := l.activity.Load(); a != l.idle.activity || l.idle.since.IsZero() {
		l.idle.activity, l.idle.since = a, now
	}
	if now.Sub(l.idle.swept) < idleAfter {
		return err
	}
	l.idle.swept = now
	l.mu.Lock()
	segments := l.segments
	if now.Sub(l.idle.since) >= idleAfter {
		l.ring = ring{}
	}
	l.mu.Unlock()
	for k, s := range segments {
		if k < len(segments)-1 {
			s.data.closeIdle() // the active one stays: a failed write-back must reach the fsync to come
		}
		s.index.file.closeIdle()
		s.txns.file.closeIdle()
	}
	return err
}

// due says whether the index should be fsynced.
func (x *index) due() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dirty >= indexSyncEntries
}
