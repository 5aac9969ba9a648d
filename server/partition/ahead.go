package partition

import (
	"errors"
	"slices"

	"balsa/log/batch"
	"balsa/raft"
)

// view returns what will be known of a producer when all in flight is committed; nil for nothing. The result is the
// caller's. The caller holds m.mu.
func (m *machine) view(id int64) *producer {
	committed, ahead := m.producers.producers[id], m.ahead[id]
	if committed == nil && len(ahead) == 0 {
		return nil
	}
	var v *producer
	if committed != nil {
		c := *committed
		c.batches = slices.Clone(committed.batches)
		v = &c
	} else {
		v = newProducer(ahead[0].header.ProducerEpoch)
	}
	for _, a := range ahead {
		if a.marker != nil {
			v.end(a.marker.record(), a.header.MaxTimestamp)
		} else {
			v.append(a.header)
		}
	}
	return v
}

// landed takes a committed batch out of those that are ahead.
func (m *machine) landed(h batch.Header) {
	ahead := m.ahead[h.ProducerID]
	i := slices.IndexFunc(ahead, func(a *Append) bool { return a.matches(h) })
	if i < 0 {
		return
	}
	m.setAhead(h.ProducerID, slices.Delete(ahead, i, i+1))
}

func (m *machine) setAhead(id int64, ahead []*Append) {
	if len(ahead) == 0 {
		delete(m.ahead, id) // most producers never come back
		return
	}
	m.ahead[id] = ahead
}

// forgetFailed drops what will never be committed. The caller holds m.mu and p.mu.
func (m *machine) forgetFailed(id int64) {
	if ahead := m.ahead[id]; len(ahead) > 0 {
		m.setAhead(id, slices.DeleteFunc(ahead, (*Append).failed))
	}
}

// failed says whether a settled without being written. What was in flight when leadership went may still be committed, so
// it counts until the next term of this leader, which begins with everything applied: a retry must not be taken for new
// in the moment before this replica learns that it leads no more.
func (a *Append) failed() bool {
	return a.Settled() && !errors.Is(a.proposal.Err(), raft.ErrLeadershipLost)
}

// forgetFailed does so for all producers.
func (p *Partition) forgetFailed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	for id := range p.machine.ahead {
		p.machine.forgetFailed(id)
	}
}

// matches says whether a is the batch with header h.
func (a *Append) matches(h batch.Header) bool {
	return a.header.ProducerEpoch == h.ProducerEpoch && a.header.BaseSequence == h.BaseSequence &&
		a.header.LastOffsetDelta == h.LastOffsetDelta && a.header.IsControl() == h.IsControl()
}
