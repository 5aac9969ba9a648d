package share

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRandomOperations runs a leader of a share partition beside the model: with any requests, policies, clocks and failures,
// and a log with holes, markers, keys and delays. The seed of a failure is in its test's name.
func TestRandomOperations(t *testing.T) {
	seeds := 600
	if testing.Short() {
		seeds = 120
	}
	var total tally
	for seed := range seeds {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			w := newWorld(t, rand.New(rand.NewPCG(uint64(seed), 1)))
			w.run(1000)
			total.add(w.tally)
		})
	}
	t.Logf("%+v", total)
	// A test that never gets there proves nothing.
	for name, n := range map[string]int{
		"deliveries": total.deliveries, "redeliveries": total.redeliveries, "acknowledged": total.acknowledged,
		"refused": total.refused, "failovers": total.failovers, "lost changes": total.lost, "given up": total.archiving,
		"isolated": total.isolated, "held back": total.blocked, "delayed": total.delayed, "keys learned": total.learned,
		"superseded": total.superseded,
	} {
		if n < seeds {
			t.Errorf("%s: only %d in %d runs", name, n, seeds)
		}
	}
}

func FuzzOperations(f *testing.F) {
	f.Add(uint64(1), uint16(50))
	f.Fuzz(func(t *testing.T, seed uint64, steps uint16) {
		newWorld(t, rand.New(rand.NewPCG(seed, 2))).run(min(int(steps), 3000))
	})
}

// tally counts what happened.
type tally struct {
	deliveries, redeliveries, acknowledged, refused, failovers, lost, archiving, isolated, blocked, delayed, learned, superseded int
}

func (t *tally) add(o tally) {
	t.deliveries += o.deliveries
	t.redeliveries += o.redeliveries
	t.acknowledged += o.acknowledged
	t.refused += o.refused
	t.failovers += o.failovers
	t.lost += o.lost
	t.archiving += o.archiving
	t.isolated += o.isolated
	t.blocked += o.blocked
	t.delayed += o.delayed
	t.learned += o.learned
	t.superseded += o.superseded
}

func (w *world) run(steps int) {
	for step := range steps {
		op, n := operations[0], w.IntN(operationWeights)
		for _, op = range operations {
			if n -= op.weight; n < 0 {
				break
			}
		}
		w.doing = fmt.Sprintf("step %d, %s", step, op.name)
		op.do(w)
		w.check()
	}
}

var operations = []struct {
	name   string
	weight int
	do     func(*world)
}{
	{"produce", 14, (*world).produce},
	{"acquire", 26, (*world).acquire},
	{"acknowledge", 26, (*world).acknowledge},
	{"commit", 18, (*world).commit},
	{"clock", 12, (*world).clock},
	{"tick", 6, (*world).tick},
	{"learn", 5, (*world).learn},
	{"release member", 2, (*world).releaseMember},
	{"dead letters", 6, (*world).deadLetters},
	{"compact", 3, (*world).compact},
	{"expire", 1, (*world).expire},
	{"log start", 2, (*world).moveLogStart},
	{"reset", 1, (*world).reset},
	{"failover", 2, (*world).failover},
	{"snapshot", 2, (*world).takeSnapshot},
	{"restart", 1, (*world).restart},
	{"policy", 2, (*world).changePolicy},
	{"whole", 1, (*world).proposeWhole},
}

const operationWeights = 130

func (w *world) acquire() {
	from, ok := w.leader.NextFetch(w.policy)
	if !ok || w.one(10) {
		from = w.model.start + Offset(w.IntN(len(w.model.recs)+1))
	}
	if from == w.model.end() && len(w.model.recs) > 250 {
		return
	}
	if w.one(50) { // read for a leader that is no more
		from = w.model.end() + Offset(w.IntN(20))
	}
	args := AcquireArgs{
		Member: w.members[w.IntN(len(w.members))], Now: w.now, Policy: w.policy, MaxRecords: 1 + w.IntN(12),
		BatchSize: w.IntN(8), RecordLimit: w.one(2), Batches: w.read(max(from, w.logStart), 1+w.IntN(4)),
	}
	if w.one(5) {
		args.LockMs = int64(1 + w.IntN(500))
	}
	before := w.model.clone()
	want := w.model.acquire(args)
	got, c := w.leader.Acquire(args)
	w.checkAcquired(args, before, got, want)
	w.propose(c)
}

