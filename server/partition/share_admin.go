package partition

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/raft"
	"balsa/server/share"
)

// ShareInitialize gives a share group a state here, if it has none, that starts where share.auto.offset.reset says. From then on
// a queue keeps what the group has not acknowledged. It returns when that is replicated. epoch says which request this is.
// Errors: NOT_LEADER_OR_FOLLOWER, REQUEST_TIMED_OUT, KAFKA_STORAGE_ERROR, INVALID_REQUEST when the partition has too many groups,
// FENCED_STATE_EPOCH for a request that comes later than one that was made after it. Of what concerned other groups of the shard, only
// deletions count for that; so one that is not late may be refused too, and must be made again.
func (p *Partition) ShareInitialize(ctx context.Context, group string, epoch share.Epoch) error {
	if _, _, err := p.leader(-1); err != nil {
		return err
	}
	start, err := p.shareStart(group)
	if err != nil {
		return err
	}
	return p.shareAdmin(ctx, shareEntry{op: shareInitialised, group: group, epoch: epoch, start: start})
}

// shareStart is where a group that comes here for the first time begins.
func (p *Partition) shareStart(group string) (log.Offset, error) {
	c := p.shareConfig(group)
	start, end := p.logStartOffset(), p.highWatermark()
	if c.ReadCommitted {
		end = min(end, p.stable())
	}
	switch {
	case c.Start.Earliest:
		return start, nil
	case c.Start.Ago <= 0:
		return end, nil
	}
	found, ok, err := p.plog.OffsetForTime(p.now().Add(-c.Start.Ago).UnixMilli(), start, end)
	if err != nil {
		return 0, readError(err)
	}
	if !ok {
		return end, nil
	}
	return found.Offset, nil
}

// ShareReset makes a group start anew at an offset (-1: the high watermark, -2: the log start), with all forgotten that it knew of
// the records here. At an offset that is gone already it starts at the log start, as in Kafka. A group without a state gets one.
// Errors as ShareInitialize's, and OFFSET_OUT_OF_RANGE.
func (p *Partition) ShareReset(ctx context.Context, group string, epoch share.Epoch, to log.Offset) error {
	switch start, end := p.logStartOffset(), p.highWatermark(); {
	case to == LatestTimestamp:
		to = end
	case to == EarliestTimestamp:
		to = start
	case 0 <= to && to < start:
		to = start
	case to < start || to > end:
		return fmt.Errorf("%w: start at %d, the log has %d to %d", kerr.OffsetOutOfRange, to, start, end)
	}
	return p.shareAdmin(ctx, shareEntry{op: shareReset, group: group, epoch: epoch, start: to})
}

// ShareDelete takes a group's state away; a group without one is no error. Errors as ShareInitialize's.
func (p *Partition) ShareDelete(ctx context.Context, group string, epoch share.Epoch) error {
	return p.shareAdmin(ctx, shareEntry{op: shareDeleted, group: group, epoch: epoch})
}

// shareAdmin replicates what replaces a group's state. What the leader knows of the group is made anew afterwards.
func (p *Partition) shareAdmin(ctx context.Context, e shareEntry) error {
	proposal, err := p.replaceShare(e)
	if err != nil || proposal == nil {
		return err
	}
	if err := proposal.Wait(ctx); err != nil {
		return produceError(err)
	}
	p.parked.wakeAll(e.group)
	return nil
}

// replaceShare proposes e. It returns nil when there is nothing to be done.
func (p *Partition) replaceShare(e shareEntry) (*raft.Proposal, error) {
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := p.leadShares(); err != nil {
		return nil, err
	}
	if due, err := p.fenceShare(e); err != nil || !due {
		return nil, err
	}
	if e.op != shareDeleted && p.machine.shareState(e.group) == nil && len(p.machine.shareIDs()) >= maxShareGroups {
		return nil, fmt.Errorf("%w: the partition has %d share groups", kerr.InvalidRequest, maxShareGroups)
	}
	g := s.groups[e.group]
	if g == nil {
		g = &shareGroup{id: e.group}
		s.groups[e.group] = g
	}
	p.proposeKept(g)
	proposal := p.proposeShare(g, e)
	s.asked[e.group] = askedShare{e.epoch, proposal}
	g.stop()
	g.armed = 0
	return proposal, nil
}

// ShareState is where a share group stands in a partition.
type ShareState struct {
	Start         log.Offset // the share-partition start offset: all before it is decided
	Epoch         log.Epoch
	Lag           int64 // records that are still to be decided, whoever has them
	InFlight      int64 // of those: acquired by a member
	Delayed       int64 // of those: not to be delivered yet
	DeadLettering int64 // given up, and on their way to the dead-letter topic
	// Decided is which records after Start nobody gets any more, as far as they were asked for.
	Decided []share.Range
}

// ShareState returns where a group stands, as far as that is replicated. Errors: NOT_LEADER_OR_FOLLOWER; GROUP_ID_NOT_FOUND for
// one that was never initialised here. ranges is of how many ranges Decided may be.
func (p *Partition) ShareState(group string, ranges int) (ShareState, error) {
	_, l, err := p.leader(-1)
	if err != nil {
		return ShareState{}, err
	}
	s := p.machine.shareState(group)
	if s == nil {
		return ShareState{}, kerr.GroupIDNotFound
	}
	n := s.Counts()
	waiting := max(0, int64(p.highWatermark()-s.End()))
	return ShareState{
		Start: s.Start(), Epoch: l.Epoch, Lag: waiting + n.Available + n.Delayed + n.Acquired,
		InFlight: n.Acquired, Delayed: n.Delayed, DeadLettering: n.Archiving,
		Decided: s.Decided(ranges),
	}, nil
}
