package queue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"balsa/test/violation"
)

// Violation classifies broken promises.
type Violation string

// The ways in which a queue can break its promises.
const (
	MessageLost   Violation = "lost"            // acknowledged to its producer, but neither accepted nor dead-lettered
	Redelivered   Violation = "redelivered"     // fetched after its acceptance or rejection was answered with success
	Usurped       Violation = "usurped"         // decided by a worker whose lock had ended, when another had it
	Shared        Violation = "shared"          // with two workers at once inside the lock of one
	Miscounted    Violation = "miscounted"      // delivery counts that repeat, run backwards or exceed the limit
	NotBuried     Violation = "not buried"      // poison that is not in the dead-letter topic
	WronglyBuried Violation = "wrongly buried"  // in the dead-letter topic, but accepted, or without reason
	WrongCount    Violation = "wrong count"     // in the dead-letter topic with another delivery count than it had
	Moved         Violation = "moved"           // at another place than its producer was told
	Phantom       Violation = "phantom"         // never written
	Corrupt       Violation = "corrupt"         // the value changed
	Misused       Violation = "misused journal" // a worker contradicts itself: the test is wrong
)

// delivery is one time that a worker got a message.
type delivery struct {
	worker         int
	count          int32
	sent, received int64
	until          int64 // the lock holds at least as long, if nothing ends it early
	gaveUp         int64 // when the worker began to give the message away; 0: never
	attempt        Event // what it tried: Accept, Release, Reject, or nothing
	succeeded      int64 // when that was answered with success; 0: unknown
}

// history is all that is known of the message at one place.
type history struct {
	message    Message
	known      bool // the message
	written    bool // its producer got an acknowledgement
	deliveries []*delivery
	dead       []DeadLetter
}

// DeadLetter is a record of the dead-letter topic.
type DeadLetter struct {
	Place           // where the original was
	Message Message // of the value
	Count   int32   // from the headers
	Reason  string
}

// Reasons for dead letters, as balsa writes them.
const (
	ReasonRejected = "rejected"
	ReasonLimit    = "delivery count limit reached"
)

// Checker compares what producers, workers and the dead-letter topic say. Feed it everything, in any order but each
// worker's entries in theirs, then call Finish. It is not safe for concurrent use.
type Checker struct {
	limit       int32 // deliveries of a message at most
	deadLetters bool  // the group has a dead-letter topic
	histories   map[Place]*history
	given       map[int32]int64       // by producer: how many messages were handed to the client
	held        []map[Place]*delivery // by worker: what it has not given up yet
	lost        [][]int64             // by worker: when it may have lost its locks, and when it died
	nodes       []int64               // when nodes were killed
	report      Report
}

// Report is the outcome of a check.
type Report struct {
	violation.Violations[Violation]

	Written      int64 // acknowledged to producers
	Deliveries   int64
	Accepted     int64 // with success
	Unknown      int64 // acceptances whose outcome the worker never learned
	Redeliveries int64 // deliveries but the first of each message
	Expired      int64 // deliveries that the worker did not give up before the lock ended, or never
	Renewals     int64
	Buried       [kindCount]int64 // dead letters by kind, each message once
	Doubled      int64            // dead letters beyond the first of a message
}

// String is a summary of what was counted.
func (r *Report) String() string {
	buried := make([]string, 0, kindCount)
	for k, n := range r.Buried {
		buried = append(buried, fmt.Sprintf("%d %v", n, Kind(k)))
	}
	return fmt.Sprintf("%d messages, %d deliveries (%d again, %d locks ended or lost, %d renewals), %d accepted, %d with unknown outcome; dead letters: %s; %d doubled",
		r.Written, r.Deliveries, r.Redeliveries, r.Expired, r.Renewals, r.Accepted, r.Unknown, strings.Join(buried, ", "), r.Doubled)
}

func (c *Checker) violate(v Violation, h *history, p Place, format string, args ...any) {
	c.report.Violate(v, "partition %d offset %d: %s%v", p.Partition, p.Offset, fmt.Sprintf(format, args...), h)
}

