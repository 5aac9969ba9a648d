package share

import "errors"

var (
	// ErrInvalidRecordState means INVALID_RECORD_STATE: the member does not, or no longer, hold what it acknowledges.
	ErrInvalidRecordState = errors.New("invalid record state")
	// ErrInvalidRequest means INVALID_REQUEST: an acknowledgement that is not well formed, or of what was never delivered.
	ErrInvalidRequest = errors.New("invalid acknowledgement")
)

// Policy is a group's settings as they are now. They may change from one call to the next.
type Policy struct {
	LockMs        int64 // share.record.lock.duration.ms
	DeliveryLimit int16 // share.delivery.count.limit; 0 is none
	MaxLocks      int   // share.partition.max.record.locks: how many may be Acquired at a time
	// MaxWindow bounds how many records may be tracked that are neither decided nor acquired: delayed ones, and those that
	// key order holds back. Beyond it nothing new is looked at that would have to wait.
	MaxWindow int
	// MaxRuns bounds the runs of the window, also of what is decided out of order or has no dead letter yet. When they are reached,
	// nothing new is looked at before what lies at the start is decided. 0: no bound.
	MaxRuns     int
	DeadLetters bool // errors.deadletterqueue.topic.name is set: what is given up is Archiving first
	Renew       bool // share.renew.acknowledge.enable
	Ordered     bool // share.ordering=key
}

// Record is what has to be known of a record to delay it, or to keep the order of its key.
type Record struct {
	Offset    Offset
	Key       uint64 // a hash of its key; records of one key are delivered in order. 0: it has none
	DeliverAt int64  // not to be delivered before then; 0: at once
}

// Batch is a range of offsets as it was read from the log.
type Batch struct {
	First, Last Offset // inclusive
	// Skip means that there is nothing to deliver: markers, aborted transactions, a hole. It is archived.
	Skip bool
	// Records is nil if the host did not look into the batch: then every offset is one that may be delivered at once, and has no
	// key. Otherwise offsets that have no record are holes. Ascending.
	Records []Record
}

// AcquireArgs is a request for records.
type AcquireArgs struct {
	Member     string
	Now        int64
	Policy     Policy
	LockMs     int64 // 0: the Policy's
	MaxRecords int
	// BatchSize cuts acquisitions: at the first boundary of batches where they have reached it. 0: they are not cut.
	BatchSize int
	// RecordLimit makes MaxRecords exact. Without it (Kafka's batch-optimised mode) the batch that reaches MaxRecords is taken
	// whole.
	RecordLimit bool
	// Batches is what the host read from the offset that NextFetch returned, ascending. What lies between two of them does not
	// exist and is archived. A hole before the first, or after the last, is given as a Batch with Skip: Batches that begin above
	// End were read for another Leader, and nothing is acquired of them.
	Batches []Batch
}

// Acquisition is a range of records that were delivered.
type Acquisition struct {
	First, Last   Offset // inclusive
	DeliveryCount int16  // with this delivery
}

// AckType is what a member says of a record. The values are the wire's.
type AckType uint8

// The types of acknowledgement.
const (
	Gap     AckType = iota // there is no such record: archived without a dead letter
	Accept                 // processed
	Release                // to be delivered again, unless it was often enough
	Reject                 // never to be delivered again
	Renew                  // still being processed: the lock begins anew
)

// Ack acknowledges a range of offsets.
type Ack struct {
	First, Last Offset    // inclusive
	Types       []AckType // one for all, or one for each offset
}

// AcknowledgeArgs is a request to acknowledge records.
type AcknowledgeArgs struct {
	Member  string
	Now     int64
	Policy  Policy
	LockMs  int64 // of renewed records; 0: the Policy's
	DelayMs int64 // released records are not delivered before that has passed
	Acks    []Ack // ascending, without overlap
}

// Counts is how many offsets of the window are in which state.
type Counts struct {
	Available int64 // may be delivered at once, or as soon as the key allows
	Delayed   int64 // Available, but not before a time
	Acquired  int64
	Archiving int64
	Decided   int64 // above Start because something below is undecided
}

// Undecided returns how many of the window are yet to be acknowledged or given up.
func (c Counts) Undecided() int64 { return c.Available + c.Delayed + c.Acquired }

// waiting returns how many are tracked without being acquired.
func (c Counts) waiting() int64 { return c.Available + c.Delayed }

func (c *Counts) add(r Run, n int64) {
	switch {
	case r.ready():
		c.Available += n
	case r.State == Available:
		c.Delayed += n
	case r.State == Acquired:
		c.Acquired += n
	case r.State == Archiving:
		c.Archiving += n
	default:
		c.Decided += n
	}
}
