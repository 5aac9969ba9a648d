package log

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"balsa/log/vfs"
)

// TestModel does random things to a log and to a model of it, and compares all they answer.
func TestModel(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			c := Config{
				SegmentBytes:       int64(500 + rnd.IntN(8000)),
				IndexIntervalBytes: 100 + rnd.IntN(1000),
				FlushEveryAppend:   rnd.IntN(2) == 0,
				FlushBytes:         int64(1 + rnd.IntN(10_000)),
			}
			run := modelRun{t: t, rnd: rnd, fs: newMem(t), config: c, m: newModel()}
			run.l, _ = open(t, run.fs, c)
			for range 120 {
				run.step()
			}
			run.reopen()
			check(t, run.l, run.m)
		})
	}
}

type modelRun struct {
	t      *testing.T
	rnd    *rand.Rand
	fs     vfs.FS
	config Config
	l      *Log
	m      *model
	saved  Checkpoint
	epoch  Epoch
}

func (r *modelRun) step() {
	r.t.Helper()
	switch n := r.rnd.IntN(100); {
	case n < 60:
		r.append()
	case n < 66:
		r.truncate()
	case n < 72:
		r.save()
	case n < 78:
		r.trim()
	case n < 80:
		r.reset()
	case n < 86:
		r.reopen()
	case n < 90:
		r.must(r.l.Sync())
	case n < 94:
		r.l.mu.Lock()
		r.l.ring = ring{}
		r.l.mu.Unlock()
	default:
		check(r.t, r.l, r.m)
	}
}

func (r *modelRun) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *modelRun) append() {
	r.t.Helper()
	if r.rnd.IntN(8) == 0 {
		r.epoch += Epoch(1 + r.rnd.IntN(3))
	}
	r.epoch = max(r.epoch, r.m.epoch())
	batches := withGaps(r.rnd, randomBatches(r.rnd, 6, 300))
	for _, b := range batches {
		r.m.append(b, r.epoch)
	}
	r.must(r.l.Append(batches, sameEpoch(batches, r.epoch), flushOf(r.rnd)))
}

func (r *modelRun) truncate() {
	r.t.Helper()
	low := max(r.saved.Index+1, r.m.first)
	i := r.m.boundary(low + Index(r.rnd.IntN(int(r.m.nextIndex()-low)+1)))
	r.must(r.l.TruncateSuffix(i))
	r.m.truncate(i)
}

func (r *modelRun) save() {
	r.t.Helper()
	low, high := max(r.saved.Index, r.m.first-1), r.l.DurableIndex()
	if low > high {
		return
	}
	c := Checkpoint{Index: low + Index(r.rnd.IntN(int(high-low)+1)), State: randomBytes(r.rnd, r.rnd.IntN(50))}
	r.must(r.l.SaveCheckpoint(c))
	r.saved = c
}

func (r *modelRun) trim() {
	r.t.Helper()
	to := r.m.base + Offset(r.rnd.Int64N(int64(r.m.next-r.m.base)+1))
	_, err := r.l.TrimPrefix(to, r.saved.Index)
	r.must(err)
	first := r.l.FirstIndex()
	if first > r.saved.Index+1 || r.l.FirstOffset() > to && first != r.m.first {
		r.t.Fatalf("trimmed to entry %d, offset %d; asked for %d, %d", first, r.l.FirstOffset(), r.saved.Index, to)
	}
	r.m.trim(first)
}

func (r *modelRun) reset() {
	r.t.Helper()
	i, o := Index(1+r.rnd.IntN(1000)), Offset(r.rnd.IntN(1000))
	prev := r.m.epoch() + 1
	state := randomBytes(r.rnd, 1+r.rnd.IntN(9))
	r.must(r.l.Reset(i, o, prev, state))
	r.saved = Checkpoint{Index: i - 1, State: state}
	r.m = &model{first: i, base: o, next: o, prev: prev}
}

func (r *modelRun) reopen() {
	r.t.Helper()
	r.must(r.l.Close())
	l, saved, err := Open(testDir, Options{FS: r.fs, Config: r.config})
	r.must(err)
	if saved.Index != r.saved.Index || string(saved.State) != string(r.saved.State) {
		r.t.Fatalf("checkpoint %+v, want %+v", saved, r.saved)
	}
	if rec := l.Recovery(); rec != (Recovery{}) {
		r.t.Fatalf("after a clean shutdown: %+v", rec)
	}
	r.l = l
	checkState(r.t, r.l, r.m)
}
