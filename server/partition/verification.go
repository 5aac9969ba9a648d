package partition

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log/batch"
	"balsa/raft"
)

// Verification stands for a question to the transaction coordinator: whether this partition belongs to a producer's
// transaction. Batches that begin a transaction here come with one. If a marker is written between the question and the
// append, the answer may be about a transaction that has ended since, so the append must fail: nothing would ever end the
// transaction that it begins (KIP-890). Its fields are guarded by Partition.mu.
type Verification struct {
	leading   raft.Leadership // in whose term it was begun
	epoch     int16
	lowest    int32 // the lowest sequence number that waits for the answer; -1 once the first batch was appended
	epochBump bool  // the producer's epoch rises with each transaction: transaction version 2
	users     int
	ended     bool // a marker was written since
}

// Verify begins a Verification for the batch with header h, of which nothing but its fields need be valid. It returns nil
// when the producer's transaction is open on this partition already, or the batch repeats one that is stored, so that
// there is nothing to ask. Whoever gets a Verification releases it. Errors: NOT_LEADER_OR_FOLLOWER.
func (p *Partition) Verify(h batch.Header, epochBump bool) (*Verification, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, l, err := p.lead()
	if err != nil {
		return nil, err
	}
	if p.machine.isOpen(h) {
		return nil, nil
	}
	v := p.verifying[h.ProducerID]
	switch {
	case v == nil:
		v = &Verification{leading: l, epoch: h.ProducerEpoch, lowest: h.BaseSequence, epochBump: epochBump}
		p.verifying[h.ProducerID] = v
	case h.ProducerEpoch > v.epoch:
		v.epoch, v.lowest = h.ProducerEpoch, h.BaseSequence
	case h.ProducerEpoch == v.epoch:
		v.lowest = min(v.lowest, h.BaseSequence)
	}
	v.users++
	return v, nil
}

// isOpen says whether a batch with header h continues a transaction, counting what is in flight.
func (m *machine) isOpen(h batch.Header) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetFailed(h.ProducerID)
	v := m.view(h.ProducerID)
	if v == nil || v.epoch != h.ProducerEpoch {
		return false
	}
	if v.open() {
		return true
	}
	duplicate, _ := v.check(h, nil)
	return duplicate != nil
}

// Release ends the Verification; nil needs none.
func (p *Partition) Release(h batch.Header, v *Verification) {
	if v == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v.users--
	if v.users == 0 && p.verifying[h.ProducerID] == v {
		delete(p.verifying, h.ProducerID)
	}
}

// stillHolds checks that what the coordinator answered is about the present. The caller holds p.mu.
func (v *Verification) stillHolds(now raft.Leadership) error {
	switch {
	case v == nil:
		return nil
	case v.leading != now:
		return fmt.Errorf("%w: leadership changed while the transaction was verified", kerr.NotLeaderForPartition)
	case v.ended:
		return fmt.Errorf("%w: the transaction ended while it was verified", kerr.InvalidTxnState)
	}
	return nil
}

// passed takes note that the first batch was appended: from there on the producer's state keeps the order. The caller
// holds Partition.mu.
func (v *Verification) passed() {
	if v != nil {
		v.lowest = -1
	}
}

// endVerification invalidates what is being asked about the transaction that m ends. With transaction version 2 a marker has
// the epoch of the transaction that comes next, which may be asked about already: a client need not wait for the markers.
// The caller holds p.mu.
func (p *Partition) endVerification(m *Marker) {
	v := p.verifying[m.ProducerID]
	if v == nil || v.epoch > m.ProducerEpoch || m.epochBump() && v.epoch == m.ProducerEpoch {
		return
	}
	v.ended = true
	delete(p.verifying, m.ProducerID)
}
