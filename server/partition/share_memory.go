package partition

import (
	"slices"
	"sync"
)

// ShareMemory bounds the bytes of records that share fetches hold in memory, over all connections, from when they are read until they
// are sent. Who finds no room waits in a queue, and holds nothing meanwhile, so nobody waits for who waits. One that is alone gets what
// it needs, also beyond the bound: a batch may be larger. Safe for concurrent use. A nil one is without bound.
type ShareMemory struct {
	limit int64

	mu    sync.Mutex
	held  int64
	queue []*ShareClaim // the oldest first
}

// NewShareMemory returns a ShareMemory of so many bytes.
func NewShareMemory(bytes int64) *ShareMemory { return &ShareMemory{limit: bytes} }

// shareMemoryParts is of how many fetches that take all they can the memory is enough for: some clients are slow to take their answers.
const shareMemoryParts = 16

// Most is how many bytes one fetch should ask for at most.
func (m *ShareMemory) Most(asked int) int {
	if m == nil {
		return asked
	}
	return int(min(int64(asked), max(m.limit/shareMemoryParts, 1)))
}

// ShareClaim is what one share fetch holds of a ShareMemory. It belongs to one goroutine at a time. A nil one is without bound.
type ShareClaim struct {
	memory *ShareMemory
	kept   int64 // bytes of records that were acquired

	// Guarded by memory.mu:
	held    int64         // kept, and what is granted for more
	wants   int64         // what it was refused last; 0: nothing
	granted chan struct{} // while in the queue
}

// Claim returns a claim that holds nothing.
func (m *ShareMemory) Claim() *ShareClaim {
	if m == nil {
		return nil
	}
	return &ShareClaim{memory: m}
}

// Grow makes room for n bytes more than are kept; false when there is none. Others come first who have nothing yet and wait.
func (c *ShareClaim) Grow(n int64) bool {
	if c == nil {
		return true
	}
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	more := c.kept + n - c.held
	switch {
	case more <= 0:
	case len(m.queue) == 0 && m.fits(c, more):
		c.held += more
		m.held += more
	default:
		if c.kept == 0 {
			c.wants = n
		}
		return false
	}
	return true
}

// fits says whether there is room for so many bytes more. The caller holds m.mu.
func (m *ShareMemory) fits(c *ShareClaim, more int64) bool {
	return m.held+more <= m.limit || m.held == c.held && c.kept == 0
}

// Keep notes that n of the bytes that there is room for will stay until Release.
func (c *ShareClaim) Keep(n int) {
	if c != nil {
		c.kept += int64(n)
	}
}

// Settle gives back what is not kept.
func (c *ShareClaim) Settle() {
	if c == nil {
		return
	}
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held -= c.held - c.kept
	c.held = c.kept
	m.grant()
}

// Queue returns a channel that is closed when there is room for what was refused last; nil when nothing was.
func (c *ShareClaim) Queue() <-chan struct{} {
	if c == nil {
		return nil
	}
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if c.wants == 0 {
		return nil
	}
	if c.granted == nil {
		c.granted = make(chan struct{})
		m.queue = append(m.queue, c)
	}
	granted := c.granted
	m.grant()
	return granted
}

// Leave takes the claim out of the queue. What was granted meanwhile it keeps until it settles.
func (c *ShareClaim) Leave() {
	if c == nil {
		return
	}
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = slices.DeleteFunc(m.queue, func(other *ShareClaim) bool { return other == c })
	c.granted, c.wants = nil, 0
	m.grant()
}

// Release gives back everything. It may be called more than once.
func (c *ShareClaim) Release() {
	if c == nil {
		return
	}
	c.Leave()
	c.kept = 0
	c.Settle()
}

// grant lets in whose turn it is, as far as there is room. The caller holds m.mu.
func (m *ShareMemory) grant() {
	for len(m.queue) > 0 {
		c := m.queue[0]
		if !m.fits(c, c.wants) {
			return
		}
		m.queue = m.queue[1:]
		m.held += c.wants
		c.held += c.wants
		c.wants = 0
		close(c.granted)
		c.granted = nil
	}
}
