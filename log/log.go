package log

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"balsa/log/batch"
	"balsa/log/vfs"
)

type (
	// Offset is a record's Kafka offset in its partition.
	Offset = batch.Offset
	// Epoch is a leader epoch, which is the Raft term.
	Epoch = batch.Epoch
)

// Index is a Raft log index: the ordinal of a batch in the log, starting at 1. Every batch has one, also those
// that consume no offset.
type Index uint64

var (
	// ErrOffsetOutOfRange means that the offset lies before the log start offset or beyond the log end offset.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrIndexNotFound means that the index lies before the first index or beyond the last.
	ErrIndexNotFound = errors.New("raft index not in log")
	// ErrFailed means that a write or an fsync failed before: the log takes no more appends until it is reopened,
	// because the kernel may have dropped the pages that it could not write.
	ErrFailed = errors.New("log failed")
	// ErrCorrupt means that data below the last clean point is damaged. It is never skipped silently.
	ErrCorrupt = errors.New("log corrupt")
	// ErrClosed means that the log was closed.
	ErrClosed = errors.New("log closed")
)

// corrupt is an ErrCorrupt that says where.
func corrupt(path string, pos int64, format string, args ...any) error {
	return fmt.Errorf("%w: %s at byte %d: %s", ErrCorrupt, path, pos, fmt.Sprintf(format, args...))
}

// Log is one partition's log. Reads may run concurrently with everything. There is one appender at a time; the other
// methods may be called by anyone, and exclude each other where they must.
//
// Locks are taken in the order compactMu, adminMu, appendMu, syncMu, mu; then a segment's index and file locks. Only compactMu,
// adminMu, appendMu and syncMu are held during I/O, and no reader takes those.
type Log struct {
	dir    string
	fs     vfs.FS
	syncer Syncer
	now    func() time.Time
	memory *Memory

	compactMu sync.Mutex // one compaction at a time; taken before all others

	adminMu sync.Mutex // serialises what deletes files or writes the checkpoint
	saved   Index      // index of the checkpoint on disk; guarded by adminMu
	doomed  []*segment // out of the log, their files not yet deleted; guarded by adminMu

	appendMu sync.Mutex // serialises what moves the end of the log
	slots    []slot     // scratch of Append
	bufs     [][]byte   // scratch of Append
	indexer  indexer    // decides which batches of the active segment get an index entry

	syncMu     sync.Mutex // one fsync of the data at a time
	background sync.WaitGroup
	flushing   atomic.Bool // a background fsync is on its way

	mu         sync.RWMutex // guards all below; held for moments only
	config     Config
	segments   []*segment // never empty while open; copied on change; the last one is active
	nextIndex  Index
	nextOffset Offset
	prevEpoch  Epoch
	epochs     epochs
	cleanedTo  Offset // what lies before it was compacted
	durable    Index  // last index known to be fsynced
	synced     int64  // bytes of the active segment known to be fsynced
	size       int64
	ring       ring
	generation uint64 // counts removals, so that a reader can tell why something vanished
	dirtySince time.Time
	// activeSince is when the active segment got its first data batch, or when the log was opened if it had some; zero
	// while it has none.
	activeSince time.Time
	aborted     []AbortedTxn // not yet in a file, ordered by Last; never changed in place
	lastAborted Offset       // Last of the last one known; -1 when there is none
	failed      error
	closing     bool // no compaction begins any more
	closed      bool
	// stopCompaction cancels the compaction that is under way; nil when none is.
	stopCompaction context.CancelFunc
	recovery       Recovery

	activity atomic.Uint64 // counts appends and reads, so that Tick can tell an idle log
	idle     idleness      // guarded by adminMu
}

// Recovery tells what Open had to do.
type Recovery struct {
	ScannedBytes   int64 // record bytes read to find the end of the log
	CutBytes       int64 // bytes of a torn append that were cut off
	RebuiltIndexes int
}

// Recovery returns what Open had to do.
func (l *Log) Recovery() Recovery { return l.recovery }

// Dir returns the directory that holds the log.
func (l *Log) Dir() string { return l.dir }

// FirstIndex is the index of the first batch kept; LastIndex+1 when the log is empty.
func (l *Log) FirstIndex() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.segments[0].baseIndex
}

// LastIndex is the index of the last batch; FirstIndex-1 when the log is empty.
func (l *Log) LastIndex() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.nextIndex - 1
}

// DurableIndex is the last index known to be fsynced.
func (l *Log) DurableIndex() Index {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.durable
}

// PrevEpoch is the epoch of the batch at FirstIndex-1; 0 when there never was one.
func (l *Log) PrevEpoch() Epoch {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.prevEpoch
}

// FirstOffset is the base offset of the first segment.
func (l *Log) FirstOffset() Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.segments[0].base
}

// NextOffset is the log end offset: what the next data batch gets.
func (l *Log) NextOffset() Offset {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.nextOffset
}

// LastEpoch is the epoch of the last batch; PrevEpoch when the log is empty.
func (l *Log) LastEpoch() Epoch {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lastEpoch()
}

func (l *Log) lastEpoch() Epoch { return l.epochs.last(l.prevEpoch) }

// Epochs returns where each epoch begins, oldest first.
func (l *Log) Epochs() []EpochStart {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return append([]EpochStart(nil), l.epochs...)
}

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch <= e that has entries and the offset where it ends
// (NextOffset for the last). ok is false when e is below the first known epoch.
func (l *Log) EpochEnd(e Epoch) (epoch Epoch, end Offset, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.epochs.end(e, l.nextOffset)
}

// Size is the bytes of all segment files.
func (l *Log) Size() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.size
}

// Failed is non-nil once a failed write or fsync latched the log.
func (l *Log) Failed() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// fail latches the log.
func (l *Log) fail(cause error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = fmt.Errorf("%w: %s: %w", ErrFailed, l.dir, cause)
	}
	return l.failed
}

// usable says why the log takes no changes, or nil.
func (l *Log) usable() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return ErrClosed
	}
	return l.failed
}

// SetConfig changes the configuration from the next append on.
func (l *Log) SetConfig(c Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config = c.withDefaults()
}

// FlushesEveryAppend says whether Config.FlushEveryAppend is set.
func (l *Log) FlushesEveryAppend() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.config.FlushEveryAppend
}

// active returns the segment that is appended to. The caller holds mu.
func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }
