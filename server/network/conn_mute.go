package network

import (
	"math"
	"sync"
	"time"

	"balsa/server/quota"
)

// mute keeps a connection from being read from for a while (KIP-219): its client was told to wait, and is made to. The zero value
// does not. Safe for concurrent use.
type mute struct {
	mu    sync.Mutex
	until time.Time
}

// extend mutes for d from now, if it is not muted for longer already.
func (m *mute) extend(d time.Duration) {
	if d <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if until := time.Now().Add(d); until.After(m.until) {
		m.until = until
	}
}

// left returns for how much longer it lasts; 0 or less: no longer.
func (m *mute) left() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.until.IsZero() {
		return 0
	}
	return time.Until(m.until)
}

// unmuted waits until the client may go on. What it sends meanwhile stays in the kernel, which makes it wait in turn.
func (c *conn) unmuted() error {
	for {
		left := c.mute.left()
		if left <= 0 {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-c.waiting.Done():
			timer.Stop()
			return c.waiting.Err()
		}
	}
}

// longestHoldUp bounds how long a connection that will not be served is kept, and its resources with it.
const longestHoldUp = time.Second

// holdUp closes the connection after a while, during which it counts as one: a client that connects again and again is slowed down.
func (c *conn) holdUp(wait time.Duration) {
	c.mute.extend(min(wait, longestHoldUp))
	if err := c.unmuted(); err != nil {
		c.listener.logger.Debug("a connection that was held up is closed early", "peer", c.peer, "err", err)
	}
	c.cut()
}

// pace counts an accepted connection, and when more are accepted than perSecond, waits before the next one is: clients wait in the
// kernel's queue meanwhile (KIP-612). It returns false when the listener closes.
func (l *Listener) pace(perSecond float64) bool {
	if math.IsInf(perSecond, 1) {
		return true
	}
	wait := l.accepted.Use(quota.Key{Kind: quota.Connections}, perSecond, 1)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}
