package timers

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestTimersFireInOrder(t *testing.T) {
	var h Heap
	start := time.Unix(1000, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	all := make([]*Timer, 200)
	due := make([]time.Time, len(all))
	var fired []time.Time
	for i := range all {
		all[i] = &Timer{}
		all[i].Fire = func(time.Time) { fired = append(fired, due[i]) }
	}
	for range 2000 {
		i := rng.IntN(len(all))
		if rng.IntN(3) == 0 {
			h.Cancel(all[i])
			continue
		}
		due[i] = start.Add(time.Duration(rng.IntN(10_000)) * time.Millisecond)
		h.Schedule(all[i], due[i])
	}
	armed := 0
	for _, timer := range all {
		if timer.Armed() {
			armed++
		}
	}
	for {
		at, ok := h.Next()
		if !ok {
			break
		}
		before := len(fired)
		h.Expire(at.Add(-1))
		if len(fired) != before {
			t.Fatalf("something fired before %v", at)
		}
		h.Expire(at)
	}
	if len(fired) != armed || !slices.IsSortedFunc(fired, time.Time.Compare) {
		t.Errorf("%d of %d armed timers fired: %v", len(fired), armed, fired)
	}
}

func TestTimerArmsItselfAgain(t *testing.T) {
	var h Heap
	now := time.Unix(0, 0)
	n := 0
	var timer Timer
	timer.Fire = func(at time.Time) {
		if n++; n < 3 {
			h.Schedule(&timer, at) // due at once
		}
	}
	h.Schedule(&timer, now)
	h.Expire(now)
	if n != 3 || timer.Armed() {
		t.Errorf("fired %d times, armed %v", n, timer.Armed())
	}
	h.Schedule(&timer, now)
	h.Clear()
	h.Expire(now.Add(time.Hour))
	if _, ok := h.Next(); ok || n != 3 || timer.Armed() {
		t.Errorf("a cleared timer is armed, or fired: %d times", n)
	}
	h.Cancel(&timer)
}
