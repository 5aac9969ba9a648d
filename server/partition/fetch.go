package partition

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/raft"
)

// FetchArgs asks for records.
type FetchArgs struct {
	Offset             log.Offset
	MaxBytes           int
	MinOne             bool      // return the first batch even when it is larger than MaxBytes (KIP-74)
	CurrentLeaderEpoch log.Epoch // -1: not checked
	LastFetchedEpoch   log.Epoch // -1: no divergence check
	ReadCommitted      bool
	Follower           bool // read here also when this replica follows (KIP-392)
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
	l, following, err := p.reader(a)
	if err != nil {
		return Fetched{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, DivergingEpoch: -1}, err
	}
	hw := p.highWatermark()
	stable := min(p.stable(), hw)
	f := Fetched{HighWatermark: hw, LastStableOffset: stable, LogStartOffset: p.logStartOffset(), DivergingEpoch: -1}
	if a.LastFetchedEpoch >= 0 && !following { // only the leader knows where its own epoch ends
		epoch, end := p.epochEnd(a.LastFetchedEpoch, l.Epoch)
		if epoch < 0 {
			return f, fmt.Errorf("%w: epoch %d is yet to come", kerr.OffsetOutOfRange, a.LastFetchedEpoch)
		}
		if epoch < a.LastFetchedEpoch || end < a.Offset {
			f.DivergingEpoch, f.DivergingEnd = epoch, end
			return f, nil
		}
	}
	// Also on a follower, as in Kafka: a leader sends nobody to a replica that lacks the offset, and who came otherwise is to ask
	// the leader (KIP-392).
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

// reader says whether this replica may answer a fetch: as the leader, or as a follower that hears one. A follower has its own
// high watermark, which is never beyond the leader's.
func (p *Partition) reader(a FetchArgs) (l raft.Leadership, following bool, err error) {
	_, l, err = p.leader(a.CurrentLeaderEpoch)
	if err == nil || !a.Follower || !errors.Is(err, kerr.NotLeaderForPartition) {
		return l, false, err
	}
	if g := p.group.Load(); g == nil || l.Leader == raft.NoNode || l.Leader == g.Host() {
		return l, false, err
	}
	return l, true, nil
}

// HasUpTo says whether this leader knows that another replica stores everything before offset o.
func (p *Partition) HasUpTo(node raft.NodeID, o log.Offset) bool {
	g, _, err := p.leader(-1)
	if err != nil {
		return false
	}
	for _, m := range g.Progress() {
		if m.Node == node {
			return m.Match > 0 && m.Offset >= o
		}
	}
	return false
}

func readError(err error) error {
	if errors.Is(err, log.ErrOffsetOutOfRange) {
		return kerr.OffsetOutOfRange // trimmed since the check
	}
	return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
}
