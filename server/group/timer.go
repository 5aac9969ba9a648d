package group

import (
	"container/heap"
	"time"
)

// timer is one deadline of a group or member. It is in at most one heap.
type timer struct {
	at    time.Time
	index int // in the heap, plus one; 0 when not scheduled
	fire  func(now time.Time)
}

// timers is a heap of deadlines: rescheduling is what heartbeats do, so it must not leave garbage behind.
type timers struct{ heap timerHeap }

// schedule arms t for at, whether or not it was armed before.
func (ts *timers) schedule(t *timer, at time.Time) {
	t.at = at
	if t.index > 0 {
		heap.Fix(&ts.heap, t.index-1)
		return
	}
	heap.Push(&ts.heap, t)
}

// cancel disarms t; no-op when it is not armed.
func (ts *timers) cancel(t *timer) {
	if t.index > 0 {
		heap.Remove(&ts.heap, t.index-1)
	}
}

// next returns the earliest deadline.
func (ts *timers) next() (time.Time, bool) {
	if len(ts.heap) == 0 {
		return time.Time{}, false
	}
	return ts.heap[0].at, true
}

// clear disarms all.
func (ts *timers) clear() {
	for _, t := range ts.heap {
		t.index = 0
	}
	ts.heap = nil
}

// expire fires what is due, in order, including what firing makes due.
func (ts *timers) expire(now time.Time) {
	for len(ts.heap) > 0 && !ts.heap[0].at.After(now) {
		t := ts.heap[0]
		ts.cancel(t)
		t.fire(now)
	}
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h) + 1
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = 0
	return t
}
