package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/log/vfs"
	"balsa/raft"
)

// transactional makes a batch of a producer's transaction.
func transactional(t *testing.T, producer int64, epoch int16, sequence int32, values ...string) batch.Batch {
	t.Helper()
	var rs []batch.Record
	for i, v := range values {
		rs = append(rs, batch.Record{Value: []byte(v), Timestamp: 1_699_999_000_000 + int64(i)})
	}
	b, err := batch.BuildRecords(rs, batch.BuildOptions{
		Producer: &batch.Producer{ID: producer, Epoch: epoch, Sequence: sequence}, Transactional: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// send produces a batch of a transaction, verified if it needs to be.
func (f *fixture) send(b batch.Batch) (log.Offset, error) {
	f.t.Helper()
	p := f.partition()
	v, err := p.Verify(b.Header(), false)
	if err != nil {
		f.t.Fatal(err)
	}
	defer p.Release(b.Header(), v)
	a, err := p.Produce(b, v)
	if err != nil {
		return -1, err
	}
	got, err := a.Wait(context.Background())
	return got.BaseOffset, err
}

func (f *fixture) mustSend(b batch.Batch) log.Offset {
	f.t.Helper()
	o, err := f.send(b)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// mark writes a marker and waits for it.
func (f *fixture) mark(m Marker) (log.Offset, error) {
	f.t.Helper()
	a, err := f.partition().WriteMarker(m)
	if err != nil {
		return -1, err
	}
	got, err := a.Wait(context.Background())
	return got.BaseOffset, err
}

func (f *fixture) mustMark(m Marker) log.Offset {
	f.t.Helper()
	o, err := f.mark(m)
	if err != nil {
		f.t.Fatal(err)
	}
	return o
}

// lso is what clients are told, by fetch and by ListOffsets.
func (f *fixture) lso() log.Offset {
	f.t.Helper()
	p := f.partition()
	got, err := p.Fetch(FetchArgs{MaxBytes: 0, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, ReadCommitted: true, Offset: p.logStartOffset()})
	if err != nil {
		f.t.Fatal(err)
	}
	latest, err := p.ListOffset(LatestTimestamp, -1, true)
	if err != nil || latest.Offset != got.LastStableOffset {
		f.t.Fatalf("ListOffsets says %d, %v; Fetch %d", latest.Offset, err, got.LastStableOffset)
	}
	return got.LastStableOffset
}

// The last stable offset is the first offset of the oldest transaction that has no marker, and nothing else (redpanda
// #3036 and #6630 were off by one, or counted for readers of uncommitted records).
func TestLastStableOffset(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "a")); err != nil { // 0
		t.Fatal(err)
	}
	steps := []struct {
		do  func() log.Offset
		at  log.Offset
		lso log.Offset
	}{
		{func() log.Offset { return f.mustSend(transactional(t, 1, 0, 0, "b", "c")) }, 1, 1},
		{func() log.Offset { return f.mustSend(transactional(t, 2, 0, 0, "d")) }, 3, 1},
		{func() log.Offset { return f.mustSend(transactional(t, 1, 0, 2, "e")) }, 4, 1},
		{func() log.Offset { return f.mustMark(Marker{ProducerID: 1, Commit: true}) }, 5, 3},
		{func() log.Offset { return f.mustSend(transactional(t, 1, 0, 3, "f")) }, 6, 3},
		{func() log.Offset { return f.mustMark(Marker{ProducerID: 2}) }, 7, 6},
		{func() log.Offset { return f.mustMark(Marker{ProducerID: 3, Commit: true}) }, 8, 6}, // of no transaction
		{func() log.Offset { return f.mustMark(Marker{ProducerID: 1}) }, 9, 10},
	}
	for i, s := range steps {
		if at := s.do(); at != s.at {
			t.Errorf("step %d went to offset %d, want %d", i, at, s.at)
		}
		for range 2 {
			if got := f.lso(); got != s.lso {
				t.Errorf("after step %d the last stable offset is %d, want %d", i, got, s.lso)
			}
			if _, hw, _ := f.partition().Offsets(); hw < s.at+1 {
				t.Errorf("after step %d the high watermark is %d", i, hw)
			}
			if i%3 == 0 { // the same from a saved position and the log behind it
				f.stop()
				f.start()
			}
		}
	}
}

func TestTransactionRules(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	if _, err := p.Produce(transactional(t, 1, 0, 0, "x"), nil); !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("a batch that was not verified: %v", err)
	}
	f.mustSend(transactional(t, 1, 0, 0, "a"))
	if _, err := f.produce(records(t, 1, 0, 1, "x")); !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("a batch outside of the open transaction: %v", err)
	}
	if _, err := f.produce(transactional(t, 1, 0, 1, "b")); err != nil {
		t.Errorf("the next batch of the transaction: %v", err)
	}
	if _, err := p.Produce(transactional(t, 1, 1, 0, "x"), nil); !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("a batch of a new epoch that was not verified: %v", err)
	}
	if _, err := f.mark(Marker{ProducerID: 1, ProducerEpoch: -1}); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("a marker of an older epoch: %v", err)
	}
	f.mustMark(Marker{ProducerID: 1, ProducerEpoch: 1, CoordinatorEpoch: 5, TransactionVersion: 2})
	if _, err := f.send(transactional(t, 1, 0, 2, "zombie")); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("a batch of the epoch that the marker ended: %v", err)
	}
	if _, err := f.send(transactional(t, 1, 1, 3, "gap")); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("a new epoch that does not begin at 0: %v", err)
	}
	if _, err := f.mark(Marker{ProducerID: 1, ProducerEpoch: 2, CoordinatorEpoch: 4}); !errors.Is(err, kerr.TransactionCoordinatorFenced) {
		t.Errorf("a marker of a coordinator that has a successor: %v", err)
	}
	// The coordinator does not know what became of its marker and repeats it, before and after the next transaction began.
	again := Marker{ProducerID: 1, ProducerEpoch: 1, CoordinatorEpoch: 5, TransactionVersion: 2}
	if _, err := f.mark(again); err != nil {
		t.Errorf("a marker again: %v", err)
	}
	f.mustSend(transactional(t, 1, 1, 0, "c"))
	if _, err := f.mark(again); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("a marker again, in the transaction after it: %v", err)
	}
}

