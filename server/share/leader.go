package share

// Leader decides for one share partition. Every method that returns a Change has made it in the Leader's own copy of the
// Partition, which is so ahead of what is replicated. See the package's comment.
type Leader struct {
	p     *Partition
	index *index
}

// NewLeader begins with a Clone of the replicated Partition. It takes time in proportion to the number of its runs.
func NewLeader(p *Partition) *Leader {
	l := &Leader{p: p.Clone()}
	l.index = newIndex(l.p)
	l.p.index = l.index
	return l
}

// Start returns the start of the window as decided.
func (l *Leader) Start() Offset { return l.p.Start() }

// End returns the end of the window as decided.
func (l *Leader) End() Offset { return l.p.End() }

// Partition returns a copy of the window as decided, at once: when all Changes so far are committed, and nothing else is, it is what is
// replicated.
func (l *Leader) Partition() *Partition { return l.p.Clone() }

// Delivered says whether an acquisition is the last of its records: nobody acquired any of them since, the same member neither.
func (l *Leader) Delivered(a Acquisition) bool {
	next := a.First
	for r := range l.p.Runs(a.First) {
		if next > a.Last || r.State != Acquired || r.DeliveryCount != a.DeliveryCount {
			break
		}
		next = r.Last + 1
	}
	return next > a.Last
}

// Counts returns the counts of the window as decided.
func (l *Leader) Counts() Counts { return l.p.Counts() }

// NextFetch returns the offset from which records should be read for an Acquire: the first that may be delivered as of the
// last Tick, else End. ok is false when there is no point in reading: all locks are taken, the window is
// full, or NeedsKeys comes first.
func (l *Leader) NextFetch(policy Policy) (from Offset, ok bool) {
	l.follow(policy)
	if l.p.counts.Acquired >= int64(policy.MaxLocks) {
		return 0, false
	}
	first := l.index.ready
	if l.index.keys != nil {
		first = l.index.keys.free
	}
	if from, ok = first.Min(); ok {
		return from, true
	}
	if _, _, needed := l.NeedsKeys(policy); needed || l.full(policy) {
		return 0, false
	}
	return l.p.end, true
}

// full says whether the window must not get more runs.
func (l *Leader) full(policy Policy) bool {
	return policy.MaxRuns > 0 && l.p.runs.Len() >= policy.MaxRuns
}

// follow takes note of whether the group is ordered by keys.
func (l *Leader) follow(policy Policy) {
	switch {
	case !policy.Ordered:
		l.index.keys = nil
	case l.index.keys == nil:
		l.index.keys = newKeys(l.p.start)
	}
}

// NeedsKeys returns the range of offsets, to exclusive, whose records have to be read and given to LearnKeys before any of
// them, or any after them, can be acquired. That is so in an ordered group after a failover, or when it has just become ordered.
func (l *Leader) NeedsKeys(policy Policy) (from, to Offset, ok bool) {
	l.follow(policy)
	if l.index.keys == nil {
		return 0, 0, false
	}
	return l.index.keys.missing(l.p)
}

// LearnKeys takes the records between two offsets, to exclusive, ascending: from is what NeedsKeys says, or before that, and to
// may be less than what it says. What should be there and is not was compacted away, and is archived.
func (l *Leader) LearnKeys(from, to Offset, records []Record) Change {
	d := decision{Leader: l}
	k := l.index.keys
	if k == nil {
		return d.done()
	}
	needed, end, ok := k.missing(l.p)
	if !ok || from > needed {
		return d.done()
	}
	next, to := needed, min(to, end)
	for _, r := range records {
		if r.Offset < next || r.Offset >= to {
			continue
		}
		d.learnHole(next, r.Offset-1)
		if at, _ := l.p.At(r.Offset); at.undecided() {
			d.learn(at, r)
		}
		next = r.Offset + 1
	}
	d.learnHole(next, to-1)
	k.known = max(k.known, to)
	return d.done()
}

func (d *decision) learn(at Run, r Record) {
	d.index.keys.track(r)
	d.index.keys.placed(d.p, at.of(r.Offset, r.Offset))
}

// learnHole archives what the log has no longer. What is in someone's hands keeps its place, as a record without a key, until
// it is decided or comes back and is found to be gone.
func (d *decision) learnHole(first, last Offset) {
	d.archiveAvailable(first, last)
	for _, r := range d.pieces(first, last) {
		for o := r.First; o <= r.Last && r.State == Acquired; o++ {
			d.learn(r, Record{Offset: o})
		}
	}
}

// SetStart is an administrator's reset (AlterShareGroupOffsets).
func (l *Leader) SetStart(to Offset) Change {
	c := Change{Reset: true, Start: to}
	l.p.Apply(c)
	return c
}

// AdvanceStart follows the log's start. It commutes with all Changes but a Reset. So where replicas learn the log's start from
// another entry, they may call Partition.AdvanceStart when that is applied, and once more after a Reset; then the Change
// need not be replicated.
func (l *Leader) AdvanceStart(to Offset) Change {
	if to <= l.p.start {
		return Change{}
	}
	c := Change{Start: to}
	l.p.Apply(c)
	return c
}

// decision is a Change as it is made.
type decision struct {
	*Leader
	change Change
	found  []Run // buffer of pieces
}

// set decides about a run.
func (d *decision) set(r Run) {
	d.p.place(r)
	d.change.add(r)
}

func (d *decision) done() Change {
	d.p.passDecided()
	return d.change
}

// pieces returns the runs of a part of the window, cut to it. They are valid until the next call.
func (d *decision) pieces(first, last Offset) []Run {
	d.found = d.found[:0]
	first, last = max(first, d.p.start), min(last, d.p.end-1)
	if first > last {
		return nil
	}
	for r := range d.p.Runs(first) {
		if r.First > last {
			break
		}
		d.found = append(d.found, r.of(max(r.First, first), min(r.Last, last)))
	}
	return d.found
}

// archiveAvailable archives what nobody holds of a part of the window.
func (d *decision) archiveAvailable(first, last Offset) {
	for _, r := range d.pieces(first, last) {
		if r.State == Available {
			d.set(Run{First: r.First, Last: r.Last, State: Archived})
		}
	}
}
