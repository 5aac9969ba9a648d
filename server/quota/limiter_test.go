package quota

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) wait(d time.Duration)    { c.t = c.t.Add(d) }
func about(got, want time.Duration) bool { return (got - want).Abs() < time.Millisecond }

func newClock() *clock { return &clock{time.Unix(1000, 0)} }

func TestUse(t *testing.T) {
	c := newClock()
	l := NewLimiter(c.now)
	k := Key{Kind: Produce, User: "u"}
	if d := l.Use(k, 100, 1000); d != 0 {
		t.Errorf("all that was saved up: wait %v", d)
	}
	if d := l.Use(k, 100, 50); !about(d, 500*time.Millisecond) {
		t.Errorf("50 beyond at 100 per second: wait %v", d)
	}
	if d := l.Use(k, 100, 50); !about(d, time.Second) {
		t.Errorf("100 beyond: wait %v", d)
	}
	if d := l.Use(Key{Kind: Fetch, User: "u"}, 100, 50); d != 0 {
		t.Errorf("another kind: wait %v", d)
	}
	c.wait(time.Second)
	if d := l.Wait(k, 100); d != 0 {
		t.Errorf("after the wait: wait %v", d)
	}
	if d := l.Use(k, 100, 1); !about(d, 10*time.Millisecond) {
		t.Errorf("nothing saved up: wait %v", d)
	}
	c.wait(time.Hour)
	if d := l.Use(k, 100, 1001); !about(d, 10*time.Millisecond) {
		t.Errorf("saved up for an hour, which is not more than for the window: wait %v", d)
	}
}

// TestRateChanges: what was used before a change counts as used after it.
func TestRateChanges(t *testing.T) {
	c := newClock()
	l := NewLimiter(c.now)
	k := Key{Kind: Fetch}
	l.Use(k, 100, 2000) // 1000 too many
	if d := l.Wait(k, 1000); d != 0 {
		t.Errorf("2000 of 10000: wait %v", d)
	}
	if d := l.Wait(k, 10); !about(d, 190*time.Second) {
		t.Errorf("1900 too many at 10 per second: wait %v", d)
	}
}

func TestHugeWaits(t *testing.T) {
	l := NewLimiter(newClock().now)
	for _, rate := range []float64{0, 1e-300, 1} {
		k := Key{ClientID: fmt.Sprint(rate)}
		for _, n := range []float64{1e300, math.MaxFloat64, math.MaxFloat64} {
			if d := l.Use(k, rate, n); d != longest {
				t.Errorf("rate %v, %v: wait %v", rate, n, d)
			}
		}
	}
}

// TestSweep: however many clients come and go, only those that have something to pay are remembered, and they all are.
func TestSweep(t *testing.T) {
	c := newClock()
	l := NewLimiter(c.now)
	debtor := Key{ClientID: "debtor"}
	l.Use(debtor, 1, 10+3600)
	for i := range 10_000 {
		l.Use(Key{ClientID: fmt.Sprint(i)}, 1000, 1)
		c.wait(100 * time.Millisecond)
		if len(l.buckets) > 2*minSweep {
			t.Fatalf("%d buckets after %d clients", len(l.buckets), i)
		}
	}
	if d := l.Wait(debtor, 1); !about(d, 3600*time.Second-1000*time.Second) {
		t.Errorf("the debtor waits %v", d)
	}
}

// TestAverage: whatever a client does, as long as it waits as it is told, it uses no more than its rate and what it may save up.
func TestAverage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		c := newClock()
		l := NewLimiter(c.now)
		rate := math.Exp(rng.Float64() * 20)
		used, last := 0.0, 0.0
		begin := c.t
		for range 1000 {
			last = rng.Float64() * rate * 3
			used += last
			c.wait(l.Use(Key{}, rate, last) + time.Duration(rng.IntN(2)*rng.IntN(int(2*time.Second))))
		}
		if most := Burst(rate) + rate*(c.t.Sub(begin).Seconds()+0.01) + last; used > most {
			t.Errorf("rate %v: used %v in %v, at most %v", rate, used, c.t.Sub(begin), most)
		}
	}
}
