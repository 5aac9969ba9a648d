// Package timers keeps the deadlines of a state machine that is told the time instead of reading a clock.
package timers

import (
	"container/heap"
	"time"
)

// Timer is one deadline. Its zero value is not armed; it must not be copied, and is in at most one Heap.
type Timer struct {
	// Fire is called by Heap.Expire, which has disarmed the timer by then: it may be scheduled again.
	Fire func(now time.Time)

	at    time.Time
	index int // in the heap, plus one; 0 when not armed
}

// Armed says whether the timer waits in a Heap.
func (t *Timer) Armed() bool { return t.index > 0 }

// Heap holds armed timers. Scheduling again what is armed is cheap and leaves nothing behind. It is not safe for concurrent
// use. The zero value is ready.
type Heap struct{ timers ordered }

// Schedule arms t for at, whether or not it was armed before.
func (h *Heap) Schedule(t *Timer, at time.Time) {
	t.at = at
	if t.Armed() {
		heap.Fix(&h.timers, t.index-1)
		return
	}
	heap.Push(&h.timers, t)
}

// Cancel disarms t; it does nothing when t is not armed.
func (h *Heap) Cancel(t *Timer) {
	if t.Armed() {
		heap.Remove(&h.timers, t.index-1)
	}
}

// Next returns the earliest deadline; ok is false when there is none.
func (h *Heap) Next() (at time.Time, ok bool) {
	if len(h.timers) == 0 {
		return time.Time{}, false
	}
	return h.timers[0].at, true
}

// Clear disarms all.
func (h *Heap) Clear() {
	for _, t := range h.timers {
		t.index = 0
	}
	h.timers = nil
}

// Expire fires what is due at now, in the order of the deadlines, including what firing makes due.
func (h *Heap) Expire(now time.Time) {
	for len(h.timers) > 0 && !h.timers[0].at.After(now) {
		t := h.timers[0]
		h.Cancel(t)
		t.Fire(now)
	}
}

// ordered implements heap.Interface.
type ordered []*Timer

func (o ordered) Len() int           { return len(o) }
func (o ordered) Less(i, j int) bool { return o[i].at.Before(o[j].at) }

func (o ordered) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i+1, j+1
}

// Push is heap.Interface's: use Schedule.
func (o *ordered) Push(x any) {
	t := x.(*Timer)
	t.index = len(*o) + 1
	*o = append(*o, t)
}

// Pop is heap.Interface's: use Expire or Cancel.
func (o *ordered) Pop() any {
	old := *o
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*o = old[:len(old)-1]
	t.index = 0
	return t
}
