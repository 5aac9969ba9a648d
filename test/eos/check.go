package eos

import "balsa/test/violation"

// Kind classifies violations.
type Kind string

// The ways in which an output can differ from "each input exactly once, in order".
const (
	Missing   Kind = "missing"   // an input without output
	Duplicate Kind = "duplicate" // an input with more than one output
	Reordered Kind = "reordered" // an output behind that of a later input
	Phantom   Kind = "phantom"   // an output without input
	Corrupt   Kind = "corrupt"   // a value that no worker wrote, or in another partition than its input's
)

// Checker compares an output with its input. Feed it the records of every output partition in log order, then call
// Finish. It is not safe for concurrent use.
type Checker struct {
	violation.Violations[Kind] // so far

	seen    [][]bool // by partition and sequence: has an output
	last    []int64  // by partition: highest sequence so far
	outputs int64
}

// NewChecker makes a Checker of an input with inputs[p] records in partition p.
func NewChecker(inputs []int64) *Checker {
	c := &Checker{}
	for _, n := range inputs {
		c.seen = append(c.seen, make([]bool, n))
		c.last = append(c.last, -1)
	}
	return c
}

// Add takes the next record of an output partition.
func (c *Checker) Add(partition int32, offset int64, value []byte) {
	c.outputs++
	in, err := ParseOutput(value)
	switch {
	case err != nil:
		c.Violate(Corrupt, "partition %d offset %d: %v", partition, offset, err)
		return
	case in.Partition != partition:
		c.Violate(Corrupt, "partition %d offset %d: output of %d/%d", partition, offset, in.Partition, in.Seq)
		return
	case int(partition) >= len(c.seen) || in.Seq < 0 || in.Seq >= int64(len(c.seen[partition])):
		c.Violate(Phantom, "partition %d offset %d: output of %d/%d", partition, offset, in.Partition, in.Seq)
		return
	}
	if c.seen[partition][in.Seq] {
		c.Violate(Duplicate, "partition %d offset %d: another output of %d/%d", partition, offset, in.Partition, in.Seq)
	} else if in.Seq < c.last[partition] {
		c.Violate(Reordered, "partition %d offset %d: output of %d/%d behind that of %d", partition, offset, in.Partition, in.Seq, c.last[partition])
	}
	c.seen[partition][in.Seq] = true
	c.last[partition] = max(c.last[partition], in.Seq)
}

// Finish looks for inputs without output and returns how many outputs there were, nil if each input had exactly one, in
// order, and otherwise an error with counts and examples.
func (c *Checker) Finish() (outputs int64, err error) {
	for p, seen := range c.seen {
		for seq, done := range seen {
			if !done {
				c.Violate(Missing, "no output of %d/%d", p, seq)
			}
		}
	}
	return c.outputs, c.Err()
}
