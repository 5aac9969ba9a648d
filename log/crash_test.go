package log

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"balsa/log/batch"
	"balsa/log/vfs"
)

var crashTraces = flag.Int("crash.traces", 4, "how many random traces the crash test runs")

// TestCrash runs random traces on a disk that can crash, cuts the power before every operation that changes
// something, and opens what is left: everything that was durable must be there, byte for byte, nothing may be invented,
// and the log must work. Every other time the power is cut again during the recovery.
func TestCrash(t *testing.T) {
	points := 0
	for seed := range uint64(*crashTraces) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newCrashRun(t, seed)
			for range 50 {
				r.step()
			}
			points += r.points
		})
	}
	if points < 100**crashTraces {
		t.Errorf("only %d crashes: the test proves nothing", points)
	}
	t.Logf("%d crashes", points)
}

// TestKillThenCrash kills the process, which leaves unsynced data in the page cache, opens the log again, and then cuts the
// power: what the second life could see was durable by then, because Raft counts on it.
func TestKillThenCrash(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		fs, m := newMem(t), newModel()
		l, _ := open(t, fs, Config{SegmentBytes: 5000})
		for range 1 + rnd.IntN(8) {
			batches := randomBatches(rnd, 5, 600)
			for _, b := range batches {
				m.append(b, 1)
			}
			if err := l.Append(batches, sameEpoch(batches, 1), flushOf(rnd)); err != nil {
				t.Fatal(err)
			}
		}
		second, _ := open(t, fs, Config{SegmentBytes: 5000})
		checkState(t, second, m)
		third, _ := open(t, fs.Crash(seed), Config{SegmentBytes: 5000})
		checkState(t, third, m)
		checkEntries(t, third, m)
	}
}

// TestKillAnywhere kills the process before any operation, which leaves everything in the caches and not all of it
// durable. The second life must make durable what it shows before anything builds on it: a power cut right after it
// opened the log changes nothing.
func TestKillAnywhere(t *testing.T) {
	kills := 0
	for seed := range uint64(400) {
		r := newCrashRun(t, seed)
		left := int(seed*7) % 97 // so that each of the many kinds of runs is killed at other places
		r.hook = func() {
			if left--; left == 0 {
				panic(errKilled)
			}
		}
		if !r.killed() {
			continue
		}
		kills++
		l, saved, err := Open(testDir, Options{FS: r.mem, Config: r.config})
		if err != nil {
			t.Fatalf("seed %d, after the kill: %v", seed, err)
		}
		found, err := r.matching(l, saved)
		if err != nil {
			t.Fatalf("seed %d, after the kill: %v", seed, err)
		}
		for cut := range uint64(6) {
			after := r.mem.Crash(seed<<8 + cut)
			l, again, err := Open(testDir, Options{FS: after, Config: r.config})
			if err != nil {
				t.Fatalf("seed %d, after the power cut: %v", seed, err)
			}
			if again.Index != saved.Index {
				t.Fatalf("seed %d: checkpoint %d became %d", seed, saved.Index, again.Index)
			}
			checkState(t, l, found)
			checkEntries(t, l, found)
		}
	}
	if kills < 200 {
		t.Errorf("only %d kills", kills)
	}
}

var errKilled = errors.New("killed")

// killed runs until the hook panics, and says whether it did.
func (r *crashRun) killed() (yes bool) {
	defer func() {
		if why := recover(); why == errKilled {
			yes = true
		} else if why != nil {
			panic(why)
		}
	}()
	for range 40 {
		r.step()
	}
	return false
}

// crashRun is a model run whose disk is cut off, as a copy, at every change.
type crashRun struct {
	modelRun
	mem    *vfs.Mem
	hook   func() // called before each operation that changes something
	seed   uint64
	points int
	busy   bool // inspecting a crash: its own operations are not crash points

	// What a crash now may leave: a prefix of one of these, with all entries up to floor.
	possible []outcome
}

// outcome is a state that a crash may leave.
type outcome struct {
	m     *model
	floor Index
	saved []Checkpoint
}

