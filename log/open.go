package log

import (
	"fmt"
	"path"
	"time"

	"balsa/log/vfs"
)

// Open opens or creates the log in dir. It reads only what was written after the last clean point, cuts a torn
// tail, and returns ErrCorrupt (wrapped, saying file and position) when data below the clean point is damaged; then
// nothing in the directory was changed. The returned Checkpoint is the last one saved (zero when none).
func Open(dir string, opts Options) (*Log, Checkpoint, error) {
	opts = opts.withDefaults()
	dir = path.Clean(dir)
	l := &Log{dir: dir, fs: opts.FS, syncer: opts.Syncer, now: opts.Now, config: opts.Config, memory: opts.Memory}
	c, err := l.open()
	if err != nil {
		for _, s := range l.segments {
			s.retire(ErrClosed)
		}
		return nil, Checkpoint{}, fmt.Errorf("open log %s: %w", dir, err)
	}
	return l, c, nil
}

func (l *Log) open() (Checkpoint, error) {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return Checkpoint{}, err
	}
	c, err := readCheckpoint(l.fs, l.dir)
	if err != nil {
		return Checkpoint{}, err
	}
	if c == nil { // where there is a checkpoint, an earlier Open did this
		if err := l.fs.SyncDir(path.Dir(l.dir)); err != nil {
			return Checkpoint{}, err
		}
	}
	if c != nil && c.reset {
		s := c.segments[0].open(l.fs, l.dir)
		if err := finishReset(l.fs, l.dir, c, s); err != nil {
			return Checkpoint{}, fmt.Errorf("finish reset: %w", err)
		}
		s.retire(ErrClosed)
	}
	r := recovery{fs: l.fs, syncer: l.syncer, dir: l.dir, checkpoint: c, interval: int64(l.config.IndexIntervalBytes)}
	err = r.inspect()
	if err == nil {
		err = r.apply()
	}
	l.segments = r.segments
	if err != nil {
		return Checkpoint{}, err
	}
	l.adopt(&r)
	if err := l.findLastAborted(); err != nil {
		return Checkpoint{}, err
	}
	if c == nil {
		return Checkpoint{}, nil
	}
	l.saved, l.cleanedTo = c.Index, max(c.cleanedTo, l.segments[0].base)
	return c.Checkpoint, nil
}

// adopt takes over what recovery found.
func (l *Log) adopt(r *recovery) {
	active := r.segments[len(r.segments)-1]
	l.nextIndex, l.nextOffset = r.next, r.nextOffset
	l.prevEpoch, l.epochs = r.prevEpoch, r.epochs
	l.durable, l.synced = r.next-1, active.size
	l.recovery = r.done
	for _, s := range r.segments {
		l.size += s.size
	}
	if l.nextOffset > active.base {
		l.activeSince = l.now()
	}
	l.indexer = indexer{interval: r.interval, epoch: l.lastEpoch(), maxTimestamp: active.maxTimestamp}
	l.idle.swept = time.Time{}
}

func readCheckpoint(fsys vfs.FS, dir string) (*checkpointFile, error) {
	b, err := fsys.ReadFile(checkpointPath(dir))
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := parseCheckpoint(b)
	if err != nil {
		return nil, corrupt(checkpointPath(dir), 0, "%v", err)
	}
	return c, nil
}

// finishReset deletes all segments and makes s, the one that the checkpoint of a reset names. It can be repeated.
func finishReset(fsys vfs.FS, dir string, c *checkpointFile, s *segment) error {
	names, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch path.Ext(name) {
		case dataSuffix, indexSuffix, txnSuffix, tempSuffix:
			if err := removeIfThere(fsys, path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	if err := s.create(); err != nil {
		return err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	done := *c
	done.reset = false
	return writeCheckpoint(fsys, dir, &done)
}
