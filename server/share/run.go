package share

import (
	"strings"

	"balsa/log/batch"
)

// Offset is a record's position in its partition.
type Offset = batch.Offset

// State is what has become of a record in a group. The values are on disk: never reuse one.
type State uint8

// The states. Only Acknowledged and Archived let Partition.Start pass.
const (
	// Available waits to be delivered; if Run.Until is set, not before then.
	Available State = iota
	// Acquired is in the hands of a member until Run.Until.
	Acquired
	// Acknowledged was accepted.
	Acknowledged
	// Archiving is given up, and its dead letter is yet to be written.
	Archiving
	// Archived is given up, or was never a record: a hole, a marker, an aborted transaction.
	Archived
)

// Decided says whether nothing more is to be done about a record.
func (s State) Decided() bool { return s == Acknowledged || s == Archived }

func (s State) String() string {
	switch s {
	case Available:
		return "available"
	case Acquired:
		return "acquired"
	case Acknowledged:
		return "acknowledged"
	case Archiving:
		return "archiving"
	case Archived:
		return "archived"
	}
	return "unknown"
}

// Reason is why a record was given up. The values are on disk: never reuse one.
type Reason uint8

// The reasons of dead letters.
const (
	// Rejected: a member said that it cannot be processed.
	Rejected Reason = iota
	// DeliveryLimit: it was delivered as often as share.delivery.count.limit allows.
	DeliveryLimit
	// Expired: retention deletes it before anyone has decided about it.
	Expired
)

// String returns the text for the dead letter's header (__dlq.errors.message).
func (r Reason) String() string {
	switch r {
	case Rejected:
		return "rejected"
	case DeliveryLimit:
		return "delivery count limit reached"
	case Expired:
		return "expired"
	}
	return "unknown"
}

// DetachedPrefix begins the ids of members whose records are held by their locks alone: the host releases nothing when such
// a member's connection or session ends. Two processes may so receive and acknowledge.
const DetachedPrefix = "detached-"

// Detached says whether a member's records outlive its session.
func Detached(member string) bool { return strings.HasPrefix(member, DetachedPrefix) }

// Run is a range of offsets that are alike. Fields that do not belong to its State are zero.
type Run struct {
	First, Last   Offset // inclusive
	State         State
	Reason        Reason // Archiving: why
	DeliveryCount int16  // Available, Acquired, Archiving: how often it was delivered
	Member        string // Acquired: who holds it
	Until         int64  // Acquired: when the lock ends; Available: not to be delivered before then, 0 when it may be at once
}

// Len returns the number of offsets.
func (r Run) Len() int64 { return int64(r.Last-r.First) + 1 }

// ready says whether a run may be delivered.
func (r Run) ready() bool { return r.State == Available && r.Until == 0 }

// undecided says whether a run is yet to be acknowledged or given up.
func (r Run) undecided() bool { return r.State == Available || r.State == Acquired }

// of returns the run for another range.
func (r Run) of(first, last Offset) Run {
	r.First, r.Last = first, last
	return r
}

// like says whether two runs differ in nothing but their offsets.
func (r Run) like(other Run) bool { return r.of(0, 0) == other.of(0, 0) }

// normal returns the run without what its state has no use for, so that what means the same is the same.
func (r Run) normal() Run {
	n := Run{First: r.First, Last: r.Last, State: r.State}
	switch r.State {
	case Available:
		n.DeliveryCount, n.Until = r.DeliveryCount, max(r.Until, 0)
	case Acquired:
		n.DeliveryCount, n.Member, n.Until = r.DeliveryCount, r.Member, r.Until
	case Archiving:
		n.DeliveryCount, n.Reason = r.DeliveryCount, r.Reason
	}
	return n
}
