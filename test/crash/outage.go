package crash

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Outage measures how long writes were impossible after a fault: per partition, the time until a record that was
// written after the fault is acknowledged.
type Outage struct {
	since   time.Time
	lasted  []time.Duration // per partition; 0: still waiting
	waiting int
	over    chan struct{} // closed when all partitions took a write again
}

// Fault starts to measure; call it right before the fault.
func (l *Load) Fault() *Outage {
	o := &Outage{lasted: make([]time.Duration, l.config.Partitions), waiting: int(l.config.Partitions), over: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	o.since = time.Now()
	l.outages[o] = true
	return o
}

// acknowledged takes an acknowledgement; the Load's mutex is held.
func (o *Outage) acknowledged(partition int32, created, now time.Time) {
	if o.lasted[partition] != 0 || !created.After(o.since) {
		return
	}
	o.lasted[partition] = now.Sub(o.since)
	if o.waiting--; o.waiting == 0 {
		close(o.over)
	}
}

// Wait returns each partition's outage once all are over.
func (l *Load) Wait(ctx context.Context, o *Outage) ([]time.Duration, error) {
	var err error
	select {
	case <-o.over:
	case <-ctx.Done():
		err = ctx.Err()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.outages, o)
	if err != nil {
		return nil, fmt.Errorf("%d of %d partitions took no write for %v: %w", o.waiting, len(o.lasted), time.Since(o.since), err)
	}
	return o.lasted, nil
}

// Percentile returns the p-th percentile (0 to 100) of durations by the nearest rank, 0 when there are none.
func Percentile(all []time.Duration, p float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	rank := int(p/100*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}
