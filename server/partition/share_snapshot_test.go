package partition

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
	"balsa/server/share"
)

// compactedQueue is a fixture with share groups on a compacted topic.
type compactedQueue struct {
	*fixture
	rnd    *rand.Rand
	groups []string
	saved  []savedShares
	// written is how many bytes of entries about share groups there ever were.
	written int64
	counted log.Index
	replays int
	// requests is how many the coordinator of the groups has made.
	requests int64
	// dropTo is the furthest that a compaction dropped deletions.
	dropTo log.Offset
}

// savedShares is where some replica might stand.
type savedShares struct {
	at    log.Index
	hw    log.Offset
	state []byte
}

func newCompactedQueue(t *testing.T, seed uint64, more ...string) *compactedQueue {
	t.Helper()
	f := &compactedQueue{
		fixture: newFixture(t, compacted(append([]string{"internal.segment.bytes", "20000"}, more...)...)),
		rnd:     rand.New(rand.NewPCG(seed, 5)), groups: []string{"busy", "other", "deleted"},
	}
	for _, g := range append(f.groups, "idle") {
		f.image.GroupConfigs[g] = map[string]string{
			"share.auto.offset.reset": "earliest", "share.delivery.count.limit": "10", "share.record.lock.duration.ms": "20000",
		}
		f.must(f.partition().ShareInitialize(t.Context(), g, f.asked()))
	}
	return f
}

// asked is the next request of the groups' coordinator.
func (f *compactedQueue) asked() share.Epoch {
	f.requests++
	return share.Epoch{Shard: 1, Term: 2, Number: f.requests}
}

// work has members of all groups receive, acknowledge and release records, while new ones come.
func (f *compactedQueue) work(rounds int) {
	f.t.Helper()
	p := f.partition()
	for range rounds {
		f.put(fmt.Sprint("key-", f.rnd.IntN(20)), "value", fmt.Sprint("key-", f.rnd.IntN(20)), "value")
		for _, g := range f.groups {
			if p.machine.shareState(g) == nil {
				continue
			}
			a, err := p.ShareAcquire(ShareAcquire{
				Group: g, Member: strings.Repeat(g, 20), MaxRecords: 1 + f.rnd.IntN(5), RecordLimit: true, MaxBytes: 1 << 20, MinOne: true,
			})
			f.must(err)
			if a == nil {
				continue
			}
			got, err := a.Wait(f.t.Context())
			f.must(err)
			for _, r := range got.Acquired {
				types := []share.AckType{share.Accept, share.Accept, share.Accept, share.Release, share.Reject}
				c, err := p.ShareAcknowledge(ShareAcknowledge{Group: g, Member: strings.Repeat(g, 20), Acks: []share.Ack{
					{First: r.First, Last: r.First, Types: types[f.rnd.IntN(len(types)):][:1]},
				}})
				f.must(err)
				f.must(c.Wait(f.t.Context()))
			}
		}
		if f.rnd.IntN(20) == 0 {
			f.advance(time.Duration(f.rnd.IntN(30_000)) * time.Millisecond) // locks end
			p.tickShares()
		}
	}
	f.save()
	f.count()
}

// settled waits until nothing is in flight.
func (f *compactedQueue) settled() *Partition {
	f.t.Helper()
	p := f.partition()
	f.must(p.group.Load().Propose(batch.KindNoop, nil).Wait(f.t.Context()))
	return p
}

// save remembers the state as a checkpoint does.
func (f *compactedQueue) save() {
	f.t.Helper()
	p := f.settled()
	f.saved = append(f.saved, savedShares{p.plog.LastIndex(), p.highWatermark(), p.machine.Snapshot()})
}

func (f *compactedQueue) count() {
	f.t.Helper()
	f.written += f.shareBytes(f.counted)
	f.counted = f.partition().plog.LastIndex()
}

// shareBytes returns how many bytes of the log, after an entry, are about share groups.
func (f *compactedQueue) shareBytes(after log.Index) (n int64) {
	f.t.Helper()
	for _, e := range f.entries(after) {
		if e.Kind == batch.KindShare {
			n += int64(e.Header.Length)
		}
	}
	return n
}

// updatesOf returns how many updates of a group the log has.
func (f *compactedQueue) updatesOf(group string) (n int) {
	f.t.Helper()
	for _, e := range f.entries(0) {
		if e.Kind != batch.KindShare {
			continue
		}
		if s, err := decodeShareEntry(e.Payload); err == nil && s.group == group && s.op == shareChanged {
			n++
		}
	}
	return n
}

