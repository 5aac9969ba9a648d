package crash

import "balsa/test/violation"

// Stream is what one producer writes to one partition.
type Stream struct {
	Partition int32
	Producer  int32
}

// Acks are the acknowledgements of each stream: Acks[s][seq] is the offset that record seq was acknowledged with, or
// Unacked.
type Acks map[Stream][]int64

// Unacked is the offset of a record that was never acknowledged: it may be in the log or not, but never twice.
const Unacked int64 = -1

// Stored is one record as it was read back.
type Stored struct {
	Offset int64
	Value  []byte
}

// Kind classifies violations.
type Kind string

// The ways in which a log can break its promises.
const (
	Lost       Kind = "lost"        // acknowledged, but not in the log
	Duplicate  Kind = "duplicate"   // in the log more than once
	Reordered  Kind = "reordered"   // behind a later record of its stream
	Skipped    Kind = "skipped"     // a record follows although one before it in its stream is missing
	Moved      Kind = "moved"       // acknowledged with another offset
	Misplaced  Kind = "misplaced"   // belongs to another partition
	Corrupt    Kind = "corrupt"     // the value changed
	Phantom    Kind = "phantom"     // never written
	OffsetJump Kind = "offset jump" // offsets are not 0, 1, 2, ...
)

// Report is the outcome of a check.
type Report struct {
	violation.Violations[Kind]

	Records      int64 // in the log
	Acknowledged int64
}

// Checker compares logs with acknowledgements. Feed it every record of every partition in log order, then call Finish.
type Checker struct {
	acks    Acks
	written map[Stream]int64 // how many records were ever handed to the client
	report  Report
	ends    map[int32]int64            // next offset expected in a partition
	found   map[Stream]map[int64]int64 // seq -> offset of its first appearance
	last    map[Stream]int64           // highest seq so far
}

// NewChecker makes a Checker. written says how many records of each stream were given to the producer, acknowledged
// or not; streams that only acks knows count with their acknowledgements.
func NewChecker(acks Acks, written map[Stream]int64) *Checker {
	c := &Checker{
		acks: acks, written: map[Stream]int64{},
		ends: map[int32]int64{}, found: map[Stream]map[int64]int64{}, last: map[Stream]int64{},
	}
	for s, offsets := range acks {
		c.written[s] = max(int64(len(offsets)), written[s])
	}
	for s, n := range written {
		c.written[s] = max(n, c.written[s])
	}
	return c
}

// Add takes the next record of a partition.
func (c *Checker) Add(partition int32, r Stored) {
	c.report.Records++
	if want := c.ends[partition]; r.Offset != want {
		c.report.Violate(OffsetJump, "partition %d: offset %d follows, want %d", partition, r.Offset, want)
	}
	c.ends[partition] = r.Offset + 1
	id, err := DecodeValue(r.Value)
	if err != nil {
		c.report.Violate(Corrupt, "partition %d offset %d: %v", partition, r.Offset, err)
		return
	}
	if id.Partition != partition {
		c.report.Violate(Misplaced, "%v lies at offset %d of partition %d", id, r.Offset, partition)
		return
	}
	s := Stream{id.Partition, id.Producer}
	if id.Seq < 0 || id.Seq >= c.written[s] {
		c.report.Violate(Phantom, "%v at offset %d: only %d were written", id, r.Offset, c.written[s])
		return
	}
	c.order(s, id, r.Offset)
}

// order checks a record against those of its stream that came before it in the log.
func (c *Checker) order(s Stream, id ID, offset int64) {
	if c.found[s] == nil {
		c.found[s], c.last[s] = map[int64]int64{}, -1
	}
	if first, again := c.found[s][id.Seq]; again {
		c.report.Violate(Duplicate, "%v lies at offsets %d and %d", id, first, offset)
		return
	}
	c.found[s][id.Seq] = offset
	switch last := c.last[s]; {
	case id.Seq < last:
		c.report.Violate(Reordered, "%v lies at offset %d, behind record %d", id, offset, last)
		return
	case id.Seq > last+1:
		c.report.Violate(Skipped, "%v at offset %d follows record %d", id, offset, last)
	}
	c.last[s] = id.Seq
}

// Finish looks for every acknowledged record and returns the outcome.
func (c *Checker) Finish() *Report {
	for s, offsets := range c.acks {
		for seq, offset := range offsets {
			if offset == Unacked {
				continue
			}
			c.report.Acknowledged++
			id := ID{s.Partition, s.Producer, int64(seq)}
			switch at, ok := c.found[s][int64(seq)]; {
			case !ok:
				c.report.Violate(Lost, "%v was acknowledged with offset %d", id, offset)
			case at != offset:
				c.report.Violate(Moved, "%v was acknowledged with offset %d and lies at %d", id, offset, at)
			}
		}
	}
	return &c.report
}
