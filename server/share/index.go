package share

import (
	"cmp"

	"github.com/google/btree"
)

// index finds the runs of a Leader's copy of the Partition by what they wait for. Runs are known by their first offsets.
type index struct {
	ready     *btree.BTreeG[Offset]   // may be delivered, key order aside
	deadlines *btree.BTreeG[deadline] // locks and delays
	held      *btree.BTreeG[holding]  // Acquired
	archiving *btree.BTreeG[Offset]
	keys      *keys // nil unless the group is ordered
}

// deadline is when something happens to a run by itself.
type deadline struct {
	at    int64
	first Offset
}

// holding is a run in a member's hands.
type holding struct {
	member string
	first  Offset
}

func newIndex(p *Partition) *index {
	x := &index{}
	x.clear()
	for r := range p.Runs(p.start) {
		x.added(r)
	}
	return x
}

func (x *index) clear() {
	x.ready = btree.NewOrderedG[Offset](degree)
	x.archiving = btree.NewOrderedG[Offset](degree)
	x.deadlines = btree.NewG(degree, func(a, b deadline) bool {
		return a.at < b.at || a.at == b.at && a.first < b.first
	})
	x.held = btree.NewG(degree, func(a, b holding) bool {
		return cmp.Or(cmp.Compare(a.member, b.member), cmp.Compare(a.first, b.first)) < 0
	})
}

// reset follows SetStart.
func (x *index) reset(to Offset) {
	x.clear()
	if x.keys != nil {
		x.keys = newKeys(to)
	}
}

// added and removed follow every run that comes and goes, also when it only becomes longer or shorter.
func (x *index) added(r Run) {
	switch {
	case r.ready():
		x.ready.ReplaceOrInsert(r.First)
	case r.State == Available:
		x.deadlines.ReplaceOrInsert(deadline{r.Until, r.First})
	case r.State == Acquired:
		x.deadlines.ReplaceOrInsert(deadline{r.Until, r.First})
		x.held.ReplaceOrInsert(holding{r.Member, r.First})
	case r.State == Archiving:
		x.archiving.ReplaceOrInsert(r.First)
	}
}

func (x *index) removed(r Run) {
	switch {
	case r.ready():
		x.ready.Delete(r.First)
	case r.State == Available:
		x.deadlines.Delete(deadline{r.Until, r.First})
	case r.State == Acquired:
		x.deadlines.Delete(deadline{r.Until, r.First})
		x.held.Delete(holding{r.Member, r.First})
	case r.State == Archiving:
		x.archiving.Delete(r.First)
	}
}

// placed follows Partition.place with the offsets that it was about.
func (x *index) placed(p *Partition, r Run) {
	if x.keys != nil {
		x.keys.placed(p, r)
	}
}

// forgotten follows Partition.AdvanceStart.
func (x *index) forgotten(p *Partition, to Offset) {
	if x.keys != nil {
		x.keys.placed(p, Run{First: 0, Last: to - 1, State: Archived})
	}
}
