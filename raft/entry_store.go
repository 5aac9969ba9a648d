package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	hraft "github.com/hashicorp/raft"

	"balsa/internal/invariant"
	"balsa/log"
	"balsa/log/batch"
)

// An entry of type LogCommand says in its Extensions what its Data is: nothing for a producer's batch that is yet to be
// stamped, stamped for a batch that came from the leader as it is stored there (reserved for one that the leader wants taken although
// space is low), else the kind of an internal batch whose payload Data is. Entries that compaction removed are of kind batch.KindGap, and have no Data but for the last
// one of each gap: there it is the batch that stands for them, of which only the end counts.
//
// Behind the kind there may be the epoch in which the entry was decided, see Group.ProposeIn: in another one it is refused. Behind that
// the offset may be that the next record must have, see Group.ProposeBehind: elsewhere it is refused. What the library was given to store
// must be stored, so an empty entry takes its place, and refused stands for its kind.
var (
	stamped  = []byte{0xff}
	refused  = []byte{0xfe}
	reserved = []byte{0xfd}
)

// decidedIn makes the Extensions of an entry that is for one epoch only.
func decidedIn(epoch log.Epoch, kind batch.Kind) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(epoch))
}

// decidedBehind makes the Extensions of an entry that is for one epoch and one place only.
func decidedBehind(epoch log.Epoch, end log.Offset, kind batch.Kind) []byte {
	return binary.BigEndian.AppendUint64(decidedIn(epoch, kind), uint64(end))
}

// refuseStale turns an entry that was decided in another epoch than it is written in, or for another place than where the next record has
// an offset, into an empty one. This happens on the library's main goroutine, before anybody else sees the entry.
func refuseStale(l *hraft.Log, next log.Offset) {
	const inEpoch, behind = 1 + 4, 1 + 4 + 8
	if n := len(l.Extensions); l.Type != hraft.LogCommand || n != inEpoch && n != behind {
		return
	}
	if uint64(binary.BigEndian.Uint32(l.Extensions[1:])) == l.Term &&
		(len(l.Extensions) == inEpoch || log.Offset(binary.BigEndian.Uint64(l.Extensions[inEpoch:])) == next) {
		return
	}
	l.Extensions[0] = refused[0] // the proposer has these bytes
	l.Type, l.Data, l.Extensions = hraft.LogNoop, nil, nil
}

func isRefused(extensions []byte) bool { return len(extensions) > 0 && extensions[0] == refused[0] }

// entryStore is hashicorp/raft's LogStore directly over a partition's log: there is no second copy of any entry.
//
// GetLog never reads a producer's batch: replication ships byte ranges of the log by index (transport.go) and the
// state machine adapter asks the log for headers, so Data of such an entry is nil.
type entryStore struct {
	plog   *log.Log
	logger *slog.Logger
	failed func(error)  // told about appends that failed
	space  func() Space // of the disk
	// inParallel says whether what is appended is this replica's own, as the leader, and is committed only with others' help: then it
	// becomes durable while they get it.
	inParallel func() bool
	parallel   *parallelSync
	appended   func(bytes int64) // see GroupConfig.Appended; may be nil
	// storing is when the append that is under way began, in Unix nanoseconds; 0 when none is.
	storing atomic.Int64
	// phantom is the last index that hashicorp/raft still believes to hold after the log was reset below it by a
	// snapshot: it never lowers its own idea of the last log (raft.go, installSnapshot). Entries up to it answer with
	// term 0, which conflicts with everything, so that the leader's entries replace them.
	phantom atomic.Uint64
	// applied is the last entry that the state machine took: committed, so never to be removed.
	applied atomic.Uint64
	// gap is the last gap that GetLog met: it is asked for each of the entries that a gap stands for.
	gap atomic.Pointer[log.EntryInfo]
}

// FirstIndex returns the first index kept; last+1 when empty, except 0 for a log that never had an entry.
func (s *entryStore) FirstIndex() (uint64, error) {
	if s.plog.LastIndex() == 0 {
		return 0, nil
	}
	return uint64(s.plog.FirstIndex()), nil
}

// LastIndex returns the last index written.
func (s *entryStore) LastIndex() (uint64, error) { return uint64(s.plog.LastIndex()), nil }

// IsMonotonic says that gaps in the indexes are not allowed (hraft.MonotonicLogStore).
func (s *entryStore) IsMonotonic() bool { return true }