func TestMarkerInFlightIsSharedAndOrdered(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	b := transactional(t, 1, 0, 0, "a")
	h := b.Header()
	v, err := p.Verify(h, true)
	if err != nil || v == nil {
		t.Fatal(v, err)
	}
	// All without waiting: what is in flight counts.
	first, err := p.Produce(b, v)
	if err != nil {
		t.Fatal(err)
	}
	m := Marker{ProducerID: 1, ProducerEpoch: 1, CoordinatorEpoch: 3, Commit: true, TransactionVersion: 2}
	marker, err := p.WriteMarker(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Produce(transactional(t, 1, 0, 1, "late"), v); !errors.Is(err, kerr.InvalidTxnState) {
		t.Errorf("a batch whose verification is older than the marker: %v", err)
	}
	p.Release(h, v)
	for _, a := range []*Append{first, marker} {
		if _, err := a.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if got := f.lso(); got != 2 {
		t.Errorf("last stable offset %d, want 2", got)
	}
	if len(p.verifying) > 0 || len(p.machine.ahead) > 0 {
		t.Errorf("left behind: %v, %v", p.verifying, p.machine.ahead)
	}
}

// With transaction version 2 the client may begin the next transaction before the markers of the last one are written. Its
// verification then is not about the transaction that they end.
func TestMarkerOfTheTransactionBefore(t *testing.T) {
	for version, want := range map[int8]error{1: kerr.InvalidTxnState, 2: nil} {
		f := newFixture(t, nil)
		p := f.partition()
		f.mustSend(transactional(t, 1, 0, 0, "a"))
		b := transactional(t, 1, 1, 0, "b")
		h := b.Header()
		v, err := p.Verify(h, true)
		if err != nil || v == nil {
			t.Fatal(v, err)
		}
		f.mustMark(Marker{ProducerID: 1, ProducerEpoch: 1, Commit: true, TransactionVersion: version})
		if _, err := p.Produce(b, v); !errors.Is(err, want) {
			t.Errorf("transaction version %d: %v, want %v", version, err, want)
		}
		p.Release(h, v)
		f.stop()
	}
}

func TestVerificationKeepsTheOrder(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	first, second := transactional(t, 1, 0, 0, "a"), transactional(t, 1, 0, 1, "b")
	h1, h2 := first.Header(), second.Header()
	v, err := p.Verify(h1, true)
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.Verify(h2, true)
	if err != nil || w != v {
		t.Fatalf("%p and %p, %v: two verifications of one producer", v, w, err)
	}
	if _, err := p.Produce(second, w); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("the second batch, verified first: %v", err)
	}
	if _, err := p.Produce(first, v); err != nil {
		t.Error(err)
	}
	if _, err := p.Produce(second, w); err != nil {
		t.Errorf("the second batch after the first: %v", err)
	}
	p.Release(h1, v)
	p.Release(h2, w)
	if v, err := p.Verify(h2, true); v != nil || err != nil {
		t.Errorf("the transaction is open and asked for again: %v, %v", v, err)
	}
	// Under transaction version 2 every transaction begins at sequence 0, known producer or not.
	third := transactional(t, 2, 7, 5, "c")
	v, err = p.Verify(third.Header(), true)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release(third.Header(), v)
	if _, err := p.Produce(third, v); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("a transaction that does not begin at 0: %v", err)
	}
}

