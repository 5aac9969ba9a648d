package share

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// world is a partition's log, its replicas and the leader's host.
type world struct {
	testing.TB
	*rand.Rand
	tally
	now     int64
	policy  Policy
	members []string
	doing   string

	batches          []Batch // all of the log; Records is set unless Skip
	logStart, logEnd Offset
	keys             map[Offset]uint64

	leader     *Leader
	model      *model // of the leader
	replicated *Partition
	committed  *model
	pending    []pending

	appliedLogStart Offset // what replicas know of it

	snapshot []byte
	since    []committedEntry // after the snapshot
}

// pending is a change, or the whole of what the leader knows, that is not committed yet.
type pending struct {
	encoded []byte
	whole   bool
	after   *model
}

// committedEntry is a change, a whole partition, or a move of the log's start, which every replica knows when it applies the others.
type committedEntry struct {
	encoded  []byte
	whole    bool
	logStart Offset
}

func (entry committedEntry) apply(p *Partition) {
	if entry.encoded == nil {
		p.AdvanceStart(entry.logStart)
		return
	}
	if entry.whole {
		whole, rest, err := Decode(entry.encoded)
		if err != nil || len(rest) > 0 {
			panic(fmt.Sprint(err, rest))
		}
		*p = *whole
		p.AdvanceStart(entry.logStart)
		return
	}
	c, err := DecodeChange(entry.encoded)
	if err != nil {
		panic(err)
	}
	p.Apply(c)
	if c.Reset {
		p.AdvanceStart(entry.logStart)
	}
}

func newWorld(t testing.TB, random *rand.Rand) *world {
	start := Offset(random.IntN(3) * 100)
	w := &world{
		TB: t, Rand: random, now: 1_000_000, members: []string{"a", "b", "detached-c"}, keys: map[Offset]uint64{},
		logStart: start, logEnd: start, replicated: New(start), committed: &model{start: start}, model: &model{start: start},
	}
	w.leader, w.snapshot = NewLeader(w.replicated), w.replicated.AppendTo(nil)
	w.changePolicy()
	w.policy.Ordered = w.IntN(2) == 0
	return w
}

func (w *world) one(in int) bool { return w.IntN(in) == 0 }

func (w *world) failf(format string, args ...any) {
	w.Helper()
	w.Fatalf("%s: %s\nmodel %+v\nruns %+v", w.doing, fmt.Sprintf(format, args...), w.model, slices.Collect(w.leader.p.Runs(0)))
}

func (w *world) changePolicy() {
	pick := func(values ...int) int { return values[w.IntN(len(values))] }
	ordered := w.policy.Ordered
	if w.one(8) {
		ordered = !ordered
	}
	w.policy = Policy{
		LockMs: int64(pick(1, 50, 1000)), DeliveryLimit: int16(pick(0, 1, 2, 3, 5, 6, 10)),
		MaxLocks: pick(3, 20, 100), MaxWindow: pick(0, 3, 30, 100), DeadLetters: w.one(2), Renew: !w.one(4), Ordered: ordered,
	}
	if !ordered {
		w.model.forgetKeys()
	}
}

// produce appends batches to the log, with holes as a compaction or a producer's transactions leave them.
func (w *world) produce() {
	if w.logEnd-w.model.end() > 60 {
		return
	}
	for range 1 + w.IntN(3) {
		if w.one(10) {
			w.logEnd += Offset(1 + w.IntN(3))
		}
		b := Batch{First: w.logEnd, Last: w.logEnd + Offset(w.IntN(12)), Skip: w.one(8), Records: []Record{}}
		for o := b.First; o <= b.Last && !b.Skip; o++ {
			if w.one(10) {
				continue
			}
			r := Record{Offset: o}
			if !w.one(3) {
				r.Key = uint64(1 + w.IntN(5))
			}
			if w.one(12) {
				r.DeliverAt = w.now + int64(w.IntN(200)) - 50
			}
			w.keys[o] = r.Key
			b.Records = append(b.Records, r)
		}
		w.batches = append(w.batches, b)
		w.logEnd = b.Last + 1
	}
}

