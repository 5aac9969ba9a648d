package eos

import (
	"fmt"
	"strings"
)

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
	seen       [][]bool // by partition and sequence: has an output
	last       []int64  // by partition: highest sequence so far
	outputs    int64
	violations map[Kind]int64
	examples   []string // the first few
}

const maxExamples = 20

// NewChecker makes a Checker of an input with inputs[p] records in partition p.
func NewChecker(inputs []int64) *Checker {
	c := &Checker{violations: map[Kind]int64{}}
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
		c.violate(Corrupt, "partition %d offset %d: %v", partition, offset, err)
		return
	case in.Partition != partition:
		c.violate(Corrupt, "partition %d offset %d: output of %d/%d", partition, offset, in.Partition, in.Seq)
		return
	case int(partition) >= len(c.seen) || in.Seq < 0 || in.Seq >= int64(len(c.seen[partition])):
		c.violate(Phantom, "partition %d offset %d: output of %d/%d", partition, offset, in.Partition, in.Seq)
		return
	}
	if c.seen[partition][in.Seq] {
		c.violate(Duplicate, "partition %d offset %d: another output of %d/%d", partition, offset, in.Partition, in.Seq)
	} else if in.Seq < c.last[partition] {
		c.violate(Reordered, "partition %d offset %d: output of %d/%d behind that of %d", partition, offset, in.Partition, in.Seq, c.last[partition])
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
				c.violate(Missing, "no output of %d/%d", p, seq)
			}
		}
	}
	if len(c.violations) == 0 {
		return c.outputs, nil
	}
	return c.outputs, fmt.Errorf("violations %v; for example:\n%s", c.violations, strings.Join(c.examples, "\n"))
}

// Violations counts what was wrong so far.
func (c *Checker) Violations(k Kind) int64 { return c.violations[k] }

func (c *Checker) violate(k Kind, format string, args ...any) {
	c.violations[k]++
	if len(c.examples) < maxExamples {
		c.examples = append(c.examples, string(k)+": "+fmt.Sprintf(format, args...))
	}
}
