package partition

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
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
	v, err := p.Verify(b.Header(), true)
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
	p.Release(b.Header(), v)
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

func TestVerificationKeepsTheOrder(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	first, second := transactional(t, 1, 0, 0, "a"), transactional(t, 1, 0, 1, "b")
	v, err := p.Verify(first.Header(), true)
	if err != nil {
		t.Fatal(err)
	}
	w, err := p.Verify(second.Header(), true)
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
	p.Release(first.Header(), v)
	p.Release(second.Header(), w)
	if v, err := p.Verify(second.Header(), true); v != nil || err != nil {
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
		got, err := f.partition().Producers()
		if err != nil {
			t.Fatal(err)
		}
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
	p := &Partition{}
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
	if err := m.Restore([]byte{3, 0, 0, 0}); err == nil {
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
	again := newMachine(&Partition{})
	if err := again.Restore(m.Snapshot()); err != nil || !reflect.DeepEqual(again.producers.open, m.producers.open) {
		t.Errorf("open transactions %v became %v, %v", m.producers.open, again.producers.open, err)
	}
	if got := fmt.Sprint(again.p.lastStable()); got != "40" {
		t.Errorf("last stable offset %s after a restore", got)
	}
}