func TestProducersOfAPartition(t *testing.T) {
	f := newFixture(t, nil)
	f.mustSend(transactional(t, 9, 2, 0, "a", "b"))
	f.mustSend(transactional(t, 4, 0, 0, "c"))
	f.mustMark(Marker{ProducerID: 4, ProducerEpoch: 1, CoordinatorEpoch: 6, TransactionVersion: 2})
	for range 2 {
		got := f.partition().Producers()
		want := []ProducerState{
			{ProducerID: 4, ProducerEpoch: 1, LastSequence: -1, LastTimestamp: f.clock().UnixMilli(), CoordinatorEpoch: 6, TransactionStart: -1},
			{ProducerID: 9, ProducerEpoch: 2, LastSequence: 1, LastTimestamp: 1_699_999_000_001, CoordinatorEpoch: -1, TransactionStart: 0},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		f.stop()
		f.start()
	}
}

func TestOpenTransactionsDoNotExpire(t *testing.T) {
	table := newProducerTable()
	h := produced(0, 0, 1, 5)
	h.Attributes |= batch.AttrTransactional
	table.applied(h)
	for range 20 {
		table.expire(5)
	}
	if table.producers[1] == nil || table.firstUnstable() != 5 {
		t.Fatal("a producer with an open transaction was forgotten")
	}
	if first := table.ended(batch.EndTransaction{ProducerID: 1}, 1); first != 5 {
		t.Errorf("the transaction began at %d, want 5", first)
	}
	for range 6 {
		table.expire(5)
	}
	if len(table.producers) > 0 || table.firstUnstable() != noOffset {
		t.Error("an idle producer was kept beyond its time")
	}
}

// A state as the first released version saved it, without transactions.
func TestMachineRestoresVersion1(t *testing.T) {
	plog := emptyLog(t)
	p := &Partition{plog: plog}
	m := newMachine(p)
	state := []byte{1, 2 * 40, 2 * 3 /* one producer: id 7, epoch 2, one batch 5..6 at 38, timestamp 100 */, 1, 14, 4, 1, 10, 12, 76, 200, 1}
	if err := m.Restore(state); err != nil {
		t.Fatal(err)
	}
	want := &producer{
		epoch: 2, coordinatorEpoch: -1, txnStart: noOffset, timestamp: 100,
		batches: []sequenced{{first: 5, last: 6, base: 38, timestamp: 100}},
	}
	if got := m.producers.producers[7]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	if p.highWatermark() != 40 || p.stable() != 40 || p.logStartOffset() != 3 {
		t.Errorf("offsets %d, %d, %d", p.highWatermark(), p.stable(), p.logStartOffset())
	}
	if err := m.Restore([]byte{machineVersion + 1, 0, 0, 0}); err == nil {
		t.Error("a state of a version that is yet to come was taken")
	}
	// The log may start within an open transaction.
	h := produced(0, 0, 10, 40)
	h.Attributes |= batch.AttrTransactional
	m.producers.applied(h)
	p.hw.Store(50)
	p.lso.Store(40)
	p.logStart.Store(45)
	if p.stable() != 45 {
		t.Errorf("last stable offset %d before the log start 45", p.stable())
	}
	again := newMachine(&Partition{plog: plog})
	if err := again.Restore(m.Snapshot()); err != nil || !reflect.DeepEqual(again.producers.open, m.producers.open) {
		t.Errorf("open transactions %v became %v, %v", m.producers.open, again.producers.open, err)
	}
	if got := fmt.Sprint(again.p.lastStable()); got != "40" {
		t.Errorf("last stable offset %s after a restore", got)
	}
}

// emptyLog is a log whose next offset is 50.
func emptyLog(t *testing.T) *log.Log {
	t.Helper()
	l, _, err := log.Open("data/log", log.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Reset(1, 50, 0, nil); err != nil {
		t.Fatal(err)
	}
	return l
}

// committed reads with read_committed from an offset on as a consumer does: without the batches of aborted transactions.
func (f *fixture) committed(from log.Offset, maxBytes int) (values []string, aborted []log.AbortedTxn) {
	f.t.Helper()
	got, err := f.partition().Fetch(FetchArgs{
		Offset: from, MaxBytes: maxBytes, MinOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, ReadCommitted: true,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	defer got.Slice.Release()
	raw, err := got.Slice.AppendTo(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	return consume(f.t, raw, got.Aborted), got.Aborted
}

// consume is Kafka's consumer: a producer's batches are left out from the first offset of its aborted transaction on, to
// its abort marker.
func consume(t *testing.T, raw []byte, aborted []log.AbortedTxn) (values []string) {
	t.Helper()
	skip, left := map[int64]bool{}, append([]log.AbortedTxn(nil), aborted...)
	for len(raw) > 0 {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		b := batch.Batch(raw[:h.Length])
		raw = raw[h.Length:]
		left = slices.DeleteFunc(left, func(a log.AbortedTxn) bool {
			begun := a.First <= h.LastOffset()
			skip[a.ProducerID] = skip[a.ProducerID] || begun
			return begun
		})
		if h.IsControl() {
			if e, ok, err := batch.ParseEndTransaction(b); err != nil {
				t.Fatal(err)
			} else if ok && !e.Commit {
				delete(skip, e.ProducerID)
			}
			continue
		}
		if h.IsTransactional() && skip[h.ProducerID] {
			continue
		}
		vs, err := b.Values()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range vs {
			values = append(values, string(v))
		}
	}
	return values
}

// Transactions of several producers, interleaved and over many segments: whatever the range, whoever reads committed
// records gets those of committed transactions and nothing else, also after restarts.
func TestAbortedRecordsAreLeftOut(t *testing.T) {
	for seed := range uint64(6) {
		f := newFixture(t, map[string]string{"internal.segment.bytes": "1024"})
		rnd := rand.New(rand.NewPCG(seed, 9))
		sequence := map[int64]int32{}
		open := map[int64][]string{}
		fate := map[string]bool{} // of each value: whether its transaction was committed
		offset := map[string]log.Offset{}
		for i := range 150 {
			id := int64(rnd.IntN(4))
			if len(open[id]) > 0 && rnd.IntN(3) == 0 {
				commit := rnd.IntN(2) == 0
				f.mustMark(Marker{ProducerID: id, Commit: commit})
				for _, v := range open[id] {
					fate[v] = commit
				}
				delete(open, id)
				continue
			}
			v := fmt.Sprint("v", i)
			offset[v] = f.mustSend(transactional(t, id, 0, sequence[id], v))
			sequence[id]++
			open[id] = append(open[id], v)
			if rnd.IntN(40) == 0 {
				f.stop()
				f.start()
			}
		}
		f.stop()
		f.start()
		end := f.lso()
		for from := log.Offset(0); from < end; from += log.Offset(1 + rnd.IntN(9)) {
			got, _ := f.committed(from, 1+rnd.IntN(3000))
			for _, v := range got {
				if !fate[v] {
					t.Errorf("seed %d, from %d: %s at %d was not committed", seed, from, v, offset[v])
				}
			}
			all, aborted := f.committed(from, 1<<20)
			want := 0
			for v, ok := range fate {
				if ok && offset[v] >= from && offset[v] < end {
					want++
				}
			}
			if len(all) != want {
				t.Errorf("seed %d, from %d: %d records, want %d (aborted %v)", seed, from, len(all), want, aborted)
			}
		}
		f.stop()
	}
}

// A follower that takes a leader's state and then the log that it covers finds the same aborted transactions, also when
// it is stopped in between.
func TestReindex(t *testing.T) {
	plog, _, err := log.Open("data/log", log.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	leader := newMachine(&Partition{plog: plog})
	entries := []raft.Entry{}
	next := log.Offset(100)
	add := func(b batch.Batch) {
		b.Stamp(next, 1)
		e := raft.Entry{Index: log.Index(len(entries) + 1), Header: b.Header()}
		if e.Header.IsControl() {
			e.Payload = b
		}
		next = e.Header.NextOffset()
		entries = append(entries, e)
	}
	leader.p.hw.Store(100)
	before := produced(0, 0, 5, 90) // open since before the log of the follower starts
	before.Attributes |= batch.AttrTransactional
	leader.producers.applied(before)
	add(transactional(t, 2, 0, 0, "a", "b"))          // 100
	add(transactional(t, 1, 0, 5, "c"))               // 102
	add(batch.EndTransaction{ProducerID: 1}.Build(1)) // 103: aborts 90..102
	add(transactional(t, 3, 0, 0, "d"))               // 104
	add(batch.EndTransaction{ProducerID: 2}.Build(1)) // 105: aborts 100..
	add(batch.EndTransaction{ProducerID: 3, Commit: true}.Build(1))
	add(batch.EndTransaction{ProducerID: 4}.Build(1)) // 107: of nothing
	add(transactional(t, 3, 0, 1, "e"))               // 108: stays open
	leader.Apply(entries)
	state := leader.Snapshot()

	followerLog, _, err := log.Open("data/log", log.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	if err := followerLog.Reset(1, 100, 0, nil); err != nil {
		t.Fatal(err)
	}
	follower := newMachine(&Partition{plog: followerLog})
	if err := follower.Restore(state); err != nil {
		t.Fatal(err)
	}
	if follower.p.highWatermark() != 100 {
		t.Errorf("high watermark %d before anything came", follower.p.highWatermark())
	}
	for i, e := range entries {
		follower.Reindex([]raft.Entry{e})
		if i == 3 {
			if got := follower.p.stable(); got != 100 {
				t.Errorf("last stable offset %d in the middle, want 100", got)
			}
			saved := follower.Snapshot()
			if err := followerLog.Reset(5, 105, 1, saved); err != nil { // the log goes on where it was
				t.Fatal(err)
			}
			follower = newMachine(&Partition{plog: followerLog})
			if err := follower.Restore(saved); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := followerLog.AbortedTxns(0, 200)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(want) != "[{2 100 105 104}]" { // the one before the Reset went with it
		t.Errorf("aborted: %v", want)
	}
	add(batch.EndTransaction{ProducerID: 3}.Build(1))
	follower.Apply(entries[len(entries)-1:])
	leader.Apply(entries[len(entries)-1:])
	if !bytes.Equal(follower.Snapshot(), leader.Snapshot()) {
		t.Errorf("follower %x\nleader   %x", follower.Snapshot(), leader.Snapshot())
	}
	for _, l := range []*log.Log{plog, followerLog} {
		txns, err := l.AbortedTxns(106, 200)
		if err != nil || fmt.Sprint(txns) != "[{3 108 109 110}]" {
			t.Errorf("aborted: %v, %v", txns, err)
		}
	}
}

// A parked fetch of committed records wakes when the last stable offset moves, which may be without a new record for it.
func TestWaiterForCommittedRecords(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	f.mustSend(transactional(t, 1, 0, 0, "a"))
	w := NewWaiter(1<<20, true)
	p.Watch(w, f.lso())
	defer p.Unwatch(w)
	f.mustSend(transactional(t, 1, 0, 1, "b"))
	select {
	case <-w.C():
		t.Error("woken by records of an open transaction")
	default:
	}
	f.mustMark(Marker{ProducerID: 1, Commit: true})
	<-w.C()
}
