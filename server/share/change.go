package share

// MaxChangeRuns bounds the runs of a Change whose size no request bounds: those of Leader.Tick, Leader.ReleaseMember and
// Leader.ExpireBelow. What is left over is for the next call.
const MaxChangeRuns = 10_000

// Change is a decision of the leader. It is replicated as one entry and applied the same on every replica.
type Change struct {
	// Reset forgets everything: the window is empty, and begins and ends at Start.
	Reset bool
	// Start, without Reset, forgets what is below it. It moves no window backwards.
	Start Offset
	// Runs say what becomes of their offsets, whatever was there before. Those at End or above extend the window; those below
	// Start are passed over, for they were decided or forgotten in between.
	Runs []Run
}

// Empty says that a Change changes nothing, and need not be replicated.
func (c Change) Empty() bool { return !c.Reset && c.Start == 0 && len(c.Runs) == 0 }

// Then returns what c and then next come to, as one decision, and whether there is such a Change. It may take over memory of c's.
func (c Change) Then(next Change) (Change, bool) {
	if c.Reset || next.Reset {
		return Change{}, false
	}
	return Change{Start: max(c.Start, next.Start), Runs: append(c.Runs, next.Runs...)}, true
}

// add appends a run, or makes the last one longer.
func (c *Change) add(r Run) {
	if n := len(c.Runs); n > 0 {
		if last := &c.Runs[n-1]; last.Last+1 == r.First && last.like(r) {
			last.Last = r.Last
			return
		}
	}
	c.Runs = append(c.Runs, r)
}
