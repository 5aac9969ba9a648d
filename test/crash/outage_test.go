package crash

import (
	"testing"
	"time"
)

func TestOutageCountsOnlyRecordsWrittenAfterTheFault(t *testing.T) {
	l := &Load{config: LoadConfig{Partitions: 2}, outages: map[*Outage]bool{}}
	o := l.Fault()
	before, after := o.since.Add(-time.Millisecond), o.since.Add(time.Millisecond)
	o.acknowledged(0, before, o.since.Add(2*time.Millisecond)) // written before: proves nothing
	o.acknowledged(0, after, o.since.Add(3*time.Millisecond))
	o.acknowledged(0, after, o.since.Add(9*time.Millisecond)) // only the first counts
	select {
	case <-o.over:
		t.Fatal("over while partition 1 still waits")
	default:
	}
	o.acknowledged(1, after, o.since.Add(7*time.Millisecond))
	got, err := l.Wait(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got[0] != 3*time.Millisecond || got[1] != 7*time.Millisecond {
		t.Errorf("outages %v, want 3ms and 7ms", got)
	}
}

func TestPercentile(t *testing.T) {
	var all []time.Duration
	for i := 100; i > 0; i-- {
		all = append(all, time.Duration(i))
	}
	for p, want := range map[float64]time.Duration{0: 1, 1: 1, 50: 50, 99: 99, 99.9: 100, 100: 100} {
		if got := Percentile(all, p); got != want {
			t.Errorf("Percentile(1..100, %v) = %d, want %d", p, got, want)
		}
	}
	if got := Percentile(nil, 50); got != 0 {
		t.Errorf("Percentile(nil) = %v", got)
	}
}
