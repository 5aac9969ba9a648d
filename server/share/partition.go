package share

import (
	"iter"

	"github.com/google/btree"
)

const (
	// degree of the trees: nodes of at most 31 runs, which the first writes after a Clone have to copy.
	degree = 16
	// maxKept bounds what a buffer keeps for the next time.
	maxKept = 1024
)

// Partition is the replicated state of one group's share partition. See the package's comment.
type Partition struct {
	start, end Offset
	runs       *btree.BTreeG[Run] // by First; together they are every offset from start to end, and no neighbours are alike
	counts     Counts
	index      *index // a Leader's copy keeps it up to date; nil on replicas
	replaced   []Run  // buffer of place
	epoch      Epoch
}

func byFirst(a, b Run) bool { return a.First < b.First }

// New returns a partition with an empty window at start.
func New(start Offset) *Partition {
	return &Partition{start: start, end: start, runs: btree.NewG(degree, byFirst)}
}

// Epoch returns that of the request which made the partition, or replaced it last; zero when that had none.
func (p *Partition) Epoch() Epoch { return p.epoch }

// SetEpoch notes it.
func (p *Partition) SetEpoch(e Epoch) { p.epoch = e }

// Start returns the share-partition start offset (SPSO): everything below it is decided.
func (p *Partition) Start() Offset { return p.start }

// End returns the first offset that was never looked at.
func (p *Partition) End() Offset { return p.end }

// Counts returns how many offsets of the window are in which state.
func (p *Partition) Counts() Counts { return p.counts }

// Size returns at least how many bytes AppendTo appends, at once.
func (p *Partition) Size() int { return p.runs.Len() * runBytes }

// Clone returns an independent copy, at once: the two share what neither has changed since.
func (p *Partition) Clone() *Partition {
	return &Partition{start: p.start, end: p.end, runs: p.runs.Clone(), counts: p.counts, epoch: p.epoch}
}

// At returns the run that an offset of the window is in.
func (p *Partition) At(o Offset) (Run, bool) {
	var at Run
	p.runs.DescendLessOrEqual(Run{First: o}, func(r Run) bool {
		at = r
		return false
	})
	return at, p.start <= o && o < p.end
}

// Runs iterates over the window from an offset on; the first run may begin before it. The partition must not change
// meanwhile.
func (p *Partition) Runs(from Offset) iter.Seq[Run] {
	return func(yield func(Run) bool) {
		if r, ok := p.At(from); ok {
			from = r.First
		}
		p.runs.AscendGreaterOrEqual(Run{First: from}, yield)
	}
}

// Range is the offsets from First to Last.
type Range struct{ First, Last Offset }

// Decided returns the offsets of the window that nobody gets any more, also those whose dead letters are yet to be written: the first
// ranges of them, as many as limit says.
func (p *Partition) Decided(limit int) []Range {
	var ranges []Range
	if limit <= 0 {
		return nil
	}
	for r := range p.Runs(p.start) {
		if !r.State.Decided() && r.State != Archiving {
			continue
		}
		if n := len(ranges); n > 0 && ranges[n-1].Last+1 == r.First {
			ranges[n-1].Last = r.Last
			continue
		} else if n == limit {
			break
		}
		ranges = append(ranges, Range{r.First, r.Last})
	}
	return ranges
}

// Apply makes a Change.
func (p *Partition) Apply(c Change) {
	if c.Reset {
		p.SetStart(c.Start)
	} else {
		p.AdvanceStart(c.Start)
	}
	for _, r := range c.Runs {
		p.place(r.normal())
	}
	p.passDecided()
}

// SetStart forgets everything: the window is empty at an offset, which may be before or after what it was.
func (p *Partition) SetStart(to Offset) {
	p.runs.Clear(false)
	p.start, p.end, p.counts = to, to, Counts{}
	if p.index != nil {
		p.index.reset(to)
	}
}

// AdvanceStart forgets what is below an offset, such as the log's new start, whatever its state.
func (p *Partition) AdvanceStart(to Offset) {
	if to <= p.start {
		return
	}
	for {
		first, ok := p.runs.Min()
		if !ok || first.First >= to {
			break
		}
		p.removed(first)
		p.runs.DeleteMin()
		if first.Last >= to {
			p.insert(first.of(to, first.Last))
		}
	}
	p.start, p.end = to, max(p.end, to)
	if p.index != nil {
		p.index.forgotten(p, to)
	}
	p.passDecided()
}

// passDecided moves the start behind what is decided.
func (p *Partition) passDecided() {
	for {
		first, ok := p.runs.Min()
		if !ok {
			p.start = p.end
			return
		}
		if !first.State.Decided() {
			return
		}
		p.removed(first)
		p.runs.DeleteMin()
		p.start = first.Last + 1
	}
}

// place sets the state of a run's offsets.
func (p *Partition) place(r Run) {
	if r.Last < p.start {
		return
	}
	r.First = max(r.First, p.start)
	if r.First > p.end {
		// No leader leaves a gap. If one did, its records would be delivered late rather than never.
		p.place(Run{First: p.end, Last: r.First - 1})
	}
	merged := r
	p.replaced = p.replaced[:0]
	// The neighbours are looked at as well, because they may have become alike.
	for old := range p.Runs(max(r.First-1, p.start)) {
		if old.First > r.Last+1 {
			break
		}
		alike := old.like(r)
		if old.Last == r.First-1 || old.First == r.Last+1 {
			if !alike {
				continue
			}
		}
		if alike {
			merged.First, merged.Last = min(merged.First, old.First), max(merged.Last, old.Last)
		}
		p.replaced = append(p.replaced, old)
	}
	for _, old := range p.replaced {
		p.removed(old)
		if old.First != merged.First {
			p.runs.Delete(old)
		}
	}
	p.insert(merged)
	for _, old := range p.replaced { // what sticks out on either side keeps its state
		if old.First < merged.First {
			p.insert(old.of(old.First, merged.First-1))
		}
		if old.Last > merged.Last {
			p.insert(old.of(merged.Last+1, old.Last))
		}
	}
	if cap(p.replaced) > maxKept {
		p.replaced = nil
	}
	p.end = max(p.end, r.Last+1)
	if p.index != nil {
		p.index.placed(p, r)
	}
}

func (p *Partition) insert(r Run) {
	p.runs.ReplaceOrInsert(r)
	p.counts.add(r, r.Len())
	if p.index != nil {
		p.index.added(r)
	}
}

// removed takes a run out of everything but the tree.
func (p *Partition) removed(r Run) {
	p.counts.add(r, -r.Len())
	if p.index != nil {
		p.index.removed(r)
	}
}
