package partition

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
)

// Timestamps with a meaning of their own in ListOffsets.
const (
	LatestTimestamp                = -1
	EarliestTimestamp              = -2
	MaxTimestamp                   = -3 // KIP-734
	EarliestLocalTimestamp         = -4 // KIP-405
	LatestTieredTimestamp          = -5 // KIP-1005
	EarliestPendingUploadTimestamp = -6 // KIP-1023
)

// ListOffset answers one partition of ListOffsets: by timestamp in ms, or one of the constants. Offset is -1 when no record
// qualifies. With readCommitted, the last stable offset stands for the end. Errors as Fetch's.
func (p *Partition) ListOffset(timestamp int64, currentEpoch log.Epoch, readCommitted bool) (log.TimestampedOffset, error) {
	none := log.TimestampedOffset{Timestamp: -1, Offset: -1, Epoch: -1}
	_, l, err := p.leader(currentEpoch)
	if err != nil {
		return none, err
	}
	end, start := p.highWatermark(), p.logStartOffset()
	if readCommitted {
		end = min(end, p.stable())
	}
	var found log.TimestampedOffset
	var ok bool
	switch timestamp {
	case LatestTimestamp:
		return log.TimestampedOffset{Timestamp: -1, Offset: end, Epoch: l.Epoch}, nil
	case EarliestTimestamp, EarliestLocalTimestamp:
		return log.TimestampedOffset{Timestamp: -1, Offset: start, Epoch: p.epochOf(start, l.Epoch)}, nil
	case LatestTieredTimestamp:
		return none, nil // nothing is tiered
	case MaxTimestamp:
		found, ok, err = p.plog.MaxTimestamp(start, end)
	default:
		if timestamp < 0 {
			return none, fmt.Errorf("%w: timestamp %d", kerr.UnsupportedVersion, timestamp)
		}
		found, ok, err = p.plog.OffsetForTime(timestamp, start, end)
	}
	if err != nil {
		return none, readError(err)
	}
	if !ok {
		return none, nil
	}
	return found, nil
}

// epochOf returns the epoch in which offset o was or will be written.
func (p *Partition) epochOf(o log.Offset, current log.Epoch) log.Epoch {
	epoch := current
	epochs := p.plog.Epochs()
	for _, e := range slices.Backward(epochs) {
		epoch = e.Epoch
		if e.Offset <= o {
			break
		}
	}
	return epoch
}

// EpochEnd answers OffsetForLeaderEpoch (KIP-101, KIP-279): the largest epoch up to the one asked for that this log knows,
// and the offset where it ends. An epoch older than all of the log ended at its start; one that is yet to come is
// answered with -1 and -1.
func (p *Partition) EpochEnd(currentEpoch, epoch log.Epoch) (log.Epoch, log.Offset, error) {
	_, l, err := p.leader(currentEpoch)
	if err != nil {
		return -1, -1, err
	}
	e, end := p.epochEnd(epoch, l.Epoch)
	return e, end, nil
}

func (p *Partition) epochEnd(epoch, current log.Epoch) (log.Epoch, log.Offset) {
	if epoch > current {
		return -1, -1
	}
	if epoch == current {
		return epoch, p.plog.NextOffset()
	}
	if e, end, ok := p.plog.EpochEnd(epoch); ok {
		return e, max(end, p.logStartOffset())
	}
	// Retention has removed everything of that epoch and those before: it ended where the log starts.
	return epoch, p.logStartOffset()
}

// DeleteRecords moves the log start offset to before (-1: the high watermark) on all replicas and returns the new one. The
// space is given back in whole segments. Errors: OFFSET_OUT_OF_RANGE beyond the high watermark, NOT_LEADER_OR_FOLLOWER,
// REQUEST_TIMED_OUT.
func (p *Partition) DeleteRecords(ctx context.Context, before log.Offset) (log.Offset, error) {
	g, _, err := p.leader(-1)
	if err != nil {
		return -1, err
	}
	hw := p.highWatermark()
	if before == -1 {
		before = hw
	}
	if before < 0 || before > hw {
		return -1, fmt.Errorf("%w: delete before %d, high watermark %d", kerr.OffsetOutOfRange, before, hw)
	}
	if before <= p.logStartOffset() {
		return p.logStartOffset(), nil
	}
	payload := binary.BigEndian.AppendUint64(nil, uint64(before))
	if err := g.Propose(batch.KindLogStart, payload).Wait(ctx); err != nil {
		return -1, produceError(err)
	}
	return p.logStartOffset(), nil
}
