package partition

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/raft"
	"balsa/server/share"
)

// ShareAcquire asks for records of a share group.
type ShareAcquire struct {
	Group, Member string
	MaxRecords    int
	BatchSize     int           // of how many records an acquisition is made up at most; 0: any number
	RecordLimit   bool          // never more than MaxRecords; else the batch in which they are reached is taken whole (KIP-1206)
	MaxBytes      int           // of record batches; as for FetchArgs
	MinOne        bool          // take the first batch even when it is larger than MaxBytes
	MinBytes      int           // take nothing while there are fewer bytes to be had
	Lock          time.Duration // 0: the group's share.record.lock.duration.ms
	Memory        *ShareClaim   // what the records are held in; nil: there is enough
}

// ShareRecords is what was acquired: whole batches as they are stored, of whose records only those in Acquired are the member's.
type ShareRecords struct {
	Records  []byte
	Acquired []share.Acquisition
}

// ShareAcquiring is an acquisition on its way.
type ShareAcquiring struct {
	ShareChange
	records ShareRecords
	count   int
	later   func() ([]byte, error) // reads the records when they are committed; nil: they are there
	size    int                    // bytes of the batches
}

// Taken returns how many records were taken, and the bytes of their batches. It does not wait.
func (a *ShareAcquiring) Taken() (records, bytes int) { return a.count, a.size }

// Wait returns the records once it is replicated that the member holds them: a successor of this leader knows of each delivery
// that a client has seen. There are none if they were deleted meanwhile. Errors as ShareChange's, and KAFKA_STORAGE_ERROR.
func (a *ShareAcquiring) Wait(ctx context.Context) (ShareRecords, error) {
	if err := a.ShareChange.Wait(ctx); err != nil {
		return ShareRecords{}, err
	}
	if a.later != nil {
		var err error
		switch a.records.Records, err = a.later(); {
		case errors.Is(err, kerr.OffsetOutOfRange):
			return ShareRecords{}, nil
		case err != nil:
			return ShareRecords{}, err
		}
	}
	return a.records, nil
}

// A read begins small, for a member that wants a few records, and doubles while that does not suffice.
const (
	firstShareRead = 32 << 10
	maxShareRead   = 1 << 20
)

// ShareAcquire gives a member records that nobody else has: they are acquired until the lock duration ends, unless they are
// acknowledged before. It returns nil when there are none now, or no memory for them, and while the disk is too full to take note of
// deliveries. It reads, but does not wait for the disk or other nodes. Errors: NOT_LEADER_OR_FOLLOWER, GROUP_ID_NOT_FOUND for a group
// without state here, KAFKA_STORAGE_ERROR.
func (p *Partition) ShareAcquire(a ShareAcquire) (*ShareAcquiring, error) {
	p.shares.mu.Lock()
	g, err := p.share(a.Group)
	r := acquisition{p: p, args: a, in: p.shares.leading, size: firstShareRead, left: a.MaxBytes}
	p.shares.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if raftGroup := p.group.Load(); raftGroup.Space() == raft.SpaceCritical {
		return nil, nil
	}
	g.acquiring.Lock()
	defer g.acquiring.Unlock()
	for more := true; more && err == nil; {
		more, err = r.step()
	}
	if len(r.out.records.Acquired) > 0 {
		return &r.out, nil // also when a later piece could not be read
	}
	if errors.Is(err, kerr.OffsetOutOfRange) {
		return nil, nil // trimmed since the look; what is left is found by the next one
	}
	return nil, err
}

// acquisition is one call of ShareAcquire.
type acquisition struct {
	p    *Partition
	args ShareAcquire
	in   raft.Leadership
	size int // of the next read
	left int // bytes that may still be taken
	at   log.Offset
	out  ShareAcquiring
}

// share is Partition.share in the term in which the acquisition began: what was read in one need not be in the log in the next, for it was
// read before it was committed. The caller holds p.shares.mu.
func (r *acquisition) share() (*shareGroup, error) {
	g, err := r.p.share(r.args.Group)
	if err == nil && r.p.shares.leading != r.in {
		return nil, fmt.Errorf("%w: the leader was elected anew meanwhile", kerr.NotLeaderForPartition)
	}
	return g, err
}