// GetLog answers term and type of an entry, and the data of internal ones. The entry before the first is answered with
// the remembered term, so that replication can start at a log start.
func (s *entryStore) GetLog(index uint64, l *hraft.Log) error {
	first, last := s.plog.FirstIndex(), s.plog.LastIndex()
	i := log.Index(index)
	switch {
	case i > last && index <= s.phantom.Load():
		*l = hraft.Log{Index: index, Type: hraft.LogNoop}
		return nil
	case i+1 == first && i > 0:
		*l = hraft.Log{Index: index, Term: uint64(s.plog.PrevEpoch()), Type: hraft.LogNoop}
		return nil
	case i < first || i > last:
		return hraft.ErrLogNotFound
	}
	if g := s.gap.Load(); g != nil && i >= g.First && i < g.First+log.Index(g.Header.Entries()) {
		*l = gapEntry(index, uint64(g.Header.Epoch))
		return nil
	}
	info, err := s.plog.Info(i)
	if err != nil {
		if errors.Is(err, log.ErrIndexNotFound) {
			return hraft.ErrLogNotFound
		}
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	*l = hraft.Log{Index: index, Term: uint64(info.Header.Epoch)}
	switch info.Header.Kind {
	case batch.KindData:
		l.Type = hraft.LogCommand
	case batch.KindNoop:
		l.Type = hraft.LogNoop
	case batch.KindBarrier:
		l.Type = hraft.LogBarrier
	case batch.KindGap:
		s.gap.Store(&info)
		*l = gapEntry(index, l.Term)
	default:
		b, err := s.plog.Entry(i)
		if err != nil {
			return fmt.Errorf("read entry %d: %w", index, err)
		}
		l.Type, l.Data, l.Extensions = unwrapInternal(b)
	}
	return nil
}

// gapEntry is an entry that compaction removed, as the library knows it: a command, so that the state machine learns of its
// offsets.
func gapEntry(index, term uint64) hraft.Log {
	return hraft.Log{Index: index, Term: term, Type: hraft.LogCommand, Extensions: []byte{byte(batch.KindGap)}}
}

// unwrapInternal returns an internal batch as the library knows it.
func unwrapInternal(b batch.Batch) (hraft.LogType, []byte, []byte) {
	kind := b.Header().Kind
	switch kind {
	case batch.KindNoop:
		return hraft.LogNoop, nil, nil
	case batch.KindBarrier:
		return hraft.LogBarrier, nil, nil
	case batch.KindConfiguration:
		return hraft.LogConfiguration, b.InternalPayload(), nil
	default:
		return hraft.LogCommand, b.InternalPayload(), []byte{byte(kind)}
	}
}

// StoreLog stores one entry.
func (s *entryStore) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

// StoreLogs appends entries with one write, all or nothing. Producers' batches are numbered here, on the leader; batches
// from the leader must already carry the numbers that this replica would give them.
func (s *entryStore) StoreLogs(logs []*hraft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if want := uint64(s.plog.LastIndex()) + 1; logs[0].Index != want {
		return fmt.Errorf("append entry %d: the log's next index is %d", logs[0].Index, want)
	}
	s.storing.Store(time.Now().UnixNano())
	defer s.storing.Store(0)
	batches, epochs, flush, err := s.batchesOf(logs)
	if err != nil {
		return err
	}
	last := logs[len(logs)-1].Index
	if err := s.plog.Append(batches, epochs, flush); err != nil {
		s.failed(fmt.Errorf("append entries %d-%d: %w", logs[0].Index, last, err))
		return err
	}
	if flush == log.FlushByCaller {
		s.parallel.start(last)
	}
	if last >= s.phantom.Load() {
		s.phantom.Store(0)
	}
	if s.appended != nil {
		if n := recordBytes(batches); n > 0 {
			s.appended(n)
		}
	}
	return nil
}

// recordBytes is the length of those of the batches that producers and transactions wrote.
func recordBytes(batches []batch.Batch) (n int64) {
	for _, b := range batches {
		if !b.IsInternal() {
			n += int64(len(b))
		}
	}
	return n
}

// batchesOf returns the batches of entries, each with its epoch, and when they must be durable.
func (s *entryStore) batchesOf(logs []*hraft.Log) (batches []batch.Batch, epochs []log.Epoch, flush log.Flush, err error) {
	must, alone := s.plog.FlushesEveryAppend(), false
	batches, epochs = make([]batch.Batch, 0, len(logs)), make([]log.Epoch, 0, len(logs))
	next, removed := s.plog.NextOffset(), int64(0)
	for _, l := range logs {
		invariant.Check(l.Term>>31 == 0, "term %d does not fit a leader epoch", l.Term)
		refuseStale(l, next)
		var b batch.Batch
		if isGap(l) {
			if removed++; l.Data == nil {
				continue
			}
			b, err = gapFrom(l, removed, next)
			removed = 0
		} else {
			b, err = s.checked(l, next)
		}
		if err != nil {
			return nil, nil, 0, err
		}
		h := b.Header()
		next += log.Offset(h.LastOffsetDelta) + 1
		// Raft's own entries and ours carry decisions: they are durable whatever the topic's flush policy.
		must = must || h.IsInternal()
		// The library goes by a new configuration before it is committed, and by its votes what was written before may be.
		alone = alone || l.Type == hraft.LogConfiguration
		batches, epochs = append(batches, b), append(epochs, log.Epoch(l.Term))
	}
	if removed > 0 {
		return nil, nil, 0, fmt.Errorf("append entry %d: the end of its gap is missing", logs[len(logs)-1].Index)
	}
	switch {
	case !must:
		return batches, epochs, log.FlushAsConfigured, nil
	case !alone && s.inParallel():
		return batches, epochs, log.FlushByCaller, nil
	default:
		return batches, epochs, log.FlushNow, nil
	}
}

// checked returns the batch of an entry that is no gap. One that comes from the leader must have the offset that it would
// get here, next, and there must be room for it.
func (s *entryStore) checked(l *hraft.Log, next log.Offset) (batch.Batch, error) {
	b, err := toBatch(l)
	if err != nil || b.IsInternal() || !isStamped(l) {
		return b, err
	}
	if space := s.space(); space == SpaceCritical || space > SpaceAmple && l.Extensions[0] != reserved[0] {
		return nil, fmt.Errorf("append entry %d: too little space left: %w", l.Index, syscall.ENOSPC)
	}
	if h := b.Header(); h.BaseOffset != next || uint64(h.Epoch) != l.Term {
		return nil, fmt.Errorf("entry %d: leader numbered it offset %d epoch %d, here it is offset %d epoch %d: replicas diverged",
			l.Index, h.BaseOffset, h.Epoch, next, l.Term)
	}
	return b, nil
}

func isGap(l *hraft.Log) bool {
	return l.Type == hraft.LogCommand && len(l.Extensions) > 0 && l.Extensions[0] == byte(batch.KindGap)
}

// gapFrom makes the gap that stands here for the entries up to l, of which so many are missing in this log. It ends where the
// leader's gap ends, and begins where this log does.
func gapFrom(l *hraft.Log, entries int64, next log.Offset) (batch.Batch, error) {
	end := batch.Batch(l.Data).Header().NextOffset()
	if end < next || end-next > math.MaxInt32 || entries > batch.MaxGap {
		return nil, fmt.Errorf("entry %d: leader's gap ends at offset %d, here the next offset is %d: replicas diverged",
			l.Index, end, next)
	}
	return batch.Gap(entries, int64(end-next)), nil
}

// isStamped says whether an entry is a producer's batch that came from the leader.
func isStamped(l *hraft.Log) bool {
	return len(l.Extensions) > 0 && (l.Extensions[0] == stamped[0] || l.Extensions[0] == reserved[0])
}

func toBatch(l *hraft.Log) (batch.Batch, error) {
	switch l.Type {
	case hraft.LogCommand:
		if len(l.Extensions) == 0 || isStamped(l) || l.Extensions[0] == byte(batch.KindData) {
			return batch.Batch(l.Data), nil
		}
		return batch.Internal(batch.Kind(l.Extensions[0]), l.Data), nil
	case hraft.LogNoop:
		return batch.Internal(batch.KindNoop, nil), nil
	case hraft.LogBarrier:
		return batch.Internal(batch.KindBarrier, nil), nil
	case hraft.LogConfiguration:
		return batch.Internal(batch.KindConfiguration, l.Data), nil
	default:
		return nil, fmt.Errorf("entry %d: unsupported raft entry type %s", l.Index, l.Type)
	}
}

// stallLimit is how long an append may take before the replica counts as stuck: a disk that hangs never says so.
const stallLimit = 5 * time.Second

// stalled says whether the replica's disk does not answer. A nil store, that of the metadata group, never stalls.
func (s *entryStore) stalled() bool {
	if s == nil {
		return false
	}
	long := func(began int64) bool { return began != 0 && time.Since(time.Unix(0, began)) > stallLimit }
	return long(s.storing.Load()) || long(s.parallel.syncing.Load())
}

// DeleteRange removes a conflicting suffix. The front is trimmed behind the library's back (retention), so a prefix is
// none of its business; entries that exist only in its memory after a reset need no removal.
func (s *entryStore) DeleteRange(lo, hi uint64) error {
	last := s.plog.LastIndex()
	if log.Index(lo) > last {
		return nil
	}
	if log.Index(hi) < last {
		return nil
	}
	// The library does not check a conflict against the commit index (raft.go:1543).
	invariant.Check(lo > s.applied.Load(), "entry %d is committed (applied %d) and must not be removed", lo, s.applied.Load())
	s.logger.Warn("replacing uncommitted entries that lost an election", "from", lo, "to", uint64(last))
	s.parallel.truncated(lo - 1)
	if err := s.plog.TruncateSuffix(log.Index(lo)); err != nil {
		return fmt.Errorf("remove entries %d-%d: %w", lo, hi, err)
	}
	// Should the append that follows fail, the library would go on believing in the entries that are gone.
	s.phantom.Store(max(s.phantom.Load(), hi))
	return nil
}
