//go:build queue

package queue

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"balsa/test/harness"
)

// slot is the place of one worker.
type slot struct {
	*harness.Process
	worker int // number of the process, counted from 0 over all slots
	tail   *Tail
	last   int64     // when its last journal entry was made
	wakes  time.Time // when it is to go on, if it is paused
}

// staff are the workers and what they noted. One goroutine sees to it.
type staff struct {
	s       *suite
	binary  string
	slots   []*slot
	started int
	checker *Checker
	count   map[string]int // faults, and what workers did to themselves
}

// hire starts n workers.
func (s *suite) hire(n int, c *Checker) *staff {
	s.Helper()
	binary, err := harness.BuildPackage(s.Dir, "worker", "./test/queue/worker")
	s.Must(err)
	f := &staff{s: s, binary: binary, checker: c, count: map[string]int{}}
	for range n {
		f.slots = append(f.slots, &slot{})
	}
	for i := range f.slots {
		f.fill(i)
	}
	return f
}

// fill starts a new process in slot i. Every third worker acquires whole batches of records, and what its client has not
// been asked for waits there.
func (f *staff) fill(i int) {
	f.s.Helper()
	sl, n := f.slots[i], f.started
	f.started++
	journal := filepath.Join(f.s.Dir, fmt.Sprintf("journal-%d", n))
	sl.worker, sl.tail, sl.last, sl.wakes = n, NewTail(journal), 0, time.Time{}
	sl.Process = &harness.Process{
		Name: fmt.Sprintf("worker %d", n),
		Log:  filepath.Join(f.s.Dir, fmt.Sprintf("worker-%d.log", i)),
		Argv: []string{
			f.binary, "-brokers", strings.Join(f.s.Brokers, ","), "-group", group, "-topic", topic, "-journal", journal,
			"-lock", lockTime.String(), "-seed", fmt.Sprint(*seed), fmt.Sprintf("-strict=%t", i%3 != 0), "-batch", fmt.Sprint(5 + i%4*10),
		},
	}
	f.s.Spawn(sl.Process)
}

// attend reads the journals, wakes up the paused, and fills the places of workers that ended.
func (f *staff) attend() {
	f.s.Helper()
	for i, sl := range f.slots {
		running := sl.Running() // before the journal is read to its end
		f.read(sl)
		switch {
		case !running:
			f.count[endOf(sl)]++
			f.checker.Died(sl.worker, sl.last)
			f.fill(i)
		case !sl.wakes.IsZero() && time.Now().After(sl.wakes):
			sl.wakes = time.Time{}
			f.s.Must(sl.Signal(syscall.SIGCONT))
		}
	}
}

// endOf says how a worker ended that nobody killed.
func endOf(sl *slot) string {
	if harness.KilledBy(sl.Stop(0), syscall.SIGKILL) {
		return "worker died"
	}
	return "worker gave up"
}

func (f *staff) read(sl *slot) {
	f.s.Helper()
	f.s.Must(sl.tail.Next(func(e Entry) {
		sl.last = e.At
		f.checker.Entry(sl.worker, e)
	}))
}

// disturb kills a worker, or pauses it for longer than its locks last.
func (f *staff) disturb() {
	f.s.Helper()
	i := f.s.Rand.IntN(len(f.slots))
	sl := f.slots[i]
	if !sl.Running() || !sl.wakes.IsZero() {
		return
	}
	if f.s.Rand.IntN(2) == 0 {
		if err := sl.Signal(syscall.SIGSTOP); err == nil {
			sl.wakes = time.Now().Add(lockTime + f.s.Random(lockTime))
			f.count["worker paused"]++
		}
		return
	}
	at := time.Now().UnixNano()
	if err := sl.Kill(); err != nil {
		return // it ended by itself just now; attend sees to it
	}
	f.read(sl)
	f.checker.Died(sl.worker, at)
	f.count["worker killed"]++
	f.fill(i)
}

// dismiss lets the workers leave.
func (f *staff) dismiss() {
	f.s.Helper()
	for _, sl := range f.slots {
		if !sl.wakes.IsZero() {
			f.s.Must(sl.Signal(syscall.SIGCONT))
		}
		if sl.Running() {
			f.s.Dismiss(sl.Process)
		}
		f.read(sl)
	}
}
