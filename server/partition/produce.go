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

// Append is a produced batch on its way.
type Append struct {
	partition *Partition
	batch     batch.Batch
	proposal  *raft.Proposal // nil for a duplicate of a batch that is committed already
	header    batch.Header   // as produced
	duplicate sequenced      // the batch that it repeats, without a proposal

	once sync.Once
	base log.Offset // set by once, when settled
}

// Produced is the outcome of an Append.
type Produced struct {
	BaseOffset     log.Offset
	LogAppendTime  int64 // ms since the epoch, or -1 with message.timestamp.type=CreateTime
	LogStartOffset log.Offset
}

// inFlight is one producer's proposals whose outcome was not seen yet, in order.
type inFlight struct {
	epoch   int16
	appends []*Append
}

// Produce validates b (leadership, size, checksum, records, timestamps, idempotence) and proposes it. It returns without
// waiting for the disk; the order of calls is the order in the log. b is changed in place and must stay untouched until the
// Append is settled. Errors: NOT_LEADER_OR_FOLLOWER, CORRUPT_MESSAGE, INVALID_RECORD, MESSAGE_TOO_LARGE, INVALID_TIMESTAMP,
// OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, KAFKA_STORAGE_ERROR.
func (p *Partition) Produce(b batch.Batch) (*Append, error) {
	if _, _, err := p.leader(-1); err != nil {
		return nil, err // before spending time on the records
	}
	if p.diskFull() {
		return nil, fmt.Errorf("%w: disk full", kerr.KafkaStorageError)
	}
	h, err := p.validate(b)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g, l, err := p.leader(-1)
	if err != nil {
		return nil, err
	}
	if l != p.leading {
		// What was in flight in an earlier term is settled by what this leader applied before it became ready.
		p.leading = l
		clear(p.pending)
	}
	a := &Append{partition: p, batch: b, header: h}
	if h.ProducerID >= 0 {
		earlier, err := p.sequence(a)
		if err != nil || earlier != nil {
			return earlier, err
		}
	}
	a.proposal = g.Propose(batch.KindData, b)
	return a, nil
}

// sequence checks an idempotent producer's batch against what is committed and what is in flight. It returns the Append to
// wait for when the batch is a repetition, else remembers a as in flight.
func (p *Partition) sequence(a *Append) (*Append, error) {
	h := a.header
	f := p.pending[h.ProducerID]
	if f != nil {
		f.forgetSettled()
	}
	if f == nil || len(f.appends) == 0 {
		duplicate, err := p.machine.check(h)
		if err != nil {
			return nil, err
		}
		if duplicate != nil {
			a.duplicate, a.batch = *duplicate, nil
			return a, nil
		}
		p.pending[h.ProducerID] = &inFlight{epoch: h.ProducerEpoch, appends: []*Append{a}}
		return nil, nil
	}
	// Judge by the state that will be when all in flight is committed. The committed batches still count as duplicates.
	view := &producer{epoch: f.epoch}
	for _, e := range f.appends {
		view.batches = append(view.batches, sequencedBatch(e.header))
	}
	duplicate, err := view.check(h)
	switch {
	case duplicate != nil:
		for _, e := range f.appends {
			if e.header.BaseSequence == duplicate.first {
				return e, nil
			}
		}
	case errors.Is(err, kerr.OutOfOrderSequenceNumber):
		if d, checkErr := p.machine.check(h); checkErr == nil && d != nil {
			a.duplicate, a.batch = *d, nil
			return a, nil
		}
	}
	if err != nil {
		return nil, err
	}
	if h.ProducerEpoch > f.epoch {
		f.epoch, f.appends = h.ProducerEpoch, nil
	}
	f.appends = append(f.appends, a)
	return nil, nil
}

func (m *machine) check(h batch.Header) (*sequenced, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.producers.producers[h.ProducerID].check(h)
	if d != nil {
		c := *d
		d = &c
	}
	return d, err
}

// forgetSettled drops what is settled from the front: committed batches are in the machine's table by then.
func (f *inFlight) forgetSettled() {
	n := 0
	for n < len(f.appends) && f.appends[n].Settled() {
		n++
	}
	f.appends = f.appends[n:]
}

// forgetSettled drops producers that have nothing in flight any more: most never come back.
func (p *Partition) forgetSettled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, f := range p.pending {
		if f.forgetSettled(); len(f.appends) == 0 {
			delete(p.pending, id)
		}
	}
}

// Settled says whether the outcome is known, so that the batch's memory may be reused.
func (a *Append) Settled() bool {
	if a.proposal == nil {
		return true
	}
	select {
	case <-a.proposal.Done():
		a.resolve()
		return true
	default:
		return false
	}
}

// Wait returns when the batch is committed or failed, or with REQUEST_TIMED_OUT when ctx ends (it may still be committed).
// NOT_LEADER_OR_FOLLOWER tells the client to retry elsewhere; an idempotent retry finds out what became of the batch.
func (a *Append) Wait(ctx context.Context) (Produced, error) {
	start := a.partition.logStartOffset()
	if a.proposal == nil {
		return Produced{BaseOffset: a.duplicate.base, LogAppendTime: -1, LogStartOffset: start}, nil
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
