package partition

import (
	"context"
	"sync"
	"time"
)

// pacer lets bytes pass at a rate, all users together: each waits until its share, and those taken before, are paid for.
type pacer struct {
	mu      sync.Mutex
	rate    float64       // bytes per second; 0 or less: no bound
	paid    time.Time     // until when what was taken uses up the rate
	changed chan struct{} // closed when there is another rate
}

func newPacer(rate float64) *pacer { return &pacer{rate: rate, changed: make(chan struct{})} }

// setRate changes the rate. Who waits goes on: what was taken at the old rate, which may be next to nothing, counts no more.
func (p *pacer) setRate(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if rate == p.rate {
		return
	}
	p.rate, p.paid = rate, time.Time{}
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait takes so many bytes. It fails when ctx ends.
func (p *pacer) wait(ctx context.Context, bytes int) error {
	pause, changed := p.take(bytes, time.Now())
	if pause <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-timer.C:
	}
	return nil
}

// take returns how long to wait for so many bytes, unless the rate changes.
func (p *pacer) take(bytes int, now time.Time) (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate <= 0 {
		return 0, p.changed
	}
	if p.paid.Before(now) {
		p.paid = now
	}
	const forever = 365 * 24 * time.Hour // a sum of a few is still a duration
	pause := min(float64(bytes)/p.rate*float64(time.Second), float64(forever))
	p.paid = p.paid.Add(time.Duration(pause))
	return p.paid.Sub(now), p.changed
}