// entries returns what the log has after an entry, as a state machine gets it.
func (f *compactedQueue) entries(after log.Index) (entries []raft.Entry) {
	f.t.Helper()
	l := f.partition().plog
	for i := max(after+1, l.FirstIndex()); i <= l.LastIndex(); {
		info, err := l.Info(i)
		f.must(err)
		e := raft.Entry{Index: info.First, Epoch: info.Header.Epoch, Kind: info.Header.Kind, Header: info.Header}
		if e.Kind != batch.KindData && e.Kind != batch.KindGap {
			b, err := l.Entry(i)
			f.must(err)
			e.Payload = b.InternalPayload()
		}
		entries = append(entries, e)
		i = info.First + log.Index(info.Header.Entries())
	}
	return entries
}

// replay returns the state of share groups at a replica that has a state, nil for a new one, and gets the entries after it.
func (f *compactedQueue) replay(from savedShares) []byte {
	f.t.Helper()
	p := f.partition()
	other := f.manager.newPartition(&replica{id: p.ID, plog: p.plog}, f.image.Topics[topicID], *p.config.Load())
	f.must(other.machine.Restore(from.state))
	for entries := f.entries(from.at); len(entries) > 0; { // in groups, as they are committed
		n := min(1+f.rnd.IntN(10), len(entries))
		other.machine.Apply(entries[:n])
		entries = entries[n:]
	}
	if other.highWatermark() != p.highWatermark() {
		f.t.Fatalf("the high watermark is %d, want %d", other.highWatermark(), p.highWatermark())
	}
	return other.machine.shares.appendTo(nil)
}

// agree checks that replicas agree with the leader, which applied everything, wherever they begin: new ones, and members, all of which
// were compacted up to where something was dropped for good.
func (f *compactedQueue) agree() {
	f.t.Helper()
	p := f.settled()
	want := p.machine.shares.appendTo(nil)
	f.dropTo = max(f.dropTo, p.compactionState().dropTo) // a later decision may drop nothing
	for _, g := range f.groups {
		p.shares.mu.Lock()
		ahead, err := p.share(g)
		same := err != nil || bytes.Equal(ahead.leader.Partition().AppendTo(nil), p.machine.shareState(g).AppendTo(nil))
		p.shares.mu.Unlock()
		if !same {
			f.t.Fatalf("of group %s the leader knows something else than what is replicated", g)
		}
	}
	for _, from := range append([]savedShares{{}}, f.saved...) {
		if from.at > 0 && from.hw < f.dropTo || from.at+1 < p.plog.FirstIndex() { // the latter get the leader's state
			continue
		}
		f.replays++
		if got := f.replay(from); !bytes.Equal(got, want) {
			f.t.Fatalf("after entry %d of %d:\n%x\nthe leader has\n%x", from.at, f.counted, got, want)
		}
	}
}

// TestShareCompaction: the log of a compacted topic with busy share groups does not grow for ever, and replicas that get what is left of it,
// from the start or from where they were, have the state of one that got everything.
func TestShareCompaction(t *testing.T) {
	f := newCompactedQueue(t, 1, "min.cleanable.dirty.ratio", "0.3")
	var largest int64
	for round := range 12 {
		f.work(150)
		switch round {
		case 4:
			f.must(f.partition().ShareDelete(t.Context(), "deleted", f.asked()))
		case 6:
			f.must(f.partition().ShareReset(t.Context(), "other", f.asked(), 5))
		case 8:
			f.must(f.partition().ShareInitialize(t.Context(), "deleted", f.asked()))
		}
		f.compact()
		f.agree()
		if n := f.updatesOf("deleted"); round == 6 && n > 0 {
			t.Errorf("%d updates of a group are left that was deleted before the last compaction but one", n)
		}
		largest = max(largest, f.shareBytes(0))
	}
	t.Logf("%d bytes about share groups were written, at most %d were left, %d are; the log has %d", f.written, largest, f.shareBytes(0), f.partition().Size())
	// One group's updates are at most what is not worth a snapshot, and what came between two compactions.
	if bound := int64(len(f.groups)) * 3 * minShareUpdates; f.written < 2*bound || largest > bound || f.partition().Size() > 2*bound {
		t.Errorf("the log does not stay bounded: the bound is %d", bound)
	}
	want := f.settled().machine.shares.appendTo(nil)
	f.restart()
	if got := f.partition().machine.shares.appendTo(nil); !bytes.Equal(got, want) {
		t.Errorf("after a restart\n%x\nbefore\n%x", got, want)
	}
	f.saved = f.saved[len(f.saved)-1:]
	f.work(20)
	f.agree()
}

