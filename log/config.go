package log

import (
	"math"
	"time"

	"balsa/log/vfs"
)

// Syncer makes a file durable. One Syncer serves all logs of a node, so that it can merge their fsyncs.
type Syncer interface {
	// Sync returns when all that was written to f before the call is on stable storage.
	Sync(f vfs.File) error
}

// directSyncer calls fsync where it is asked.
type directSyncer struct{}

func (directSyncer) Sync(f vfs.File) error { return f.Sync() }

// Config holds what can be tuned for one log; the names in comments are Kafka's topic configs. It can be changed
// while the log is open, with SetConfig. Zero values mean Kafka's defaults.
type Config struct {
	SegmentBytes       int64         // segment.bytes
	SegmentAge         time.Duration // segment.ms; zero means never
	IndexIntervalBytes int           // index.interval.bytes
	// FlushEveryAppend makes Append return only after an fsync (flush.messages=1), unless its caller sees to that. Otherwise the log is
	// fsynced in the background, at FlushInterval or after FlushBytes, whichever comes first.
	FlushEveryAppend bool
	FlushInterval    time.Duration // flush.ms; zero means never
	FlushBytes       int64         // at most, and by default, 64 MiB
}

const (
	defaultSegmentBytes  = 1 << 30
	defaultIndexInterval = 4096
	// maxFlushBytes bounds what an index keeps in memory: entries are written only once their data is durable.
	maxFlushBytes = 64 << 20
	// maxSegmentBytes is what the index's 31-bit positions can express.
	maxSegmentBytes = math.MaxInt32
)

func (c Config) withDefaults() Config {
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = defaultSegmentBytes
	}
	c.SegmentBytes = min(c.SegmentBytes, maxSegmentBytes)
	if c.IndexIntervalBytes <= 0 {
		c.IndexIntervalBytes = defaultIndexInterval
	}
	if c.FlushBytes <= 0 {
		c.FlushBytes = maxFlushBytes
	}
	c.FlushBytes = min(c.FlushBytes, maxFlushBytes)
	return c
}

// Options are fixed for as long as a log is open.
type Options struct {
	FS     vfs.FS           // nil: the operating system's
	Syncer Syncer           // nil: one fsync per call
	Now    func() time.Time // nil: time.Now
	Config Config
	Memory *Memory // for reads of compacted logs; nil: without bound
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Syncer == nil {
		o.Syncer = directSyncer{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Config = o.Config.withDefaults()
	return o
}