func newCrashRun(t *testing.T, seed uint64) *crashRun {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 2))
	r := &crashRun{mem: newMem(t), seed: seed << 32}
	r.hook = r.crash
	r.modelRun = modelRun{t: t, rnd: rnd, m: newModel()}
	r.config = Config{
		SegmentBytes: int64(2000 + rnd.IntN(20_000)), IndexIntervalBytes: 100 + rnd.IntN(2000),
		FlushEveryAppend: seed%2 == 0,
	}
	r.fs = vfs.NewFault(r.mem, func(op vfs.Op) vfs.Verdict {
		switch op.Kind {
		case vfs.OpWrite, vfs.OpSync, vfs.OpTruncate, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir:
			r.hook()
		}
		return vfs.Verdict{}
	})
	r.possible = []outcome{{m: r.m, saved: []Checkpoint{{}}}}
	r.l, _ = open(t, r.fs, r.config)
	return r
}

// now sets what a crash during the next operation may leave.
func (r *crashRun) now(outcomes ...outcome) { r.possible = outcomes }

func (r *crashRun) current() outcome {
	return outcome{m: r.m.clone(), floor: r.l.DurableIndex(), saved: []Checkpoint{r.saved}}
}

func (r *crashRun) step() {
	r.t.Helper()
	o := r.current()
	switch n := r.rnd.IntN(100); {
	case n < 55:
		r.appendWide(o)
	case n < 65:
		r.truncateAt(o)
	case n < 75:
		low, high := max(r.saved.Index, r.m.first-1), r.l.DurableIndex()
		if low > high {
			return
		}
		c := Checkpoint{Index: low + Index(r.rnd.IntN(int(high-low)+1)), State: randomBytes(r.rnd, 1+r.rnd.IntN(50))}
		o.saved = append(o.saved, c)
		r.now(o)
		r.must(r.l.SaveCheckpoint(c))
		r.saved = c
	case n < 82:
		r.now(o)
		r.trim()
	case n < 85:
		i, off := Index(1+r.rnd.IntN(1000)), Offset(r.rnd.IntN(1000))
		fresh := &model{first: i, base: off, next: off, prev: r.m.epoch() + 1}
		c := Checkpoint{Index: i - 1, State: []byte("reset")}
		r.now(o, outcome{m: fresh, floor: i - 1, saved: []Checkpoint{c}})
		r.must(r.l.Reset(i, off, fresh.prev, c.State))
		r.m, r.saved = fresh.clone(), c
	case n < 92:
		r.now(o)
		r.must(r.l.Sync())
	default:
		r.now(o)
		r.must(r.l.Close())
		r.now(r.durable(o))
		l, _, err := Open(testDir, Options{FS: r.fs, Config: r.config})
		r.must(err)
		r.l = l
	}
	r.now(r.current())
}

// durable is o when everything is durable.
func (r *crashRun) durable(o outcome) outcome {
	o.floor = o.m.nextIndex() - 1
	return o
}

func (r *crashRun) appendWide(o outcome) {
	if r.rnd.IntN(8) == 0 {
		r.epoch += Epoch(1 + r.rnd.IntN(3))
	}
	r.epoch = max(r.epoch, r.m.epoch())
	batches := withGaps(r.rnd, randomBatches(r.rnd, 12, 1500))
	for _, b := range batches {
		r.m.append(b, r.epoch)
	}
	o.m = r.m.clone()
	r.now(o)
	r.must(r.l.Append(batches, sameEpoch(batches, r.epoch), FlushAsConfigured))
}

func (r *crashRun) truncateAt(o outcome) {
	low := max(r.saved.Index+1, r.m.first)
	i := r.m.boundary(low + Index(r.rnd.IntN(int(r.m.nextIndex()-low)+1)))
	o.floor = min(o.floor, i-1)
	r.now(o)
	r.must(r.l.TruncateSuffix(i))
	r.m.truncate(i)
}

