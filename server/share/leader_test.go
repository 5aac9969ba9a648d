package share

import "testing"

// Changes whose size is not bounded by a request are bounded by MaxChangeRuns, and the next call goes on.
func TestMaxChangeRuns(t *testing.T) {
	held := Run{State: Acquired, DeliveryCount: 1, Member: "m", Until: 10}
	for name, op := range map[string]func(*Leader) Change{
		"Tick":          func(l *Leader) Change { return l.Tick(10, Policy{}) },
		"ReleaseMember": func(l *Leader) Change { return l.ReleaseMember("m", Policy{}) },
		"ExpireBelow":   func(l *Leader) Change { return l.ExpireBelow(1<<20, Policy{}) },
	} {
		l := NewLeader(scatter(2*MaxChangeRuns+2, held)) // one more than the bound
		first, second, third := op(l), op(l), op(l)
		if len(first.Runs) != MaxChangeRuns || len(second.Runs) == 0 || len(second.Runs) > 2 || !third.Empty() {
			t.Errorf("%s: %d, %d and %d runs", name, len(first.Runs), len(second.Runs), len(third.Runs))
		}
		if n := l.Counts().Acquired; n != 0 {
			t.Errorf("%s: %d are left", name, n)
		}
	}
}

func TestLeaderIsIndependentOfWhatItWasMadeFrom(t *testing.T) {
	p := New(0)
	l := NewLeader(p)
	got, c := l.Acquire(AcquireArgs{Member: "m", Policy: Policy{LockMs: 1, MaxLocks: 9}, MaxRecords: 9, Batches: []Batch{{Last: 4}}})
	if len(got) != 1 || p.End() != 0 || l.End() != 5 {
		t.Fatalf("%+v, replica ends at %d", got, p.End())
	}
	p.Apply(c)
	c.Runs[0].Member = "changed" // the change is the host's now
	if r, _ := l.p.At(0); r.Member != "m" || p.End() != 5 {
		t.Fatalf("%+v", r)
	}
}

func TestNothingToDoIsEmpty(t *testing.T) {
	l := NewLeader(New(7))
	policy := Policy{MaxLocks: 1, Ordered: true}
	_, acquired := l.Acquire(AcquireArgs{Policy: policy, MaxRecords: 1})
	acknowledged, err := l.Acknowledge(AcknowledgeArgs{Policy: policy, Acks: []Ack{{First: 1, Last: 2, Types: []AckType{Accept}}}})
	if err != nil {
		t.Error(err)
	}
	for i, c := range []Change{
		acquired, acknowledged, l.Tick(1, policy), l.ReleaseMember("m", policy), l.ExpireBelow(7, policy), l.AdvanceStart(7),
		l.DeadLettersWritten([]Run{{First: 1, Last: 9}}), l.LearnKeys(0, 9, nil),
	} {
		if !c.Empty() {
			t.Errorf("%d: %+v", i, c)
		}
	}
	if l.NextDeadline() != 0 || len(l.Archiving(5)) != 0 || l.Start() != 7 || l.End() != 7 {
		t.Errorf("%+v", l)
	}
}

func TestDetached(t *testing.T) {
	if !Detached(DetachedPrefix+"x") || Detached("x") {
		t.Error(DetachedPrefix)
	}
}

// Nothing new is looked at while what is out of order takes as much as it may: one record that stays undecided, and behind it others
// that become different things.
func TestMaxRuns(t *testing.T) {
	policy := Policy{LockMs: 1000, MaxLocks: 5, MaxRuns: 10}
	l := NewLeader(New(0))
	next := Offset(0)
	acquire := func(n int) int {
		from, ok := l.NextFetch(policy)
		if !ok {
			return 0
		}
		got, _ := l.Acquire(AcquireArgs{Member: "m", Policy: policy, MaxRecords: n, RecordLimit: true, Batches: []Batch{{First: from, Last: from + 99}}})
		if len(got) > 0 {
			next = got[len(got)-1].Last
		}
		return len(got)
	}
	decide := func(o Offset, typ AckType) {
		t.Helper()
		if _, err := l.Acknowledge(AcknowledgeArgs{Member: "m", Policy: policy, Acks: []Ack{{First: o, Last: o, Types: []AckType{typ}}}}); err != nil {
			t.Fatal(err)
		}
	}
	acquire(1)
	for i := range 100 {
		if acquire(1) == 0 {
			break
		}
		decide(next, []AckType{Accept, Reject}[i%2])
	}
	if n := l.p.runs.Len(); n > policy.MaxRuns || n < policy.MaxRuns-1 {
		t.Errorf("%d runs of %d", n, policy.MaxRuns)
	}
	decide(0, Release)
	if acquire(9) != 1 || next != 0 {
		t.Errorf("the one in the way is not delivered again, or others are: %d", next)
	}
	decide(0, Accept)
	if acquire(1) != 1 || next < 9 {
		t.Error("it does not go on")
	}
}
