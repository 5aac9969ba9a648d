package share

import "math"

// Acquire delivers records to a member: of Batches, in their order, those that are Available, and those that were never looked
// at. New records whose time has not come, or that key order holds back, are taken note of. What is decided or in other
// hands is passed over.
//
// It stops at MaxRecords, at Policy.MaxLocks, where Policy.MaxWindow leaves no room to take note of a record that has to
// wait, at Policy.MaxRuns, and, in an ordered group, where keys are not known. The Change is not empty even though nothing was acquired, when
// something was archived or taken note of.
//
// Records that failed often are isolated, as since Kafka 4.2: those delivered half of Policy.DeliveryLimit times are
// delivered in smaller and smaller parts, the last time alone. So one that kills its worker takes no others with it.
func (l *Leader) Acquire(args AcquireArgs) ([]Acquisition, Change) {
	l.follow(args.Policy)
	a := acquiring{
		decision: decision{Leader: l}, args: args,
		until: args.Now + orDefault(args.LockMs, args.Policy.LockMs),
		limit: math.MaxInt64, horizon: maxOffset,
	}
	if args.RecordLimit {
		a.limit = int64(args.MaxRecords)
	}
	if k := l.index.keys; k != nil {
		if from, _, needed := k.missing(l.p); needed {
			a.horizon = from
		}
	}
	if len(args.Batches) > 0 && args.Batches[0].First > l.p.end {
		return nil, Change{} // read for a Leader that was further; what is in between was not read for this one
	}
	for i, b := range args.Batches {
		if a.taken >= int64(args.MaxRecords) || a.stopped {
			break
		}
		if i > 0 {
			a.skip(args.Batches[i-1].Last+1, b.First-1)
		}
		if b.Last >= l.p.start {
			a.batch(b)
		}
	}
	return a.acquired, a.done()
}

func orDefault(v, otherwise int64) int64 {
	if v > 0 {
		return v
	}
	return otherwise
}

// acquiring is an Acquire on its way through the batches.
type acquiring struct {
	decision
	args      AcquireArgs
	until     int64  // the end of the new locks
	horizon   Offset // no record at or behind it can be looked at: its key is not known
	taken     int64
	limit     int64 // of taken
	isolating bool  // limit is that of records that failed often
	stopped   bool
	acquired  []Acquisition
}

func (a *acquiring) batch(b Batch) {
	switch {
	case b.Skip:
		a.skip(b.First, b.Last)
	case b.Records != nil:
		a.records(b, b.Records)
	case a.index.keys != nil:
		a.records(b, keyless(b))
	default:
		a.whole(b)
	}
	if a.isolating {
		a.stopped = true
	}
}

// keyless returns a record for each offset of a batch that the host did not look into.
func keyless(b Batch) []Record {
	records := make([]Record, 0, b.Last-b.First+1)
	for o := b.First; o <= b.Last; o++ {
		records = append(records, Record{Offset: o})
	}
	return records
}

// whole takes what it can of a batch in which every offset is like the others.
func (a *acquiring) whole(b Batch) {
	for _, r := range a.pieces(b.First, b.Last) {
		if a.stopped {
			return
		}
		if r.ready() {
			a.take(b, r)
		}
	}
	if first := max(b.First, a.p.end); first <= b.Last && !a.stopped {
		if a.stopped = a.full(a.args.Policy); !a.stopped {
			a.take(b, Run{First: first, Last: b.Last})
		}
	}
}

// records goes through a batch record by record.
func (a *acquiring) records(b Batch, records []Record) {
	next := max(b.First, a.p.start)
	for _, r := range records {
		if r.Offset < next || r.Offset > b.Last {
			continue
		}
		if a.skip(next, r.Offset-1); a.stopped || r.Offset >= a.horizon {
			a.stopped = true
			return
		}
		if a.record(b, r); a.stopped {
			return
		}
		next = r.Offset + 1
	}
	a.skip(next, b.Last)
}

