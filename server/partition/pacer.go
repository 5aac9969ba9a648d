package partition

import (
	"context"
	"sync"
	"time"
)

// pacer lets bytes pass at a rate, all users together: each waits until its share, and those taken before, are paid for.
type pacer struct {
	rate float64 // bytes per second; 0: no bound

	mu   sync.Mutex
	paid time.Time // until when what was taken uses up the rate
}

// wait takes so many bytes. It fails when ctx ends.
func (p *pacer) wait(ctx context.Context, bytes int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(p.take(bytes, time.Now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take returns how long to wait for so many bytes.
func (p *pacer) take(bytes int, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.paid.Before(now) {
		p.paid = now
	}
	p.paid = p.paid.Add(time.Duration(float64(bytes) / p.rate * float64(time.Second)))
	return p.paid.Sub(now)
}