// crash opens copies of the disk as a power cut now leaves them.
func (r *crashRun) crash() {
	if r.busy {
		return
	}
	r.busy = true
	defer func() { r.busy = false }()
	if r.l != nil && len(r.possible) == 1 {
		// What became durable in the course of the operation must be there too. (Never on truncation: there
		// the floor only falls.)
		r.possible[0].floor = max(r.possible[0].floor, min(r.l.DurableIndex(), r.possible[0].m.nextIndex()-1))
	}
	for range 3 {
		r.points++
		r.seed++
		after := r.mem.Crash(r.seed)
		if r.seed%2 == 0 {
			after = r.crashAgain(after)
		}
		r.inspect(after)
	}
}

// crashAgain cuts the power once more while the log is being opened.
func (r *crashRun) crashAgain(m *vfs.Mem) *vfs.Mem {
	left := int(r.seed/2) % 7
	var second *vfs.Mem
	fault := vfs.NewFault(m, func(op vfs.Op) vfs.Verdict {
		switch op.Kind {
		case vfs.OpWrite, vfs.OpSync, vfs.OpTruncate, vfs.OpRename, vfs.OpRemove, vfs.OpSyncDir:
			if left == 0 && second == nil {
				second = m.Crash(r.seed)
			}
			left--
		}
		return vfs.Verdict{}
	})
	if _, _, err := Open(testDir, Options{FS: fault, Config: r.config}); err != nil {
		r.t.Fatalf("crash %d: %v", r.seed, err)
	}
	if second == nil {
		return m
	}
	return second
}

// inspect checks that what a crash left is one of the possible outcomes.
func (r *crashRun) inspect(m *vfs.Mem) {
	r.t.Helper()
	l, saved, err := Open(testDir, Options{FS: m, Config: r.config})
	if err != nil {
		r.t.Fatalf("crash %d: %v", r.seed, err)
	}
	found, err := r.matching(l, saved)
	if err != nil {
		r.t.Fatalf("crash %d: %v", r.seed, err)
	}
	checkState(r.t, l, found)
	checkEntries(r.t, l, found)
	r.use(l, found, m)
}

// matching returns what a log is, of what is possible.
func (r *crashRun) matching(l *Log, saved Checkpoint) (found *model, err error) {
	for _, o := range r.possible {
		if found, err = o.match(l, saved); err == nil {
			return found, nil
		}
	}
	return nil, err
}

// match says whether the log is what o allows, and what exactly it is.
func (o outcome) match(l *Log, saved Checkpoint) (*model, error) {
	known := false
	for _, c := range o.saved {
		known = known || c.Index == saved.Index && bytes.Equal(c.State, saved.State)
	}
	switch first, last := l.FirstIndex(), l.LastIndex(); {
	case !known:
		return nil, fmt.Errorf("checkpoint %+v, want one of %+v", saved, o.saved)
	case first < o.m.first || first > o.m.first && first > saved.Index+1:
		return nil, fmt.Errorf("first entry %d, want %d", first, o.m.first)
	case last < o.floor:
		return nil, fmt.Errorf("last entry %d, but %d was durable", last, o.floor)
	case last >= o.m.nextIndex():
		return nil, fmt.Errorf("last entry %d, but only %d was written", last, o.m.nextIndex()-1)
	default:
		found := o.m.clone()
		found.truncate(last + 1)
		found.trim(first)
		return found, nil
	}
}

// use checks that a recovered log works.
func (r *crashRun) use(l *Log, m *model, fs *vfs.Mem) {
	r.t.Helper()
	epoch := m.epoch() + 1
	batches := []batch.Batch{batch.Build([][]byte{[]byte("after the crash")}, 5), batch.Internal(batch.KindNoop, nil)}
	for _, b := range batches {
		m.append(b, epoch)
	}
	r.must(l.Append(batches, sameEpoch(batches, epoch), FlushNow))
	again, _, err := Open(testDir, Options{FS: fs.Crash(r.seed + 1), Config: r.config})
	if err != nil {
		r.t.Fatalf("crash %d, second life: %v", r.seed, err)
	}
	checkState(r.t, again, m)
	checkEntries(r.t, again, m)
}