// checkAcquired checks what was delivered against the model, and then against what the package promises, for which the model's
// rules for acquiring do not matter.
func (w *world) checkAcquired(args AcquireArgs, before *model, got []Acquisition, want []delivered) {
	var records []delivered
	busy := map[uint64]bool{}
	for _, acquisition := range got {
		for o := acquisition.First; o <= acquisition.Last; o++ {
			records = append(records, delivered{o, acquisition.DeliveryCount})
			state := rec{}
			if before.tracked(o) {
				state = *before.at(o)
			} else if o < before.start {
				w.failf("offset %d delivered below the start %d", o, before.start)
			}
			if state.state != Available || state.until != 0 {
				w.failf("offset %d delivered, which was %+v", o, state)
			}
			if acquisition.DeliveryCount != state.count+1 {
				w.failf("offset %d delivered with count %d after %d", o, acquisition.DeliveryCount, state.count)
			}
			if state.count > 0 {
				w.redeliveries++
			}
			if key := w.keys[o]; key != 0 && args.Policy.Ordered {
				for earlier := before.start; earlier < min(o, before.end()); earlier++ {
					if r := before.at(earlier); r.undecided() && w.keys[earlier] == key {
						if _, there := w.find(earlier); there {
							w.failf("offset %d of key %d delivered before offset %d", o, key, earlier)
						}
					}
				}
				if busy[key] {
					w.failf("two of key %d at a time, the second at %d", key, o)
				}
				busy[key] = true
			}
		}
	}
	if !slices.Equal(records, want) {
		w.failf("acquired %v, want %v with %+v", records, want, args)
	}
	if args.RecordLimit && len(records) > args.MaxRecords {
		w.failf("%d records instead of %d", len(records), args.MaxRecords)
	}
	w.deliveries += len(records)
	if len(records) > 0 && args.Policy.isolation(records[0].count-1) > 0 {
		w.isolated++
	}
	w.checkCuts(args, got)
}

// checkCuts checks where acquisitions end.
func (w *world) checkCuts(args AcquireArgs, got []Acquisition) {
	for i := 1; i < len(got); i++ {
		last, next := got[i-1], got[i]
		if last.Last+1 != next.First || last.DeliveryCount != next.DeliveryCount {
			continue
		}
		begins := slices.ContainsFunc(args.Batches, func(b Batch) bool { return b.First == next.First })
		if args.BatchSize == 0 || args.RecordLimit || !begins || int(last.Last-last.First)+1 < args.BatchSize {
			w.failf("cut between %+v and %+v with %+v", last, next, args)
		}
	}
}

func (w *world) acknowledge() {
	args := AcknowledgeArgs{Member: w.members[w.IntN(len(w.members))], Now: w.now, Policy: w.policy}
	if w.one(3) {
		args.DelayMs = int64(w.IntN(100))
	}
	if w.one(4) {
		args.LockMs = int64(w.IntN(500))
	}
	next := w.model.start - 2
	for range 1 + w.IntN(3) {
		ack, ok := w.held(args.Member, next)
		if !ok && !w.one(20) {
			break
		}
		if !ok || w.one(50) { // any range, even of nothing
			first := next + Offset(w.IntN(len(w.model.recs)+3))
			ack = Ack{First: first, Last: first + Offset(w.IntN(5)-1)}
		}
		ack.Types = w.types(ack)
		args.Acks = append(args.Acks, ack)
		next = ack.Last + 1
	}
	if w.one(50) {
		w.Shuffle(len(args.Acks), func(i, j int) { args.Acks[i], args.Acks[j] = args.Acks[j], args.Acks[i] })
	}
	acquired := w.model.counts().Acquired
	wantErr := w.model.acknowledge(args)
	c, err := w.leader.Acknowledge(args)
	if (err == nil) != (wantErr == nil) || !errors.Is(err, wantErr) {
		w.failf("error %v, want %v for %+v", err, wantErr, args)
	}
	if err != nil {
		w.refused++
		if !c.Empty() {
			w.failf("an error and a change: %+v", c)
		}
	}
	w.acknowledged += int(acquired - w.model.counts().Acquired)
	w.propose(c)
}

// held returns a range that a member holds, from an offset on.
func (w *world) held(member string, from Offset) (Ack, bool) {
	for o := max(from, w.model.start); o < w.model.end(); o++ {
		if r := w.model.at(o); r.state != Acquired || r.member != member || r.until <= w.now && !w.one(30) || w.one(8) {
			continue
		}
		last := o
		for last+1 < w.model.end() && w.model.at(last+1).state == Acquired && w.model.at(last+1).member == member && !w.one(10) {
			last++
		}
		return Ack{First: o, Last: last}, true
	}
	return Ack{}, false
}

func (w *world) types(ack Ack) []AckType {
	pick := func() AckType {
		if w.one(300) {
			return Renew + 1
		}
		return []AckType{Gap, Accept, Accept, Accept, Release, Release, Reject, Renew}[w.IntN(8)]
	}
	types := []AckType{pick()}
	if w.one(2) {
		for o := ack.First; o < ack.Last; o++ {
			if types = append(types, types[len(types)-1]); w.one(2) {
				types[len(types)-1] = pick()
			}
		}
	}
	if w.one(100) {
		types = append(types, Accept)
	}
	return types
}

func (w *world) clock() {
	switch w.IntN(12) {
	case 0:
		w.now -= int64(w.IntN(1000))
	case 1:
		w.now += int64(w.IntN(5000))
	default:
		w.now += int64(w.IntN(60))
	}
}

