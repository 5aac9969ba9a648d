package share

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// scatter makes a partition with n runs of one offset: even ones in one state, odd ones accepted.
func scatter(n int, even Run) *Partition {
	p := New(0)
	var c Change
	for i := range n {
		r := even.of(Offset(i), Offset(i))
		if i%2 == 1 {
			r = Run{First: r.First, Last: r.Last, State: Acknowledged}
		}
		c.Runs = append(c.Runs, r)
	}
	p.Apply(c)
	return p
}

func TestPlaceCutsAndMerges(t *testing.T) {
	held := Run{State: Acquired, DeliveryCount: 1, Member: "m", Until: 5}
	free := Run{State: Available, DeliveryCount: 1}
	tests := map[string]struct {
		placed []Run
		want   []Run
	}{
		"the middle":         {[]Run{held.of(3, 6)}, []Run{free.of(0, 2), held.of(3, 6), free.of(7, 9)}},
		"the beginning":      {[]Run{held.of(0, 4)}, []Run{held.of(0, 4), free.of(5, 9)}},
		"the end":            {[]Run{held.of(5, 9)}, []Run{free.of(0, 4), held.of(5, 9)}},
		"all":                {[]Run{held.of(0, 9)}, []Run{held.of(0, 9)}},
		"over the end":       {[]Run{held.of(8, 12)}, []Run{free.of(0, 7), held.of(8, 12)}},
		"behind the end":     {[]Run{held.of(10, 12)}, []Run{free.of(0, 9), held.of(10, 12)}},
		"what it is":         {[]Run{free.of(4, 12)}, []Run{free.of(0, 12)}},
		"between its like":   {[]Run{held.of(2, 3), held.of(6, 7), held.of(4, 5)}, []Run{free.of(0, 1), held.of(2, 7), free.of(8, 9)}},
		"over several":       {[]Run{held.of(2, 2), held.of(4, 4), {First: 1, Last: 6, State: Archived}}, []Run{free.of(0, 0), {First: 1, Last: 6, State: Archived}, free.of(7, 9)}},
		"and back":           {[]Run{held.of(2, 5), free.of(2, 5)}, []Run{free.of(0, 9)}},
		"decided, the start": {[]Run{{First: 4, Last: 5, State: Acknowledged}, {First: 0, Last: 3, State: Archived}}, []Run{free.of(6, 9)}},
		"with a gap":         {[]Run{held.of(12, 12)}, []Run{free.of(0, 9), {First: 10, Last: 11}, held.of(12, 12)}},
		"not normal":         {[]Run{{First: 8, Last: 9, State: Available, DeliveryCount: 1, Member: "m", Reason: Expired}}, []Run{free.of(0, 9)}},
	}
	for name, test := range tests {
		p := New(0)
		p.Apply(Change{Runs: []Run{free.of(0, 9)}})
		before := p.Clone()
		p.Apply(Change{Runs: test.placed})
		if err := p.verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := slices.Collect(p.Runs(0)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
		if got := slices.Collect(before.Runs(0)); !slices.Equal(got, []Run{free.of(0, 9)}) {
			t.Errorf("%s: the clone has changed: %+v", name, got)
		}
	}
}

func TestRunsBeginAnywhere(t *testing.T) {
	p := scatter(10, Run{})
	for from, want := range map[Offset]int{0: 10, 3: 7, 9: 1, 10: 0, 100: 0} {
		if got := slices.Collect(p.Runs(from)); len(got) != want || want > 0 && got[0].First != from {
			t.Errorf("from %d: %+v", from, got)
		}
	}
	p = New(5)
	p.Apply(Change{Runs: []Run{{First: 5, Last: 20}}})
	for range p.Runs(17) {
		break
	}
	for _, from := range []Offset{0, 5, 17} {
		if got := slices.Collect(p.Runs(from)); len(got) != 1 || got[0].First != 5 {
			t.Errorf("from %d: %+v", from, got)
		}
	}
	for o, want := range map[Offset]bool{4: false, 5: true, 20: true, 21: false} {
		if _, ok := p.At(o); ok != want {
			t.Errorf("At(%d) is %v", o, ok)
		}
	}
}

// A snapshot is written from a clone while the partition goes on.
func TestCloneIsReadElsewhere(t *testing.T) {
	p := scatter(20_000, Run{DeliveryCount: 1})
	want := p.AppendTo(nil)
	clone := p.Clone()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 3 {
			if !bytes.Equal(clone.AppendTo(nil), want) {
				t.Error("the clone has changed")
			}
		}
	})
	for o := Offset(1000); o < 19_000; o++ {
		p.Apply(Change{Runs: []Run{{First: o, Last: o, State: Archived}}})
	}
	wg.Wait()
	if got := p.Counts(); got.Available != 1000 || got.Decided != 19_000 || p.End() != 20_000 {
		t.Errorf("%+v", got)
	}
}

func TestDecidedRanges(t *testing.T) {
	p := New(5)
	p.Apply(Change{Start: 5, Runs: []Run{
		{First: 5, Last: 5, State: Acquired, DeliveryCount: 1, Member: "m", Until: 9},
		{First: 6, Last: 8, State: Acknowledged},
		{First: 9, Last: 9, State: Archived},
		{First: 10, Last: 10, State: Archiving, DeliveryCount: 1},
		{First: 11, Last: 12, State: Available},
		{First: 13, Last: 13, State: Acknowledged},
	}})
	for limit, want := range map[int]string{0: "[]", 1: "[{6 10}]", 2: "[{6 10} {13 13}]", 9: "[{6 10} {13 13}]"} {
		if got := fmt.Sprint(p.Decided(limit)); got != want {
			t.Errorf("%d ranges: %s, want %s", limit, got, want)
		}
	}
}
