package handler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/server/partition"
	"balsa/server/share"
)

// fakeShares is the share partition of one group at a fakeReplica: it gives out batches in their order, and takes back what is
// released. The replica's mu guards it.
type fakeShares struct {
	given    map[log.Offset]string // to whom
	decided  map[log.Offset]bool
	calls    []string                 // in order
	acquires []partition.ShareAcquire // in order
	err      error                    // of acquiring
	waitErr  error                    // of what is acquired
	ackErr   error                    // of what is acknowledged, when it is to be durable
	hold     chan struct{}            // if set, nothing is durable until it is closed
	waiters  map[*fakeWaiter]bool
	missed   func() // called when somebody got nothing
}

// call notes what was asked.
func (s *fakeShares) call(format string, args ...any) {
	s.calls = append(s.calls, fmt.Sprintf(format, args...))
}

// free says whether a record is there for whoever asks.
func (s *fakeShares) free(o log.Offset) bool { return s.given[o] == "" && !s.decided[o] }

func (r *fakeReplica) ShareAcquire(a partition.ShareAcquire) (ShareAcquiring, error) {
	taken, err := r.acquire(a)
	if taken == nil && err == nil && r.shares.missed != nil {
		r.shares.missed()
	}
	if taken == nil {
		return nil, err
	}
	return taken, err
}

func (r *fakeReplica) acquire(a partition.ShareAcquire) (*fakeAcquiring, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.shares
	s.call("acquire")
	s.acquires = append(s.acquires, a)
	if s.err != nil {
		return nil, s.err
	}
	taken := &fakeAcquiring{replica: r, hold: s.hold, err: s.waitErr}
	var offsets []log.Offset
	at := log.Offset(0)
	for _, b := range r.batches {
		first, last := at, at+log.Offset(b.Header().Count)-1
		at = last + 1
		for first <= last && !s.free(first) {
			first++
		}
		if first > last {
			continue
		}
		if left := a.MaxRecords - len(offsets); left <= 0 || len(taken.got.Records)+len(b) > a.MaxBytes && (len(offsets) > 0 || !a.MinOne) {
			break
		} else if a.RecordLimit {
			last = min(last, first+log.Offset(left)-1)
		}
		for o := first; o <= last; o++ {
			offsets = append(offsets, o)
		}
		taken.got.Records = append(taken.got.Records, b...)
		taken.got.Acquired = append(taken.got.Acquired, share.Acquisition{First: first, Last: last, DeliveryCount: 1})
	}
	if taken.count = len(offsets); taken.count == 0 || len(taken.got.Records) < a.MinBytes || !a.Memory.Grow(int64(len(taken.got.Records))) {
		return nil, nil
	}
	a.Memory.Keep(len(taken.got.Records))
	for _, o := range offsets {
		if s.given == nil {
			s.given = make(map[log.Offset]string)
		}
		s.given[o] = a.Member
	}
	return taken, nil
}

type fakeAcquiring struct {
	replica *fakeReplica
	count   int
	got     partition.ShareRecords
	hold    chan struct{}
	err     error
}

func (a *fakeAcquiring) Taken() (records, bytes int) { return a.count, len(a.got.Records) }

func (a *fakeAcquiring) Wait(ctx context.Context) (partition.ShareRecords, error) {
	if err := durable(ctx, a.hold); err != nil {
		return partition.ShareRecords{}, err
	}
	if a.err != nil {
		return partition.ShareRecords{}, a.err
	}
	return a.got, nil
}

func durable(ctx context.Context, hold chan struct{}) error {
	if hold == nil {
		return nil
	}
	select {
	case <-hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *fakeReplica) ShareAcknowledge(a partition.ShareAcknowledge) (ShareChange, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.shares
	kept := ""
	if a.Keep {
		kept = " kept"
	}
	s.call("acknowledge %s/%s %v lock %v delay %v%s", a.Group, a.Member, a.Acks, a.Lock, a.Delay, kept)
	if s.err != nil {
		return nil, s.err
	}
	for _, ack := range a.Acks {
		for o := ack.First; o <= ack.Last; o++ {
			if s.given[o] != a.Member {
				return nil, kerr.InvalidRecordState
			}
		}
	}
	for _, ack := range a.Acks {
		for o := ack.First; o <= ack.Last; o++ {
			kind := ack.Types[0]
			if len(ack.Types) > 1 {
				kind = ack.Types[o-ack.First]
			}
			s.decide(o, kind)
		}
	}
	return fakeChange{s.hold, s.ackErr}, nil
}

func (s *fakeShares) decide(o log.Offset, kind share.AckType) {
	switch kind {
	case share.Renew:
	case share.Release:
		delete(s.given, o)
		for w := range s.waiters {
			w.wake()
		}
	default:
		if s.decided == nil {
			s.decided = make(map[log.Offset]bool)
		}
		s.decided[o] = true
		delete(s.given, o)
	}
}

type fakeChange struct {
	hold chan struct{}
	err  error
}

func (c fakeChange) Wait(ctx context.Context) error {
	if err := durable(ctx, c.hold); err != nil {
		return err
	}
	return c.err
}

func (r *fakeReplica) ShareRelease(group, member string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shares.call("release %s/%s", group, member)
	for o, who := range r.shares.given {
		if who == member {
			r.shares.decide(o, share.Release)
		}
	}
}

func (r *fakeReplica) ShareWatch(w Waiter, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fw, _ := w.(*fakeWaiter)
	if r.shares.waiters == nil {
		r.shares.waiters = make(map[*fakeWaiter]bool)
	}
	r.shares.waiters[fw] = true
}

func (r *fakeReplica) ShareUnwatch(w Waiter, _ string, _ bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fw, _ := w.(*fakeWaiter)
	delete(r.shares.waiters, fw)
}

func (r *fakeReplica) ShareHanded(w Waiter) ShareAcquiring {
	r.mu.Lock()
	defer r.mu.Unlock()
	fw, _ := w.(*fakeWaiter)
	if fw.handed == nil || fw.handed.replica != r {
		return nil
	}
	return fw.handed
}

func (r *fakeReplica) ShareReturn(_, member string, a ShareAcquiring) {
	fa, _ := a.(*fakeAcquiring)
	for _, given := range fa.got.Acquired {
		for o := given.First; o <= given.Last; o++ {
			if r.shares.given[o] == member {
				r.shares.decide(o, share.Release)
			}
		}
	}
}

func (w *fakeWaiter) take(t *testing.T, r *fakeReplica) *fakeAcquiring {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.offer == nil {
		return nil
	}
	taken, err := r.acquire(*w.offer)
	if err != nil || taken == nil {
		t.Errorf("handed over: %v, %v", taken, err)
	}
	w.handed = taken
	w.wake()
	return taken
}

// handOver writes records and gives them to a fetch that waits and offers to take them.
func (r *fakeReplica) handOver(t *testing.T, count int) {
	b := records(count)
	r.mu.Lock()
	r.batches = append(r.batches, b)
	waiters := slices.Collect(maps.Keys(r.shares.waiters))
	r.mu.Unlock()
	for _, w := range waiters {
		if w.take(t, r) != nil {
			return
		}
	}
}

// fail has what is asked of the share partition fail from now on, as when the leadership is lost.
func (r *fakeReplica) failShares(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shares.err = err
	for w := range r.shares.waiters {
		w.wake()
	}
}

// shareCalls returns what was asked of the share partition, and forgets it.
func (r *fakeReplica) shareCalls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.shares.calls
	r.shares.calls = nil
	return calls
}

func (r *fakeReplica) shareWatching() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.shares.waiters)
}
