package partition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"balsa/internal/invariant"
	"balsa/internal/wire"
	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

// machine is the partition's raft.StateMachine: what follows from the committed entries. The records themselves are the
// log; here are only the high watermark, the log start offset and the idempotent producers.
type machine struct {
	p *Partition

	mu        sync.Mutex // guards producers against the leader's checks, which run beside Apply
	producers *producerTable
}

// Apply takes committed entries.
func (m *machine) Apply(entries []raft.Entry) {
	var bytes int64
	moved := false
	m.mu.Lock()
	hw := m.p.highWatermark()
	for _, e := range entries {
		switch e.Kind {
		case batch.KindData:
			invariant.Check(e.Header.BaseOffset >= hw, "entry %d starts at offset %d, below the high watermark %d",
				e.Index, e.Header.BaseOffset, hw)
			hw = e.Header.NextOffset()
			bytes += int64(e.Header.Length)
			m.producers.applied(e.Header)
		case batch.KindLogStart:
			moved = m.moveLogStart(e.Payload, hw) || moved
		}
	}
	m.p.hw.Store(int64(hw))
	m.mu.Unlock()
	m.p.waiters.each(func(w *Waiter) {
		w.grew(bytes)
		if moved {
			w.wake()
		}
	})
}

func (m *machine) moveLogStart(payload []byte, hw log.Offset) bool {
	invariant.Check(len(payload) == 8, "log start entry of %d bytes", len(payload))
	to := min(log.Offset(binary.BigEndian.Uint64(payload)), hw)
	if to <= m.p.logStartOffset() {
		return false
	}
	m.p.logStart.Store(int64(to))
	if g := m.p.group.Load(); g != nil {
		g.SetLogStart(to)
	}
	return true
}

const machineVersion = 1

// Snapshot encodes high watermark, log start offset and producers.
func (m *machine) Snapshot() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := []byte{machineVersion}
	b = binary.AppendVarint(b, int64(m.p.highWatermark()))
	b = binary.AppendVarint(b, int64(m.p.logStartOffset()))
	return m.producers.appendTo(b)
}

var errMachineState = errors.New("malformed partition state")

// Restore is the inverse of Snapshot.
func (m *machine) Restore(state []byte) error {
	table, hw, start := newProducerTable(), int64(0), int64(0)
	if len(state) > 0 {
		if state[0] != machineVersion {
			return fmt.Errorf("%w: version %d", errMachineState, state[0])
		}
		d := wire.Decoder{B: state[1:]}
		hw, start = d.Varint(), d.Varint()
		if d.Err != nil || start > hw {
			return fmt.Errorf("%w: high watermark %d, log start %d", errMachineState, hw, start)
		}
		var err error
		if table, err = decodeProducers(d.B); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.producers = table
	m.p.hw.Store(hw)
	m.p.logStart.Store(start)
	return nil
}

// LeadershipChanged wakes parked fetches, whose answers have changed.
func (m *machine) LeadershipChanged(raft.Leadership) { m.p.waiters.each((*Waiter).wake) }
