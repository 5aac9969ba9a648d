package partition

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log/batch"
)

// Marker ends a producer's transaction on a partition.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16 // the producer's epoch from then on: with transaction version 2 one more than its batches had
	CoordinatorEpoch int32
	Commit           bool // else abort
	// TransactionVersion is the finalized transaction.version under which the transaction was ended (KIP-890).
	TransactionVersion int8
}

func (m *Marker) record() batch.EndTransaction {
	return batch.EndTransaction{
		ProducerID: m.ProducerID, ProducerEpoch: m.ProducerEpoch, CoordinatorEpoch: m.CoordinatorEpoch, Commit: m.Commit,
	}
}

// epochBump says whether the epoch rises with each transaction.
func (m *Marker) epochBump() bool { return m.TransactionVersion >= 2 }

// WriteMarker proposes a transaction marker, in order with what is produced: batches proposed before belong to the
// transaction that it ends, later ones to none or the next. It returns without waiting for the disk; the Append tells when
// the marker is committed. A marker may be written again, by a coordinator that does not know what became of the first:
// while that is in flight both get the same Append. Without a transaction here it still fences older epochs.
// Errors: NOT_LEADER_OR_FOLLOWER; INVALID_PRODUCER_EPOCH for an older epoch than the producer's newest, or with transaction
// version 2 for a transaction that is not the open one; TRANSACTION_COORDINATOR_FENCED for a coordinator that has a
// successor. The last two are final.
func (p *Partition) WriteMarker(m Marker) (*Append, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, l, err := p.lead()
	if err != nil {
		return nil, err
	}
	record := m.record()
	b := record.Build(p.now().UnixMilli())
	a := &Append{partition: p, batch: b, header: b.Header(), marker: &m}
	if earlier, err := p.machine.endAhead(a); err != nil || earlier != nil {
		return earlier, err
	}
	p.endVerification(&m)
	if a.proposal = g.ProposeIn(l.Epoch, batch.KindData, b); !a.proposal.Failed() {
		p.produced(&a.header)
	}
	return a, nil
}

// endAhead checks a marker against what is committed and in flight, and remembers it as in flight. It returns the Append
// to wait for when the same marker is in flight already. The caller holds p.mu.
func (m *machine) endAhead(a *Append) (*Append, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := a.marker.ProducerID
	m.forgetFailed(id)
	ahead := m.ahead[id]
	if n := len(ahead); n > 0 && ahead[n-1].marker != nil && *ahead[n-1].marker == *a.marker {
		return ahead[n-1], nil
	}
	if err := m.view(id).checkMarker(a.marker); err != nil {
		return nil, err
	}
	m.ahead[id] = append(ahead, a)
	return nil, nil
}

func (p *producer) checkMarker(m *Marker) error {
	switch {
	case p == nil:
		return nil
	case m.ProducerEpoch < p.epoch, m.epochBump() && m.ProducerEpoch == p.epoch && p.open():
		// With epochs that rise at each end, an open transaction of the marker's own epoch is the one after it: the marker
		// comes late.
		return fmt.Errorf("%w: marker of epoch %d, the producer's newest is %d", kerr.InvalidProducerEpoch, m.ProducerEpoch, p.epoch)
	case m.CoordinatorEpoch < p.coordinatorEpoch:
		return fmt.Errorf("%w: coordinator epoch %d, the newest is %d", kerr.TransactionCoordinatorFenced,
			m.CoordinatorEpoch, p.coordinatorEpoch)
	}
	return nil
}

// Producers returns what this replica knows of the partition's producers, ordered by id (DescribeProducers, KIP-664). A
// follower answers too: who looks for transactions that hang asks each broker about its replicas.
func (p *Partition) Producers() []ProducerState {
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	return p.machine.producers.states()
}
