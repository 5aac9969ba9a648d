package partition

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
)

// FetchArgs asks for records.
type FetchArgs struct {
	Offset             log.Offset
	MaxBytes           int
	MinOne             bool      // return the first batch even when it is larger than MaxBytes (KIP-74)
	CurrentLeaderEpoch log.Epoch // -1: not checked
	LastFetchedEpoch   log.Epoch // -1: no divergence check
	ReadCommitted      bool
}

// Fetched is the answer. Slice must be released.
type Fetched struct {
	Slice            log.Slice
	HighWatermark    log.Offset
	LastStableOffset log.Offset
	LogStartOffset   log.Offset
	// Aborted lists the aborted transactions that may have records in Slice, ordered by their markers' offsets: with
	// ReadCommitted only.
	Aborted []log.AbortedTxn
	// DivergingEpoch is >= 0 when the fetcher's log diverged from this one: the largest epoch that both may share, which
	// ends here at DivergingEnd (KIP-595).
	DivergingEpoch log.Epoch
	DivergingEnd   log.Offset
}

// Fetch reads committed records as ranges of files. Errors: NOT_LEADER_OR_FOLLOWER, OFFSET_OUT_OF_RANGE,
// FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR. The offsets are filled in also with OFFSET_OUT_OF_RANGE.
func (p *Partition) Fetch(a FetchArgs) (Fetched, error) {
	_, l, err := p.leader(a.CurrentLeaderEpoch)
	if err != nil {
		return Fetched{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, DivergingEpoch: -1}, err
	}
	hw := p.highWatermark()
	stable := min(p.stable(), hw)
	f := Fetched{HighWatermark: hw, LastStableOffset: stable, LogStartOffset: p.logStartOffset(), DivergingEpoch: -1}
	if a.LastFetchedEpoch >= 0 {
		epoch, end := p.epochEnd(a.LastFetchedEpoch, l.Epoch)
		if epoch < 0 {
			return f, fmt.Errorf("%w: epoch %d is yet to come", kerr.OffsetOutOfRange, a.LastFetchedEpoch)
		}
		if epoch < a.LastFetchedEpoch || end < a.Offset {
			f.DivergingEpoch, f.DivergingEnd = epoch, end
			return f, nil
		}
	}
	if a.Offset < f.LogStartOffset || a.Offset > p.plog.NextOffset() {
		return f, kerr.OffsetOutOfRange
	}
	limit := hw
	if a.ReadCommitted {
		limit = stable
	}
	if a.Offset >= limit {
		return f, nil
	}
	s, err := p.plog.Read(a.Offset, limit, a.MaxBytes, a.MinOne)
	if err != nil {
		return f, readError(err)
	}
	if a.ReadCommitted && s.Bytes > 0 {
		if f.Aborted, err = p.plog.AbortedTxns(a.Offset, s.NextOffset); err != nil {
			s.Release()
			return f, readError(err)
		}
	}
	f.Slice = s
	return f, nil
}

func readError(err error) error {
	if errors.Is(err, log.ErrOffsetOutOfRange) {
		return kerr.OffsetOutOfRange // trimmed since the check
	}
	return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
}
