package log

import (
	"errors"
	"time"

	"balsa/log/batch"
	"balsa/log/vfs"
)

// Offset is a record's Kafka offset in its partition. Epoch is a leader epoch, which is the Raft term.
type (
	Offset = batch.Offset
	Epoch  = batch.Epoch
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

// Syncer makes a file durable. One Syncer serves all logs of a node, so that it can merge their fsyncs.
type Syncer interface {
	// Sync returns when all that was written to f before the call is on stable storage.
	Sync(f vfs.File) error
}

// Config holds what can be tuned for one log; the names in comments are Kafka's topic configs. It can be changed
// while the log is open, with SetConfig.
type Config struct {
	SegmentBytes       int64         // segment.bytes
	SegmentAge         time.Duration // segment.ms
	IndexIntervalBytes int           // index.interval.bytes
	// FlushEveryAppend makes Append return only after an fsync (flush.messages=1). Otherwise the log is fsynced
	// in the background, at FlushInterval or after FlushBytes, whichever comes first.
	FlushEveryAppend bool
	FlushInterval    time.Duration // flush.ms
	FlushBytes       int64
}

// Options are fixed for as long as a log is open.
type Options struct {
	FS     vfs.FS
	Syncer Syncer
	Config Config
	Now    func() time.Time
}

// EntryInfo describes one stored batch without its records.
type EntryInfo struct {
	Index  Index
	Header batch.Header // decoded header of the stored batch, base offset and epoch as stamped
}

// EpochStart says where an epoch begins. Epochs without an entry are not listed.
type EpochStart struct {
	Epoch  Epoch
	Index  Index
	Offset Offset
}

// Checkpoint is what lets a log open without reading its data. State belongs to the caller (Raft's position and
// configuration, the state machine's state) and is returned by Open as it was saved.
type Checkpoint struct {
	Index Index // the last index that State covers; not beyond what is durable
	State []byte
}
