package share

import (
	"fmt"
	"math"
)

// model is what a share partition and its leader are meant to be: a state for each offset, and rules that look at one offset
// after the other. It is slow, and as plain as it can be.
type model struct {
	start Offset
	recs  []rec // of start, start+1, ...
}

type rec struct {
	state  State
	count  int16
	member string
	until  int64
	reason Reason

	known bool // the leader knows the key
	key   uint64
}

func (m *model) clone() *model { return &model{m.start, append([]rec(nil), m.recs...)} }

func (m *model) end() Offset { return m.start + Offset(len(m.recs)) }

func (m *model) at(o Offset) *rec { return &m.recs[o-m.start] }

func (m *model) tracked(o Offset) bool { return m.start <= o && o < m.end() }

func (m *model) extend(o Offset) *rec {
	if o != m.end() {
		panic(fmt.Sprintf("the window ends at %d and is extended by %d", m.end(), o))
	}
	m.recs = append(m.recs, rec{})
	return m.at(o)
}

func (r *rec) undecided() bool { return r.state == Available || r.state == Acquired }

func (r *rec) ready() bool { return r.state == Available && r.until == 0 }

func (r *rec) become(s State) { *r = rec{state: s} }

func (r *rec) giveUp(p Policy, why Reason) {
	if p.DeadLetters {
		*r = rec{state: Archiving, count: r.count, reason: why}
		return
	}
	r.become(Archived)
}

func (r *rec) release(p Policy, until int64) {
	if p.DeliveryLimit > 0 && r.count >= p.DeliveryLimit {
		r.giveUp(p, DeliveryLimit)
		return
	}
	r.state, r.until, r.member = Available, until, ""
}

func (m *model) pass() {
	for len(m.recs) > 0 && (m.recs[0].state == Acknowledged || m.recs[0].state == Archived) {
		m.start, m.recs = m.start+1, m.recs[1:]
	}
}

func (m *model) setStart(to Offset) { m.start, m.recs = to, nil }

func (m *model) advanceStart(to Offset) {
	for m.start < to {
		if len(m.recs) > 0 {
			m.recs = m.recs[1:]
		}
		m.start++
	}
	m.pass()
}

func (m *model) forgetKeys() {
	for i := range m.recs {
		m.recs[i].known, m.recs[i].key = false, 0
	}
}

// frontier is the first undecided offset whose key is not known.
func (m *model) frontier(p Policy) Offset {
	for o := m.start; o < m.end() && p.Ordered; o++ {
		if r := m.at(o); r.undecided() && !r.known {
			return o
		}
	}
	return math.MaxInt64
}

// blocked says whether an undecided record of the key is before an offset.
func (m *model) blocked(o Offset, key uint64) bool {
	for before := m.start; before < o && before < m.end() && key != 0; before++ {
		if r := m.at(before); r.undecided() && r.known && r.key == key {
			return true
		}
	}
	return false
}

func (m *model) deliverable(o Offset, p Policy) bool {
	r := m.at(o)
	return r.ready() && (!p.Ordered || r.known && !m.blocked(o, r.key))
}

func (m *model) counts() (c Counts) {
	for _, r := range m.recs {
		switch r.state {
		case Available:
			if r.until == 0 {
				c.Available++
			} else {
				c.Delayed++
			}
		case Acquired:
			c.Acquired++
		case Archiving:
			c.Archiving++
		default:
			c.Decided++
		}
	}
	return c
}

func (m *model) nextFetch(p Policy) (Offset, bool) {
	if m.counts().Acquired >= int64(p.MaxLocks) {
		return 0, false
	}
	for o := m.start; o < m.end(); o++ {
		if m.deliverable(o, p) {
			return o, true
		}
	}
	if m.frontier(p) != math.MaxInt64 {
		return 0, false
	}
	return m.end(), true
}

func (m *model) nextDeadline() (next int64) {
	for _, r := range m.recs {
		if r.undecided() && r.until > 0 && (next == 0 || r.until < next) {
			next = r.until
		}
	}
	return next
}

// delivered is one record of an acquisition.
type delivered struct {
	offset Offset
	count  int16
}

// modelAcquire goes through the batches offset by offset.
type modelAcquire struct {
	*model
	args      AcquireArgs
	until     int64
	frontier  Offset
	taken     int
	cap       int // of taken, for exactness and for isolation
	isolating bool
	stopped   bool
	out       []delivered
}