// step reads one piece of the log and acquires what it can of it; false when there is no more to be had.
func (r *acquisition) step() (more bool, err error) {
	p, first := r.p, len(r.out.proposals) == 0
	span, err := p.nextShare(r)
	if err != nil || !span.any() {
		return false, err
	}
	if first && r.args.MinBytes > 1 {
		if enough, err := p.shareBytes(span, r.args.MinBytes); err != nil || !enough {
			return false, err
		}
	}
	must := len(r.out.records.Records) == 0 && r.args.MinOne
	if r.left <= 0 && !must {
		return false, nil
	}
	// Always at least one batch: that nothing comes stands for a hole.
	slice, err := p.plog.Read(span.from, span.to, min(r.size, max(r.left, 0)), true)
	if err != nil {
		return false, readError(err)
	}
	if slice.Bytes > int64(r.left) && !must {
		slice.Release()
		return false, nil
	}
	if !r.args.Memory.Grow(slice.Bytes) {
		slice.Release()
		return false, nil
	}
	found, err := p.scanShare(slice, span)
	slice.Release()
	if err != nil || len(found.batches) == 0 {
		return false, err
	}
	r.size = min(2*r.size, maxShareRead)
	return r.take(span, &found)
}

// shareBytes says whether a span has at least so many bytes.
func (p *Partition) shareBytes(span shareSpan, least int) (bool, error) {
	slice, err := p.plog.Read(span.from, span.to, least, true)
	if err != nil {
		return false, readError(err)
	}
	defer slice.Release()
	return slice.Bytes >= int64(least) || slice.NextOffset < span.to, nil
}

// shareSpan is what to read for an acquisition.
type shareSpan struct {
	from, to  log.Offset
	committed bool  // leave out records of aborted transactions
	keys      bool  // look for keys
	delays    bool  // look for headers that ask for a delay
	latest    int64 // when a delay ends at the latest, in ms since 1970
	limit     int   // of records, so that everybody gets some; 0: none
}

func (s *shareSpan) any() bool { return s.from < s.to }

// nextShare says where to go on reading.
func (p *Partition) nextShare(r *acquisition) (shareSpan, error) {
	s := &p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := r.share()
	if err != nil {
		return shareSpan{}, err
	}
	if err := p.learnKeys(g); err != nil {
		return shareSpan{}, err
	}
	from, ok := g.leader.NextFetch(g.policy)
	if !ok {
		return shareSpan{}, nil
	}
	span := shareSpan{
		from: from, to: p.shareEnd(g), committed: g.config.ReadCommitted,
		keys: g.config.KeyOrder, delays: p.config.Load().CleanupAck, latest: p.now().Add(maxLock).UnixMilli(),
	}
	if len(r.out.proposals) > 0 && span.from <= r.at {
		return shareSpan{}, nil // the last read brought it no further
	}
	r.at = span.from
	if span.any() {
		span.limit = p.fairPart(g, int(span.to-span.from))
	}
	return span, nil
}

// fairPart is how many of so many records one of g's members should get; 0: all. While others wait too, a few records are better spread
// than all given to the first who comes. The caller holds p.shares.mu.
func (p *Partition) fairPart(g *shareGroup, records int) int {
	n := p.parked.waiting(g.id)
	if n <= 1 {
		return 0
	}
	return max(1, records/n)
}

// atMost bounds what is acquired to a fair part.
func atMost(limit int, args *share.AcquireArgs) {
	if limit > 0 && limit < args.MaxRecords {
		args.MaxRecords, args.RecordLimit = limit, true
	}
}

// countRecords is how many records were acquired.
func countRecords(acquired []share.Acquisition) (n int) {
	for _, a := range acquired {
		n += int(a.Last-a.First) + 1
	}
	return n
}

// take acquires what it may of the records that were found.
func (r *acquisition) take(span shareSpan, found *shareScan) (more bool, err error) {
	p, s := r.p, &r.p.shares
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := r.share()
	if err != nil {
		return false, err
	}
	before := g.leader.End()
	args := share.AcquireArgs{
		Member: r.args.Member, Now: p.now().UnixMilli(), Policy: g.policy, LockMs: lockFor(r.args.Lock),
		MaxRecords: r.args.MaxRecords - r.out.count, BatchSize: r.args.BatchSize, RecordLimit: r.args.RecordLimit, Batches: found.batches,
	}
	atMost(span.limit, &args)
	acquired, change := g.leader.Acquire(args)
	if proposal := p.changed(g, change); proposal != nil {
		r.out.proposals = append(r.out.proposals, proposal)
	}
	n := countRecords(acquired)
	r.out.count += n
	records := found.records(acquired)
	r.left -= len(records)
	r.out.size += len(records)
	r.args.Memory.Keep(len(records))
	r.out.records.Acquired = append(r.out.records.Acquired, acquired...)
	r.out.records.Records = append(r.out.records.Records, records...)
	progress := n > 0 || g.leader.End() > before
	return progress && r.out.count < r.args.MaxRecords && (span.limit == 0 || r.out.count < span.limit), nil
}