func (a *acquiring) record(b Batch, r Record) {
	keys := a.index.keys
	if r.Offset < a.p.end {
		at, _ := a.p.At(r.Offset)
		deliverable := at.ready()
		if keys != nil {
			deliverable = keys.free.Has(r.Offset)
		}
		if deliverable {
			a.take(b, at.of(r.Offset, r.Offset))
		}
		return
	}
	waiting := Run{First: r.Offset, Last: r.Offset}
	if r.DeliverAt > a.args.Now {
		waiting.Until = r.DeliverAt
	}
	waits := waiting.Until > 0 || keys != nil && keys.busy(r.Key)
	noRoom := waits && a.p.counts.waiting() >= int64(a.args.Policy.MaxWindow) || !waits && a.room() == 0
	if noRoom || a.full(a.args.Policy) {
		a.stopped = true
		return
	}
	if keys != nil {
		keys.track(r)
		keys.known = r.Offset + 1
	}
	if waits {
		a.set(waiting)
	} else {
		a.take(b, waiting)
	}
}

// take delivers a run, or as much of it as there is room for.
func (a *acquiring) take(b Batch, r Run) {
	if !a.isolate(b, r.DeliveryCount) {
		a.stopped = true
		return
	}
	n := min(r.Len(), a.room())
	if n < r.Len() {
		a.stopped = true
		if n == 0 {
			return
		}
		r.Last = r.First + Offset(n) - 1
	}
	r.State, r.Member, r.Until = Acquired, a.args.Member, a.until
	r.DeliveryCount = min(r.DeliveryCount, math.MaxInt16-1) + 1
	a.set(r)
	a.taken += n
	a.add(b, Acquisition{r.First, r.Last, r.DeliveryCount})
	if a.room() == 0 {
		a.stopped = true
	}
}

// room returns how many more records may be delivered.
func (a *acquiring) room() int64 {
	return max(min(a.limit-a.taken, int64(a.args.Policy.MaxLocks)-a.p.counts.Acquired), 0)
}

// isolate lowers the limit for records that failed often; false means that they have to wait for an acquire of their own.
func (a *acquiring) isolate(b Batch, delivered int16) bool {
	halves := a.args.Policy.isolation(delivered)
	if halves == 0 {
		return true
	}
	alone := delivered >= a.args.Policy.DeliveryLimit-1
	if a.taken > 0 && (alone || !a.isolating) {
		return false
	}
	if !a.isolating {
		a.isolating = true
		size := min(int64(b.Last-b.First)+1, int64(a.args.MaxRecords))
		a.limit = min(a.limit, max(size>>halves, 1))
	}
	if alone {
		a.limit = 1
	}
	return true
}

// isolation returns how often a batch is halved before records that were delivered so often are delivered again; 0: not.
func (p Policy) isolation(delivered int16) int16 {
	if p.DeliveryLimit <= 2 {
		return 0 // the second time is the last: all would be delivered alone
	}
	return max(delivered-max(p.DeliveryLimit-p.DeliveryLimit/2, 2)+1, 0)
}

// add appends an acquisition, or makes the last one longer.
func (a *acquiring) add(b Batch, next Acquisition) {
	if n := len(a.acquired); n > 0 {
		last := &a.acquired[n-1]
		enough := a.args.BatchSize > 0 && !a.args.RecordLimit && int64(last.Last-last.First)+1 >= int64(a.args.BatchSize)
		if last.Last+1 == next.First && last.DeliveryCount == next.DeliveryCount && !(enough && next.First == b.First) {
			last.Last = next.Last
			return
		}
	}
	a.acquired = append(a.acquired, next)
}

// skip archives what is not there to be delivered.
func (a *acquiring) skip(first, last Offset) {
	a.archiveAvailable(first, last)
	if first = max(first, a.p.end); first <= last {
		a.set(Run{First: first, Last: last, State: Archived})
	}
}
