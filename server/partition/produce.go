package partition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

// Append is a produced batch, or a transaction marker, on its way.
type Append struct {
	partition *Partition
	batch     batch.Batch
	proposal  *raft.Proposal // nil for a duplicate of a batch that is committed already
	header    batch.Header   // as produced
	duplicate sequenced      // the batch that it repeats, without a proposal
	marker    *Marker        // nil for a produced batch

	once sync.Once
	base log.Offset // set by once, when settled
}

// Produced is the outcome of an Append.
type Produced struct {
	BaseOffset     log.Offset
	LogAppendTime  int64 // ms since the epoch, or -1 with message.timestamp.type=CreateTime
	LogStartOffset log.Offset
}

// Produce validates b (leadership, size, checksum, records, timestamps, idempotence, transaction) and proposes it. It
// returns without waiting for the disk; the order of calls is the order in the log. b is changed in place and must stay
// untouched until the Append is settled. A batch that begins a transaction here needs a Verification to which the
// coordinator said yes; others need none. Errors: NOT_LEADER_OR_FOLLOWER, CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE,
// INVALID_TIMESTAMP, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, KAFKA_STORAGE_ERROR.
func (p *Partition) Produce(b batch.Batch, v *Verification) (*Append, error) {
	return p.produce(b, v, raft.SpaceAmple)
}

// ProduceDeadLetters is Produce for dead letters, which may be written while space is low: what they are of is not deleted before.
func (p *Partition) ProduceDeadLetters(b batch.Batch) (*Append, error) {
	return p.produce(b, nil, raft.SpaceLow)
}

// produce is Produce with the least space that this may be written into.
func (p *Partition) produce(b batch.Batch, v *Verification, least raft.Space) (*Append, error) {
	g, _, err := p.leader(-1)
	if err != nil {
		return nil, err // before spending time on the records
	}
	if g.Space() > least {
		return nil, fmt.Errorf("%w: disk full", kerr.KafkaStorageError)
	}
	b, h, err := p.validate(b)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g, l, err := p.lead()
	if err != nil {
		return nil, err
	}
	if err := v.stillHolds(l); err != nil {
		return nil, err
	}
	h.BaseOffset = 0 // the log numbers it; what the client says means nothing
	a := &Append{partition: p, batch: b, header: h}
	if h.ProducerID >= 0 {
		if earlier, err := p.machine.sequence(a, v); err != nil || earlier != nil {
			return earlier, err
		}
		v.passed()
	}
	a.proposal = g.ProposeIn(l.Epoch, batch.KindData, b)
	if a.proposal.Failed() {
		return a, nil
	}
	p.handOff(l, b, h, p.produced(&h))
	return a, nil
}

// lead is leader for what proposes: it forgets what was in flight in an earlier term, which is settled by what this
// leader applied before it became ready. The caller holds p.mu.
func (p *Partition) lead() (*raft.Group, raft.Leadership, error) {
	g, l, err := p.leader(-1)
	if err != nil || l == p.leading {
		return g, l, err
	}
	// What is in the log now is all that comes before what is proposed from here on; in a term that is over by now nothing is written.
	p.leading, p.next = l, p.plog.NextOffset()
	p.parked.forgetHanded("") // what was not appended never is
	clear(p.verifying)
	p.machine.mu.Lock()
	defer p.machine.mu.Unlock()
	clear(p.machine.ahead)
	return g, l, nil
}

// sequence checks a producer's batch against what is committed and what is in flight. It returns the Append to wait for
// when the batch is a repetition, else remembers a as in flight. The caller holds p.mu.
func (m *machine) sequence(a *Append, v *Verification) (*Append, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := a.header.ProducerID
	m.forgetFailed(id)
	duplicate, err := m.view(id).check(a.header, v)
	if err != nil {
		return nil, err
	}
	if duplicate == nil {
		m.ahead[id] = append(m.ahead[id], a)
		return nil, nil
	}
	for _, e := range m.ahead[id] {
		if e.matches(a.header) {
			return e, nil
		}
	}
	a.duplicate, a.batch = *duplicate, nil
	return a, nil
}

// Settled says whether the outcome is known, so that the batch's memory may be reused.
func (a *Append) Settled() bool {
	if a.proposal == nil {
		return true
	}
	if !a.proposal.Settled() {
		return false
	}
	a.resolve()
	return true
}

// Wait returns when the batch is committed or failed, or with REQUEST_TIMED_OUT when ctx ends (it may still be committed).
// NOT_LEADER_OR_FOLLOWER tells the client to retry elsewhere; an idempotent retry finds out what became of the batch.
func (a *Append) Wait(ctx context.Context) (Produced, error) {
	start := a.partition.logStartOffset()
	if a.proposal == nil {
		r := Produced{BaseOffset: a.duplicate.base, LogAppendTime: -1, LogStartOffset: start}
		if a.partition.config.Load().LogAppendTime {
			r.LogAppendTime = a.duplicate.timestamp
		}
		return r, nil
	}
	if err := a.proposal.Wait(ctx); err != nil {
		return Produced{}, produceError(err)
	}
	a.resolve()
	r := Produced{BaseOffset: a.base, LogAppendTime: -1, LogStartOffset: start}
	if a.header.IsLogAppendTime() {
		r.LogAppendTime = a.header.MaxTimestamp
	}
	return r, nil
}

// resolve takes the stamped offset out of the settled batch. A retry may wait for the same Append on another connection,
// so it must happen before the first one's memory is reused: whoever finds it settled does it.
func (a *Append) resolve() {
	a.once.Do(func() {
		a.base = a.batch.Header().BaseOffset
		a.batch = nil
	})
}

func produceError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return kerr.RequestTimedOut
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrClosed):
		return fmt.Errorf("%w: %w", kerr.NotLeaderForPartition, err)
	case errors.Is(err, log.ErrFailed), errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
	}
	return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
}