// String lists what is known, for messages.
func (h *history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n    %v, acknowledged: %t", h.message, h.written)
	for _, d := range h.deliveries {
		fmt.Fprintf(&b, "\n    worker %d: delivery %d, fetch sent %d, received %d, lock until %d, given up %d, %s, success %d",
			d.worker, d.count, d.sent, d.received, d.until, d.gaveUp, cmp.Or(d.attempt, "nothing"), d.succeeded)
	}
	for _, l := range h.dead {
		fmt.Fprintf(&b, "\n    dead letter: count %d, %s", l.Count, l.Reason)
	}
	return b.String()
}

// NewChecker makes a Checker for a group with a delivery limit, and maybe a dead-letter topic.
func NewChecker(limit int32, deadLetters bool) *Checker {
	return &Checker{limit: limit, deadLetters: deadLetters, histories: map[Place]*history{}, given: map[int32]int64{}}
}

func (c *Checker) at(p Place) *history {
	h := c.histories[p]
	if h == nil {
		h = &history{}
		c.histories[p] = h
	}
	return h
}

// Given takes in that a producer handed so many messages to its client.
func (c *Checker) Given(producer int32, messages int64) { c.given[producer] = messages }

// Written takes in that a producer got an acknowledgement.
func (c *Checker) Written(p Place, m Message) {
	h := c.at(p)
	c.identify(h, p, m)
	h.written = true
	c.report.Written++
}

// identify compares whose place it is with what was known before.
func (c *Checker) identify(h *history, p Place, m Message) {
	if h.known && h.message != m {
		c.violate(Moved, h, p, "is also %v", m)
		return
	}
	h.message, h.known = m, true
}

// NodeKilled takes in that a node was killed, not before the given time: whoever held a lock may have lost it.
func (c *Checker) NodeKilled(at int64) { c.nodes = append(c.nodes, at) }

// Died takes in that a worker ended, not before the given time.
func (c *Checker) Died(worker int, at int64) {
	c.grow(worker)
	c.lost[worker] = append(c.lost[worker], at)
}

func (c *Checker) grow(worker int) {
	for len(c.held) <= worker {
		c.held = append(c.held, map[Place]*delivery{})
		c.lost = append(c.lost, nil)
	}
}

// Entry takes in the next entry of a worker's journal.
func (c *Checker) Entry(worker int, e Entry) {
	c.grow(worker)
	switch e.Event {
	case Got:
		c.got(worker, e)
		return
	case Lost:
		c.Died(worker, e.At)
		return
	}
	d := c.held[worker][e.Place]
	if d == nil {
		c.violate(Misused, c.at(e.Place), e.Place, "worker %d: %s without a delivery", worker, e.Event)
		return
	}
	switch e.Event {
	case Renewed:
		d.until = max(d.until, e.Until)
		c.report.Renewals++
	case OK:
		d.succeeded = e.At
		if d.attempt == Accept {
			c.report.Accepted++
		}
	default:
		d.attempt, d.gaveUp = e.Event, e.At
	}
}

func (c *Checker) got(worker int, e Entry) {
	c.report.Deliveries++
	h := c.at(e.Place)
	if e.Message == nil {
		c.violate(Corrupt, h, e.Place, "worker %d got a damaged value", worker)
		return
	}
	c.identify(h, e.Place, *e.Message)
	d := &delivery{worker: worker, count: e.Count, sent: e.Sent, received: e.At, until: e.Until}
	h.deliveries = append(h.deliveries, d)
	c.held[worker][e.Place] = d
}

// Accepted says how many acceptances were answered with success so far.
func (c *Checker) Accepted() int64 { return c.report.Accepted }

// DeadLetter takes in a record of the dead-letter topic.
func (c *Checker) DeadLetter(l DeadLetter) {
	h := c.at(l.Place)
	c.identify(h, l.Place, l.Message)
	h.dead = append(h.dead, l)
}

// Finish checks everything and returns the outcome.
func (c *Checker) Finish() *Report {
	slices.Sort(c.nodes)
	for _, times := range c.lost {
		slices.Sort(times)
	}
	for p, h := range c.histories {
		if h.known && h.message.Seq >= c.given[h.message.Producer] {
			c.violate(Phantom, h, p, "only %d were written", c.given[h.message.Producer])
		}
		c.checkDeliveries(p, h)
		c.checkFate(p, h)
		c.checkDeadLetters(p, h)
	}
	return &c.report
}