func (m *model) acquire(args AcquireArgs) []delivered {
	a := &modelAcquire{model: m, args: args, frontier: m.frontier(args.Policy), cap: math.MaxInt}
	a.until = args.Now + args.Policy.LockMs
	if args.LockMs > 0 {
		a.until = args.Now + args.LockMs
	}
	if args.RecordLimit {
		a.cap = args.MaxRecords
	}
	if args.Batches == nil || args.Batches[0].First > m.end() {
		return nil
	}
	next := args.Batches[0].First
	for _, b := range args.Batches {
		if a.stopped || a.taken >= args.MaxRecords {
			break
		}
		for ; next < b.First; next++ {
			a.hole(next)
		}
		present := map[Offset]Record{}
		for _, r := range b.Records {
			present[r.Offset] = r
		}
		for o := max(b.First, m.start); o <= b.Last && !a.stopped; o++ {
			r, ok := present[o]
			if b.Records == nil && !b.Skip {
				r, ok = Record{Offset: o}, true
			}
			if ok {
				a.record(b, r)
			} else {
				a.hole(o)
			}
		}
		a.stopped = a.stopped || a.isolating
		next = b.Last + 1
	}
	m.pass()
	return a.out
}

func (a *modelAcquire) hole(o Offset) {
	switch {
	case o < a.start:
	case o == a.end():
		a.extend(o).become(Archived)
	case a.at(o).state == Available:
		a.at(o).become(Archived)
	}
}

func (a *modelAcquire) record(b Batch, r Record) {
	p := a.args.Policy
	if r.Offset >= a.frontier {
		a.stopped = true
		return
	}
	if a.tracked(r.Offset) {
		if a.deliverable(r.Offset, p) {
			a.take(b, r.Offset, a.at(r.Offset).count)
		}
		return
	}
	c := a.counts()
	delayed, blocked := r.DeliverAt > a.args.Now, p.Ordered && a.blocked(r.Offset, r.Key)
	if !delayed && !blocked {
		if a.take(b, r.Offset, 0); !a.tracked(r.Offset) {
			return
		}
	} else {
		if c.Available+c.Delayed >= int64(p.MaxWindow) {
			a.stopped = true
			return
		}
		a.extend(r.Offset)
		if delayed {
			a.at(r.Offset).until = r.DeliverAt
		}
	}
	if p.Ordered {
		a.at(r.Offset).known, a.at(r.Offset).key = true, r.Key
	}
}

func (a *modelAcquire) take(b Batch, o Offset, count int16) {
	p := a.args.Policy
	// Kafka's max(2, ceil(limit/2)) deliveries begin the isolation.
	if half := max(2, int(math.Ceil(float64(p.DeliveryLimit)/2))); p.DeliveryLimit > 2 && int(count) >= half {
		last := count >= p.DeliveryLimit-1
		if a.taken > 0 && (last || !a.isolating) {
			a.stopped = true
			return
		}
		size := min(int(b.Last-b.First)+1, a.args.MaxRecords)
		for range int(count) - half + 1 {
			size /= 2
		}
		if !a.isolating {
			a.cap = min(a.cap, max(size, 1))
		}
		if last {
			a.cap = 1
		}
		a.isolating = true
	}
	if a.taken >= a.cap || a.counts().Acquired >= int64(p.MaxLocks) {
		a.stopped = true
		return
	}
	if !a.tracked(o) {
		a.extend(o)
	}
	r := a.at(o)
	r.state, r.member, r.until, r.count = Acquired, a.args.Member, a.until, count+1
	a.taken++
	a.out = append(a.out, delivered{o, r.count})
	a.stopped = a.taken >= a.cap || a.counts().Acquired >= int64(p.MaxLocks)
}