func (w *world) tick() {
	w.model.tick(w.now, w.policy)
	w.propose(w.leader.Tick(w.now, w.policy))
	if next := w.leader.NextDeadline(); next != 0 && next <= w.now {
		w.failf("a deadline of %d after a tick at %d", next, w.now)
	}
}

func (w *world) releaseMember() {
	member := w.members[w.IntN(len(w.members))]
	w.model.releaseMember(member, w.policy)
	w.propose(w.leader.ReleaseMember(member, w.policy))
}

func (w *world) deadLetters() {
	runs := w.leader.Archiving(1 + w.IntN(20))
	for _, r := range runs {
		w.archiving += int(r.Len())
	}
	if w.one(5) { // late, and of others
		first := w.model.start + Offset(w.IntN(len(w.model.recs)+1)) - 1
		runs = append(runs, Run{First: first, Last: first + Offset(w.IntN(5))})
	}
	w.model.deadLettersWritten(runs)
	w.propose(w.leader.DeadLettersWritten(runs))
}

// learn does what a host does with NeedsKeys.
func (w *world) learn() {
	from, to, ok := w.leader.NeedsKeys(w.policy)
	if !ok {
		return
	}
	to = min(to, from+Offset(1+w.IntN(60)))
	if w.one(4) {
		from = max(from-Offset(w.IntN(5)), 0)
	}
	var records []Record
	for _, b := range w.batches {
		for _, r := range b.Records {
			if w.one(20) || from <= r.Offset && r.Offset < to {
				records = append(records, r)
			}
		}
	}
	w.learned++
	w.model.learnKeys(from, to, records)
	w.propose(w.leader.LearnKeys(from, to, records))
}

func (w *world) expire() {
	to := w.model.start + Offset(w.IntN(int(w.logEnd-w.model.start)+1))
	w.model.expireBelow(to, w.policy)
	w.propose(w.leader.ExpireBelow(to, w.policy))
}

// moveLogStart moves the log's start, which replicas learn from an entry of its own or from the leader's change.
func (w *world) moveLogStart() {
	to := w.logStart + Offset(w.IntN(int(w.logEnd-w.logStart)+1))
	w.logStart = to
	w.batches = slices.DeleteFunc(w.batches, func(b Batch) bool { return b.Last < to })
	c := w.leader.AdvanceStart(to)
	w.model.advanceStart(to)
	if w.one(2) {
		w.propose(c)
		return
	}
	w.appliedLogStart = to
	w.replicated.AdvanceStart(to)
	w.committed.advanceStart(to)
	for _, p := range w.pending {
		p.after.advanceStart(to)
	}
	w.since = append(w.since, committedEntry{logStart: to})
}

func (w *world) reset() {
	if !w.one(5) {
		return
	}
	to := w.logStart + Offset(w.IntN(int(w.logEnd-w.logStart)+1))
	w.model.setStart(to)
	w.propose(w.leader.SetStart(to))
}

// check compares everything with the model.
func (w *world) check() {
	if d := w.model.difference(w.leader.p); d != "" {
		w.failf("the leader: %s", d)
	}
	if d := w.committed.difference(w.replicated); d != "" {
		w.failf("replicated: %s", d)
	}
	for _, p := range []*Partition{w.leader.p, w.replicated} {
		if err := p.verify(); err != nil {
			w.failf("%v", err)
		}
	}
	if len(w.pending) == 0 && !bytes.Equal(w.leader.p.AppendTo(nil), w.replicated.AppendTo(nil)) {
		w.failf("replicas have not converged")
	}
	c := w.leader.Counts()
	if undecided := c.Undecided() + c.Archiving + c.Decided; undecided != int64(w.leader.End()-w.leader.Start()) {
		w.failf("the counts %+v are not those of a window of %d", c, w.leader.End()-w.leader.Start())
	}
	w.delayed += int(min(c.Delayed, 1))
	from, ok := w.leader.NextFetch(w.policy)
	if wantFrom, want := w.model.nextFetch(w.policy); from != wantFrom || ok != want {
		w.failf("NextFetch is %d, %v, want %d, %v", from, ok, wantFrom, want)
	}
	if ok && w.policy.Ordered && c.Available > 0 && from == w.model.end() {
		w.blocked++
	}
	if got, want := w.leader.NextDeadline(), w.model.nextDeadline(); got != want {
		w.failf("NextDeadline is %d, want %d", got, want)
	}
	var archiving []Offset
	for _, r := range w.leader.Archiving(7) {
		for o := r.First; o <= r.Last; o++ {
			archiving = append(archiving, o)
		}
	}
	if want := w.model.archiving(7); !slices.Equal(archiving, want) {
		w.failf("Archiving is %v, want %v", archiving, want)
	}
	frontier, _, ok := w.leader.NeedsKeys(w.policy)
	if want := w.model.frontier(w.policy); ok != (want != w.model.frontier(Policy{})) || ok && frontier != want {
		w.failf("NeedsKeys is %d, %v, want %d", frontier, ok, want)
	}
}
