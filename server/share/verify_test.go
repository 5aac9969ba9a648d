package share

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/btree"
)

// verify checks how a partition is built, and what its Leader found out about it.
func (p *Partition) verify() error {
	next, before := p.start, Run{First: -1, State: Acknowledged}
	var counts Counts
	for r := range p.Runs(p.start) {
		switch {
		case r.First != next || r.Last < r.First:
			return fmt.Errorf("run %+v, expected one at %d", r, next)
		case before.First >= 0 && before.like(r):
			return fmt.Errorf("alike: %+v and %+v", before, r)
		case before.First < 0 && r.State.Decided():
			return fmt.Errorf("the window begins with what is decided: %+v", r)
		case r != r.normal():
			return fmt.Errorf("%+v should be %+v", r, r.normal())
		}
		counts.add(r, r.Len())
		next, before = r.Last+1, r
	}
	if next != p.end || counts != p.counts {
		return fmt.Errorf("the window ends at %d and not at %d, or has counts %+v and not %+v", next, p.end, counts, p.counts)
	}
	if p.index == nil {
		return nil
	}
	want := newIndex(p)
	for _, equal := range []bool{
		sameTree(p.index.ready, want.ready), sameTree(p.index.archiving, want.archiving),
		sameTree(p.index.deadlines, want.deadlines), sameTree(p.index.held, want.held),
	} {
		if !equal {
			return errors.New("the index is not that of the runs")
		}
	}
	return nil
}

func sameTree[T comparable](a, b *btree.BTreeG[T]) bool {
	if a.Len() != b.Len() {
		return false
	}
	items := func(tree *btree.BTreeG[T]) (items []T) {
		tree.Ascend(func(item T) bool {
			items = append(items, item)
			return true
		})
		return items
	}
	return slices.Equal(items(a), items(b))
}
