package partition

import "sync"

// gate lets a number of users in at once, which can change.
type gate struct {
	mu     sync.Mutex
	moved  sync.Cond
	size   int
	inside int
}

func newGate(size int) *gate {
	g := &gate{size: max(size, 1)}
	g.moved.L = &g.mu
	return g
}

// resize changes how many may be inside. Who is inside stays.
func (g *gate) resize(size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size = max(size, 1)
	g.moved.Broadcast()
}

// enter waits for a place.
func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside >= g.size {
		g.moved.Wait()
	}
	g.inside++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.moved.Signal()
}
