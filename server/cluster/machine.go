package cluster

import (
	"context"
	"fmt"
	"sync"

	"balsa/internal/invariant"
	"balsa/raft"
)

// Machine is the metadata group's raft.StateMachine. Its readers see immutable images and never wait for it; all methods
// that are not raft.StateMachine's are safe for concurrent use.
type Machine struct {
	images      *latest[*Image]
	leaderships *latest[raft.Leadership]

	mu       sync.Mutex
	outcomes map[uint64]chan<- Outcome // by nonce: proposals of this node that somebody waits for
}

var _ raft.StateMachine = (*Machine)(nil)

// Outcome says what became of an entry that was committed.
type Outcome struct {
	// Applied is false when the entry was left out because its Base was not the current image.
	Applied bool
	Version uint64 // of the image after it
}

// NewMachine returns a machine with an empty image.
func NewMachine() *Machine {
	return &Machine{
		images:      newLatest(NewImage()),
		leaderships: newLatest(raft.Leadership{Leader: raft.NoNode}),
		outcomes:    map[uint64]chan<- Outcome{},
	}
}

// Image returns the current image.
func (m *Machine) Image() *Image {
	img, _ := m.images.get()
	return img
}

// Watch returns the current image and a channel that is closed when there is a later one.
func (m *Machine) Watch() (*Image, <-chan struct{}) { return m.images.get() }

// WatchLeadership returns who leads the metadata group and a channel that is closed when that changes.
func (m *Machine) WatchLeadership() (raft.Leadership, <-chan struct{}) { return m.leaderships.get() }

// WaitVersion returns the first image it sees whose version is at least version, or ctx's error.
func (m *Machine) WaitVersion(ctx context.Context, version uint64) (*Image, error) {
	for {
		img, changed := m.images.get()
		if img.Version >= version {
			return img, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for metadata version %d, have %d: %w", version, img.Version, ctx.Err())
		}
	}
}

// Expect returns a channel that gets the outcome of the entry with nonce when it is applied here. Call it before
// proposing, and Forget afterwards.
func (m *Machine) Expect(nonce uint64) <-chan Outcome {
	c := make(chan Outcome, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outcomes[nonce] = c
	return c
}

// Forget drops what Expect registered.
func (m *Machine) Forget(nonce uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.outcomes, nonce)
}

// Apply implements raft.StateMachine. An entry that this release cannot read ends the process: going on would mean another
// image than the other brokers'.
func (m *Machine) Apply(entries []raft.Entry) {
	img := m.Image()
	type settled struct {
		nonce   uint64
		outcome Outcome
	}
	outcomes := make([]settled, 0, len(entries))
	for _, raw := range entries {
		e, err := DecodeEntry(raw.Payload)
		invariant.Check(err == nil, "metadata entry %d: %v", raw.Index, err)
		applied := e.Base == img.Version
		if applied {
			img = img.Apply(uint64(raw.Index), e.Records)
		}
		outcomes = append(outcomes, settled{e.Nonce, Outcome{Applied: applied, Version: img.Version}})
	}
	if img != m.Image() {
		m.images.publish(img)
	}
	// After the image, so that a proposer that learns its outcome finds it applied.
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range outcomes {
		if c := m.outcomes[s.nonce]; c != nil {
			c <- s.outcome
			delete(m.outcomes, s.nonce)
		}
	}
}

// Snapshot implements raft.StateMachine.
func (m *Machine) Snapshot() []byte { return m.Image().Snapshot() }

// Restore implements raft.StateMachine.
func (m *Machine) Restore(state []byte) error {
	img := NewImage()
	if state != nil {
		var err error
		if img, err = RestoreImage(state); err != nil {
			return err
		}
	}
	m.images.publish(img)
	return nil
}

// LeadershipChanged implements raft.StateMachine.
func (m *Machine) LeadershipChanged(l raft.Leadership) { m.leaderships.publish(l) }
