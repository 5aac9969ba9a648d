package log

import (
	"os"
	"time"

	"balsa/log/batch"
)

// Contract skeleton: every function here is replaced by the real one.

type Log struct{}

// Open opens or creates the log in dir. It reads only what was written after the last clean point, cuts a torn
// tail, and returns ErrCorrupt (wrapped, saying file and position) when data below the clean point is damaged.
// The returned Checkpoint is the last one saved (zero when none).
func Open(dir string, opts Options) (*Log, Checkpoint, error) { panic("skeleton") }

// Append stamps each batch in place with its base offset and epoch, and writes all of them with one write
// (pwritev) to one file. With Config.FlushEveryAppend, or sync true, it returns after they are durable.
// It is all or nothing: after an error the log is as before, or latched as failed (ErrFailed).
// One caller at a time; concurrent with every reader. The batches are not retained after it returns.
// epochs[i] is the epoch of batches[i]; epochs never fall. Data batches get base offset = NextOffset; internal batches
// (batch.IsInternal) get base offset = NextOffset and lastOffsetDelta -1, consuming none.
func (l *Log) Append(batches []batch.Batch, epochs []Epoch, sync bool) error { panic("skeleton") }

// Sync makes everything appended so far durable.
func (l *Log) Sync() error { panic("skeleton") }

func (l *Log) FirstIndex() Index                { panic("skeleton") } // index of the first batch kept; last+1 when empty
func (l *Log) LastIndex() Index                 { panic("skeleton") } // FirstIndex-1 when empty
func (l *Log) DurableIndex() Index              { panic("skeleton") } // the last index known to be fsynced
func (l *Log) PrevEpoch() Epoch                 { panic("skeleton") } // epoch of the batch at FirstIndex-1 (0 when there never was one)
func (l *Log) FirstOffset() Offset              { panic("skeleton") } // base offset of the first segment
func (l *Log) NextOffset() Offset               { panic("skeleton") } // log end offset: what the next data batch gets
func (l *Log) LastEpoch() Epoch                 { panic("skeleton") }
func (l *Log) Epochs() []EpochStart             { panic("skeleton") }
func (l *Log) Size() int64                      { panic("skeleton") } // bytes of all segment files
func (l *Log) Failed() error                    { panic("skeleton") } // non-nil once latched
func (l *Log) SetConfig(c Config)               { panic("skeleton") }
func (l *Log) OffsetOf(i Index) (Offset, error) { panic("skeleton") } // base offset stamped on entry i; NextOffset for LastIndex+1

// Info returns the header of entry i. Recent entries are answered from memory, without I/O.
func (l *Log) Info(i Index) (EntryInfo, error) { panic("skeleton") }

// Entry reads entry i whole (a fresh copy).
func (l *Log) Entry(i Index) (batch.Batch, error) { panic("skeleton") }

// Slice is a run of bytes in segment files, ready to be sent. It keeps its files open until Release.
type Slice struct {
	Ranges     []Range
	Bytes      int64
	NextOffset Offset // the offset after the last data batch in it (== requested offset's batch start if empty)
}

// Range is a byte range of one open file. File is for sendfile; ReadAt on it works too.
type Range struct {
	File interface {
		ReadAt(p []byte, off int64) (int, error)
	}
	Pos, Len int64
}

// OSFile returns the range's *os.File for sendfile, or nil if the file system is not the operating system's.
func (r Range) OSFile() *os.File { panic("skeleton") }

// Release lets go of the files. Safe on the zero Slice; once only.
func (s *Slice) Release() { panic("skeleton") }

// AppendTo appends the slice's bytes to dst (used where sendfile cannot be: tests, TLS, small answers).
func (s *Slice) AppendTo(dst []byte) ([]byte, error) { panic("skeleton") }

// Read returns the data batches from the one that holds offset `from` up to, not including, the batch that starts at
// `limit` (the high watermark): whole batches, no internal ones, at most maxBytes, except that with minOne the
// first batch is returned whatever its size. Empty when from >= limit.
// ErrOffsetOutOfRange when from < FirstOffset or from > NextOffset.
func (l *Log) Read(from, limit Offset, maxBytes int, minOne bool) (Slice, error) { panic("skeleton") }

// ReadEntries returns the stored bytes of entries first..last, internal ones included, at most maxBytes but at least
// one entry, and the last index that is in it. This is what replication ships.
func (l *Log) ReadEntries(first, last Index, maxBytes int) (Slice, Index, error) { panic("skeleton") }

// TimestampedOffset is an answer of the time index.
type TimestampedOffset struct {
	Timestamp int64 // ms since the epoch, of the record found
	Offset    Offset
	Epoch     Epoch
}

// OffsetForTime returns the first record in [from, limit) whose timestamp is >= ts; ok is false when there is none.
func (l *Log) OffsetForTime(ts int64, from, limit Offset) (r TimestampedOffset, ok bool, err error) {
	panic("skeleton")
}

// MaxTimestamp returns the record in [from, limit) with the largest timestamp (the first of equals); ok false when empty.
func (l *Log) MaxTimestamp(from, limit Offset) (r TimestampedOffset, ok bool, err error) { panic("skeleton") }

// EpochEnd answers OffsetForLeaderEpoch: the largest epoch <= e that has entries and the offset where it ends
// (NextOffset for the last). ok is false when e is below the first known epoch.
func (l *Log) EpochEnd(e Epoch) (epoch Epoch, end Offset, ok bool) { panic("skeleton") }

// TruncateSuffix removes entries i..LastIndex (a Raft conflict) durably.
func (l *Log) TruncateSuffix(i Index) error { panic("skeleton") }

// TrimPrefix deletes segments that hold only offsets below `to` and only indexes <= keepAfter; the active segment stays.
// The checkpoint must cover keepAfter durably before (the caller's duty). Returns the bytes freed.
func (l *Log) TrimPrefix(to Offset, keepAfter Index) (int64, error) { panic("skeleton") }

// Reset empties the log so that its next entry has index i and offset o, and PrevEpoch is prev (a snapshot install).
func (l *Log) Reset(i Index, o Offset, prev Epoch) error { panic("skeleton") }

// SaveCheckpoint stores c durably, atomically. c.Index <= DurableIndex.
func (l *Log) SaveCheckpoint(c Checkpoint) error { panic("skeleton") }

// RetentionPoint returns the offset up to which retention.ms/retention.bytes would delete now, in whole segments and
// never beyond limit. Negative values mean no bound (Kafka's -1).
func (l *Log) RetentionPoint(maxAge time.Duration, maxBytes int64, limit Offset, now time.Time) Offset {
	panic("skeleton")
}

// Tick does housekeeping that needs the clock: rolls by age, background flush, drops caches of an idle log.
func (l *Log) Tick(now time.Time) error { panic("skeleton") }

// Close flushes, records a clean shutdown and closes the files.
func (l *Log) Close() error { panic("skeleton") }
