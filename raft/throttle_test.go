package raft

import (
	"math"
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	h := &Host{}
	now := time.Unix(1000, 0)
	if d := h.throttle.reserve(now, 1<<40); d != 0 {
		t.Errorf("without a bound: waits %v", d)
	}
	h.ThrottleLearners(1000)
	for i, want := range []time.Duration{0, time.Second / 2, time.Second} {
		if d := h.throttle.reserve(now, 500); d != want {
			t.Errorf("half a second's bytes, the %d. time: waits %v, want %v", i+1, d, want)
		}
	}
	if d := h.throttle.reserve(now.Add(time.Minute), 1); d != 0 {
		t.Errorf("after a pause: waits %v", d)
	}
	if h.ThrottleLearners(math.MaxInt64); h.throttle.rate.Load() != 0 {
		t.Error("Kafka's default is a bound")
	}
}

// A slow learner holds up nobody: the others go on to commit.
func TestThrottledLearnerHoldsUpNobody(t *testing.T) {
	c := newGrowingCluster(t, 4, 3, everyAppend)
	want := c.write("a", 200)
	leader := c.leader()
	leader.host.ThrottleLearners(2000) // what is there takes seconds
	if err := leader.group.addLearner(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	want = append(want, c.write("b", 50)...)
	leader.host.ThrottleLearners(0)
	c.drive(1, 2, 3, 4)
	c.same(want)
}
