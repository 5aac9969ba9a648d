package share

import "slices"

// NextDeadline returns when Tick has something to do next; 0: never, as things are.
func (l *Leader) NextDeadline() int64 {
	next, _ := l.index.deadlines.Min()
	return next.at
}

// Tick does what time has brought: locks that have ended go back, or are given up at the delivery limit; delays that are over
// are so. It does MaxChangeRuns of them: the host calls until the Change is Empty.
func (l *Leader) Tick(now int64, policy Policy) Change {
	var due []Offset
	l.index.deadlines.Ascend(func(d deadline) bool {
		if d.at > now || len(due) == MaxChangeRuns {
			return false
		}
		due = append(due, d.first)
		return true
	})
	return l.releaseAll(due, policy)
}

// ReleaseMember takes back what a member holds, because its session has ended. Those were deliveries, and at the limit the
// records are given up (as in Kafka since KAFKA-19972): one that makes its worker lose the connection would come back for
// ever. It does MaxChangeRuns of them: the host calls until the Change is Empty.
func (l *Leader) ReleaseMember(member string, policy Policy) Change {
	var held []Offset
	l.index.held.AscendGreaterOrEqual(holding{member: member}, func(h holding) bool {
		if h.member != member || len(held) == MaxChangeRuns {
			return false
		}
		held = append(held, h.first)
		return true
	})
	return l.releaseAll(held, policy)
}

// releaseAll makes runs Available, or gives them up.
func (l *Leader) releaseAll(firsts []Offset, policy Policy) Change {
	d := decision{Leader: l}
	runs := make([]Run, len(firsts))
	// In the order of the offsets, so that neighbours become one run.
	slices.Sort(firsts)
	for i, first := range firsts {
		runs[i], _ = l.p.At(first)
	}
	for _, r := range runs {
		if r.State == Available {
			r.Until = 0
			d.set(r)
		} else {
			d.set(r.released(policy, 0))
		}
	}
	return d.done()
}

// ExpireBelow gives up what is undecided below an offset, because retention is about to delete it: also what is in the hands
// of a member, whose acknowledgement would come too late to be of use, and what was never looked at. It does MaxChangeRuns
// runs: the host calls until the Change is Empty.
func (l *Leader) ExpireBelow(to Offset, policy Policy) Change {
	d := decision{Leader: l}
	var expired []Run
	for r := range l.p.Runs(l.p.start) {
		if r.First >= to || len(expired) == MaxChangeRuns {
			break
		}
		if r.undecided() {
			expired = append(expired, r.of(r.First, min(r.Last, to-1)))
		}
	}
	if l.p.end < to && len(expired) < MaxChangeRuns {
		expired = append(expired, Run{First: l.p.end, Last: to - 1})
	}
	for _, r := range expired {
		d.set(r.givenUp(policy, Expired))
	}
	return d.done()
}

// Archiving returns the oldest records whose dead letters are to be written, limit of them at most.
func (l *Leader) Archiving(limit int) []Run {
	var runs []Run
	left := int64(limit)
	l.index.archiving.Ascend(func(first Offset) bool {
		r, _ := l.p.At(first)
		r.Last = min(r.Last, r.First+Offset(left)-1)
		if left -= r.Len(); r.Len() > 0 {
			runs = append(runs, r)
		}
		return left > 0
	})
	return runs
}

// DeadLettersWritten archives records whose dead letters are written. Those that are not Archiving any more are passed over.
func (l *Leader) DeadLettersWritten(runs []Run) Change {
	d := decision{Leader: l}
	for _, written := range runs {
		for _, r := range d.pieces(written.First, written.Last) {
			if r.State == Archiving {
				r.State = Archived
				d.set(r.normal())
			}
		}
	}
	return d.done()
}