func (m *model) acknowledge(args AcknowledgeArgs) error {
	last := Offset(-1)
	for _, ack := range args.Acks {
		if ack.First < 0 || ack.Last < ack.First || len(ack.Types) != 1 && len(ack.Types) != int(ack.Last-ack.First)+1 {
			return ErrInvalidRequest
		}
		for _, t := range ack.Types {
			if t > Renew {
				return ErrInvalidRequest
			}
			if t == Renew && !args.Policy.Renew {
				return ErrInvalidRecordState
			}
		}
		if ack.First <= last {
			return ErrInvalidRequest
		}
		last = ack.Last
		for o := ack.First; o <= ack.Last && o < m.start; o++ {
			if len(ack.Types) == 1 && ack.Types[0] == Renew || len(ack.Types) > 1 && ack.Types[o-ack.First] == Renew {
				return ErrInvalidRecordState
			}
		}
		if ack.Last >= m.start && ack.Last >= m.end() {
			return ErrInvalidRequest
		}
		for o := max(ack.First, m.start); o <= ack.Last; o++ {
			if r := m.at(o); r.state != Acquired || r.member != args.Member || r.until <= args.Now {
				return ErrInvalidRecordState
			}
		}
	}
	for _, ack := range args.Acks {
		for o := max(ack.First, m.start); o <= ack.Last; o++ {
			t := ack.Types[0]
			if len(ack.Types) > 1 {
				t = ack.Types[o-ack.First]
			}
			m.acknowledgeOne(args, m.at(o), t)
		}
	}
	m.pass()
	return nil
}

func (m *model) acknowledgeOne(args AcknowledgeArgs, r *rec, t AckType) {
	switch t {
	case Gap:
		r.become(Archived)
	case Accept:
		r.become(Acknowledged)
	case Release:
		if args.DelayMs > 0 {
			r.release(args.Policy, args.Now+args.DelayMs)
		} else {
			r.release(args.Policy, 0)
		}
	case Reject:
		r.giveUp(args.Policy, Rejected)
	case Renew:
		r.until = args.Now + args.Policy.LockMs
		if args.LockMs > 0 {
			r.until = args.Now + args.LockMs
		}
	}
}

func (m *model) tick(now int64, p Policy) {
	for i := range m.recs {
		switch r := &m.recs[i]; {
		case r.state == Acquired && r.until <= now:
			r.release(p, 0)
		case r.state == Available && r.until <= now:
			r.until = 0
		}
	}
	m.pass()
}

func (m *model) releaseMember(member string, p Policy) {
	for i := range m.recs {
		if r := &m.recs[i]; r.state == Acquired && r.member == member {
			r.release(p, 0)
		}
	}
	m.pass()
}

func (m *model) expireBelow(to Offset, p Policy) {
	for m.end() < to {
		m.extend(m.end())
	}
	for o := m.start; o < to; o++ {
		if r := m.at(o); r.undecided() {
			r.giveUp(p, Expired)
		}
	}
	m.pass()
}

func (m *model) archiving(limit int) []Offset {
	var offsets []Offset
	for i, r := range m.recs {
		if r.state == Archiving && len(offsets) < limit {
			offsets = append(offsets, m.start+Offset(i))
		}
	}
	return offsets
}

func (m *model) deadLettersWritten(runs []Run) {
	for _, run := range runs {
		for o := max(run.First, m.start); o <= run.Last && o < m.end(); o++ {
			if r := m.at(o); r.state == Archiving {
				r.become(Archived)
			}
		}
	}
	m.pass()
}

// learnKeys takes the records of [from, to).
func (m *model) learnKeys(from, to Offset, records []Record) {
	present := map[Offset]Record{}
	for _, r := range records {
		present[r.Offset] = r
	}
	for o := max(from, m.start); o < min(to, m.end()); o++ {
		at := m.at(o)
		r, there := present[o]
		switch {
		case !at.undecided() || at.known:
		case there:
			at.known, at.key = true, r.Key
		case at.state == Available:
			at.become(Archived)
		default:
			at.known = true
		}
	}
	m.pass()
}

// difference says where a partition is not what the model says; "" if nowhere.
func (m *model) difference(p *Partition) string {
	if p.Start() != m.start || p.End() != m.end() {
		return fmt.Sprintf("window %d to %d, want %d to %d", p.Start(), p.End(), m.start, m.end())
	}
	if p.Counts() != m.counts() {
		return fmt.Sprintf("counts %+v, want %+v", p.Counts(), m.counts())
	}
	for run := range p.Runs(p.Start()) {
		for o := run.First; o <= run.Last; o++ {
			r := m.at(o)
			if got, want := run.of(o, o), (Run{o, o, r.state, r.reason, r.count, r.member, r.until}); got != want {
				return fmt.Sprintf("offset %d is %+v, want %+v", o, got, want)
			}
		}
	}
	return ""
}