// read returns batches from an offset on, as a host would.
func (w *world) read(from Offset, atMost int) []Batch {
	var read []Batch
	for _, b := range w.batches {
		if b.Last < from || len(read) == atMost {
			continue
		}
		if len(read) == 0 && b.First > from && (b.First <= w.model.end() || !w.one(50)) && (b.First > w.model.end() || w.one(2)) {
			read = append(read, Batch{First: from, Last: b.First - 1, Skip: true})
		}
		read = append(read, b)
	}
	if len(read) == 0 && from < w.logEnd {
		read = append(read, Batch{First: from, Last: w.logEnd - 1, Skip: true})
	}
	for i := range read {
		b := &read[i]
		special := func(r Record) bool { return r.DeliverAt > w.now || w.policy.Ordered && r.Key != 0 }
		complete := len(b.Records) == int(b.Last-b.First)+1 || !w.policy.Ordered
		if !b.Skip && complete && !slices.ContainsFunc(b.Records, special) && w.one(2) {
			b.Records = nil // not looked into
		}
	}
	return read
}

// find returns a record that the log still has.
func (w *world) find(o Offset) (Record, bool) {
	for _, b := range w.batches {
		for _, r := range b.Records {
			if r.Offset == o {
				return r, true
			}
		}
	}
	return Record{}, false
}

// propose hands a change to replication.
func (w *world) propose(c Change) {
	if c.Empty() {
		return
	}
	encoded := c.AppendTo(nil)
	decoded, err := DecodeChange(encoded)
	if err != nil || fmt.Sprint(decoded) != fmt.Sprint(c) {
		w.failf("%+v comes back as %+v, %v", c, decoded, err)
	}
	if n := len(w.pending); n > 0 && !w.pending[n-1].whole && w.one(3) { // it goes with the one before
		before, err := DecodeChange(w.pending[n-1].encoded)
		both, ok := before.Then(c)
		if err != nil || ok != (!before.Reset && !c.Reset) {
			w.failf("%+v and then %+v: %v, %v", before, c, ok, err)
		}
		if ok {
			w.pending, encoded = w.pending[:n-1], both.AppendTo(nil)
		}
	}
	w.pending = append(w.pending, pending{encoded: encoded, after: w.model.clone()})
}

// proposeWhole hands all that the leader knows to replication.
func (w *world) proposeWhole() {
	p := w.leader.Partition()
	encoded := p.AppendTo(nil)
	if p.Size() > len(encoded) {
		w.failf("%d bytes are said to be at least %d", len(encoded), p.Size())
	}
	w.pending = append(w.pending, pending{encoded: encoded, whole: true, after: w.model.clone()})
}

// commit applies some of what is pending.
func (w *world) commit() {
	n := len(w.pending)
	if w.one(2) {
		n = w.IntN(n + 1)
	}
	for _, p := range w.pending[:n] {
		entry := committedEntry{encoded: p.encoded, whole: p.whole, logStart: w.appliedLogStart}
		before := w.replicated.AppendTo(nil)
		entry.apply(w.replicated)
		if p.whole && !bytes.Equal(w.replicated.AppendTo(nil), before) {
			w.failf("what the leader knew is not what the changes before it made")
		}
		w.committed = p.after
		w.since = append(w.since, entry)
	}
	w.pending = w.pending[n:]
}

// compact removes records, or batches, from the log.
func (w *world) compact() {
	if len(w.batches) == 0 {
		return
	}
	i := w.IntN(len(w.batches))
	if w.one(3) {
		w.batches = slices.Delete(w.batches, i, i+1)
		return
	}
	b := &w.batches[i]
	b.Records = slices.DeleteFunc(slices.Clone(b.Records), func(Record) bool { return w.one(3) })
}

// failover loses what is not committed, with the leader's memory.
func (w *world) failover() {
	w.commit()
	w.failovers++
	w.lost += len(w.pending)
	w.pending = nil
	w.model = w.committed.clone()
	w.model.forgetKeys()
	w.leader = NewLeader(w.replicated)
}

func (w *world) takeSnapshot() {
	w.snapshot, w.since = w.replicated.Clone().AppendTo([]byte("before")), nil
	w.snapshot = w.snapshot[len("before"):]
}

// restart brings a replica back from its snapshot and what was committed since; of that, a compacted log has only the last whole
// partition and what follows, and may have some of what was before.
func (w *world) restart() {
	p, rest, err := Decode(append(slices.Clip(w.snapshot), "rest"...))
	if err != nil || string(rest) != "rest" {
		w.failf("restore: %v, %q", err, rest)
	}
	superseded := 0
	for i, entry := range w.since {
		if entry.whole {
			superseded = i
		}
	}
	for i, entry := range w.since {
		if i >= superseded || w.one(3) {
			entry.apply(p)
		}
	}
	w.superseded += min(superseded, 1)
	if !bytes.Equal(p.AppendTo(nil), w.replicated.AppendTo(nil)) {
		w.failf("restored %v, was %v", slices.Collect(p.Runs(0)), slices.Collect(w.replicated.Runs(0)))
	}
	w.replicated = p
}