// snapshot proposes a snapshot of a group, however little there is to supersede.
func (f *compactedQueue) snapshot(group string) {
	f.t.Helper()
	p := f.partition()
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	if g, err := p.share(group); err == nil {
		p.snapshotShare(g, math.MaxInt64)
	}
}

// TestShareCompactionRandom does what groups, administrators, retention and compaction do in any order, with snapshots at any time, also
// while decisions are in flight.
func TestShareCompactionRandom(t *testing.T) {
	replays, dropped := 0, int64(0)
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			f := newCompactedQueue(t, seed, "internal.segment.bytes", "3000", "delete.retention.ms", "10000")
			for range 150 {
				f.step()
			}
			f.agree()
			replays += f.replays
			dropped += f.written - f.shareBytes(0)
		})
	}
	t.Logf("%d replays, %d bytes of entries about share groups were dropped", replays, dropped)
	if replays < 500 || dropped < 50_000 {
		t.Error("that proves little")
	}
}

func (f *compactedQueue) step() {
	f.t.Helper()
	p, g := f.partition(), f.groups[f.rnd.IntN(len(f.groups))]
	switch f.rnd.IntN(12) {
	case 0:
		f.must(p.ShareDelete(f.t.Context(), g, f.asked()))
	case 1:
		f.must(p.ShareInitialize(f.t.Context(), g, f.asked()))
	case 2:
		to := p.logStartOffset() + log.Offset(f.rnd.Int64N(int64(p.highWatermark()-p.logStartOffset())+1))
		f.must(p.ShareReset(f.t.Context(), g, f.asked(), to))
	case 3:
		to := p.logStartOffset() + log.Offset(f.rnd.Int64N(10))
		p.group.Load().Propose(batch.KindLogStart, binary.BigEndian.AppendUint64(nil, uint64(to)))
		f.snapshot(g)
	case 4:
		if p.machine.shareState(g) != nil {
			a, err := p.ShareAcquire(ShareAcquire{Group: g, Member: "m", MaxRecords: 3, MaxBytes: 1 << 20, MinOne: true})
			f.must(err)
			f.snapshot(g)
			if a != nil {
				_, err = a.Wait(f.t.Context())
				f.must(err)
			}
		}
	case 5, 6:
		f.snapshot(g)
	case 7, 8:
		f.settled()
		if f.compact() {
			f.agree()
		}
	case 9:
		f.restart()
	default:
		f.work(1 + f.rnd.IntN(10))
	}
}

// A window in so many pieces that one entry would not hold it has no snapshot, nor has one whose updates are not worth it.
func TestShareSnapshotSize(t *testing.T) {
	f := newCompactedQueue(t, 1)
	p := f.partition()
	runs := func(n int) share.Change {
		c := share.Change{Reset: true}
		for o := range log.Offset(n) {
			c.Runs = append(c.Runs, share.Run{First: o, Last: o, State: share.Available, DeliveryCount: int16(o % 2)})
		}
		return c
	}
	for _, tc := range []struct {
		runs    int
		updates int64
		want    bool
	}{
		{1000, 4 * 4500, true},
		{1000, 4 * 3500, false},
		{200_000, math.MaxInt64, true},
		{300_000, math.MaxInt64, false},
		{400_000, math.MaxInt64, false},
	} {
		p.shares.mu.Lock()
		g, err := p.share("busy")
		f.must(err)
		state := share.New(0)
		state.Apply(runs(tc.runs))
		g.leader, g.snapshot = share.NewLeader(state), nil
		p.snapshotShare(g, tc.updates)
		proposed := g.snapshot
		p.shares.mu.Unlock()
		if (proposed != nil) != tc.want {
			t.Errorf("%d runs, %d bytes of updates: proposed a snapshot: %v", tc.runs, tc.updates, proposed != nil)
		}
		if proposed != nil {
			f.must(proposed.Wait(t.Context()))
			if got := p.machine.shareState("busy"); !bytes.Equal(got.AppendTo(nil), state.AppendTo(nil)) {
				t.Errorf("%d runs: the state is another", tc.runs)
			}
		}
	}
}
