package partition

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/internal/wire"
	"balsa/log"
	"balsa/log/batch"
	"balsa/raft"
)

// compacted are the configs of a topic that is compacted whenever there is anything to compact.
func compacted(more ...string) map[string]string {
	configs := map[string]string{
		"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "internal.segment.bytes": "500", "delete.retention.ms": "60000",
		"message.timestamp.type": "LogAppendTime",
	}
	for i := 0; i < len(more); i += 2 {
		configs[more[i]] = more[i+1]
	}
	return configs
}

// keyedBatch makes a batch of key, value, key, value...; the value "-" deletes.
func keyedBatch(t *testing.T, o batch.BuildOptions, pairs ...string) batch.Batch {
	t.Helper()
	var rs []batch.Record
	for i := 0; i < len(pairs); i += 2 {
		rec := batch.Record{Key: []byte(pairs[i]), Timestamp: 1_699_999_000_000}
		if pairs[i+1] != "-" {
			rec.Value = []byte(pairs[i+1])
		}
		rs = append(rs, rec)
	}
	b, err := batch.BuildRecords(rs, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fixture) put(pairs ...string) log.Offset {
	f.t.Helper()
	got, err := f.produce(keyedBatch(f.t, batch.BuildOptions{}, pairs...))
	if err != nil {
		f.t.Fatal(err)
	}
	return got.BaseOffset
}

// fillSegment writes so much that what was there is in a sealed segment.
func (f *fixture) fillSegment() {
	f.t.Helper()
	f.put("filler", fmt.Sprintf("%450d", 0))
	f.put("end", fmt.Sprintf("%100d", 0))
}

// compact lets the leader decide, and the cleaner work. It says whether there was anything to do.
func (f *fixture) compact() bool {
	f.t.Helper()
	p := f.partition()
	before := p.compactionState().to
	if err := p.decideCompaction(context.Background(), f.clock(), f.manager.cleanedBy); err != nil {
		f.t.Fatal(err)
	}
	if p.deciding == nil {
		return false
	}
	if err := p.deciding.Wait(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	if p.compactionState().to <= before {
		f.t.Fatalf("decided on %d after %d", p.compactionState().to, before)
	}
	due := f.manager.cleaner.due()
	if len(due) != 1 || !f.manager.cleaner.compact(context.Background(), due[0]) {
		f.t.Fatalf("%d logs to compact, and it failed", len(due))
	}
	if len(f.manager.cleaner.due()) > 0 || p.plog.CleanedTo() != p.compactionState().to {
		f.t.Fatal("there is more to do")
	}
	return true
}

// visible returns the records and control batches that a consumer gets from offset 0, as offset:key=value, without fillers.
func (f *fixture) visible() (records []string) {
	f.t.Helper()
	p := f.partition()
	for at := log.Offset(0); at < p.highWatermark(); {
		got, err := p.Fetch(FetchArgs{Offset: at, MaxBytes: 1 << 20, MinOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil {
			f.t.Fatal(err)
		}
		raw, err := got.Slice.AppendTo(nil)
		got.Slice.Release()
		if err != nil {
			f.t.Fatal(err)
		}
		if got.Slice.NextOffset == at {
			f.t.Fatalf("a consumer does not get beyond offset %d of %d", at, p.highWatermark())
		}
		at = got.Slice.NextOffset
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil {
				f.t.Fatal(err)
			}
			if h.IsControl() {
				records = append(records, fmt.Sprintf("%d:marker", h.BaseOffset))
			}
			if h.Count == 0 {
				records = append(records, fmt.Sprintf("%d:empty", h.BaseOffset))
			}
			for r := batch.Batch(raw[:h.Length]).Records(1 << 20); r.Next() && !h.IsControl(); {
				rec := r.Record()
				switch key := string(rec.Key); {
				case key == "filler" || key == "end":
				case rec.Value == nil:
					records = append(records, fmt.Sprintf("%d:%s", rec.Offset, key))
				default:
					records = append(records, fmt.Sprintf("%d:%s=%s", rec.Offset, key, rec.Value))
				}
			}
			raw = raw[h.Length:]
		}
	}
	return records
}

func (f *fixture) see(want ...string) {
	f.t.Helper()
	if got := f.visible(); fmt.Sprint(got) != fmt.Sprint(want) {
		f.t.Fatalf("a consumer sees\n%v\nwant\n%v", got, want)
	}
}

// restart stops the node, as a clean stop does, and starts it again.
func (f *fixture) restart() {
	f.t.Helper()
	f.stop()
	f.start()
}

func TestCompactionKeepsTheLastRecordOfEachKey(t *testing.T) {
	f := newFixture(t, compacted())
	f.put("a", "1", "b", "1", "a", "2")
	f.put("c", "1")
	f.put("b", "2", "d", "1")
	if f.compact() {
		t.Fatal("the active segment was compacted")
	}
	f.fillSegment()
	if !f.compact() {
		t.Fatal("nothing was compacted")
	}
	f.see("2:a=2", "3:c=1", "4:b=2", "5:d=1")
	f.put("c", "2", "a", "-")
	f.fillSegment()
	f.restart()
	f.compact()
	f.see("4:b=2", "5:d=1", "8:c=2", "9:a")
	f.restart()
	f.see("4:b=2", "5:d=1", "8:c=2", "9:a")
	stats := f.manager.CleanerStats()
	if stats.Compactions != 0 || stats.Running != 0 { // of this life
		t.Errorf("stats %+v", stats)
	}
	if f.partition().Size() != f.partition().plog.Size() {
		t.Error("the size is not what is on the disk")
	}
}

// Tombstones stay for delete.retention.ms after they were first compacted, and go when every replica is compacted as far as was
// decided then.
func TestTombstonesGo(t *testing.T) {
	f := newFixture(t, compacted())
	f.put("a", "1", "b", "1")
	f.put("a", "-", "c", "-")
	f.fillSegment()
	f.compact()
	f.see("1:b=1", "2:a", "3:c")
	f.advance(59 * time.Second)
	f.fillSegment()
	f.compact()
	f.see("1:b=1", "2:a", "3:c")
	f.advance(2 * time.Second)
	f.fillSegment()
	elsewhere := func(context.Context, raft.NodeID, raft.GroupID) (log.Offset, error) { return 1, nil }
	p := f.partition()
	if err := p.decideCompaction(context.Background(), f.clock(), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := p.deciding.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	f.manager.cleaner.compact(context.Background(), f.manager.cleaner.due()[0])
	f.see("1:b=1", "2:a", "3:c") // a replica that is not so far might never see them
	f.fillSegment()
	f.compact()
	f.see("1:b=1")
	f.put("c", "1", "b", "-")
	f.fillSegment()
	f.compact() // what is new counts from now on
	f.see("12:c=1", "13:b")
}

// Records of aborted transactions go, markers go when nothing of their transaction is left and all replicas know that.
func TestCompactionOfTransactions(t *testing.T) {
	f := newFixture(t, compacted("delete.retention.ms", "0"))
	txn := func(producer int64, sequence int32, pairs ...string) {
		t.Helper()
		f.mustSend(keyedBatch(t, batch.BuildOptions{
			Producer: &batch.Producer{ID: producer, Epoch: 1, Sequence: sequence}, Transactional: true,
		}, pairs...))
	}
	f.put("a", "0", "b", "0")                                                              // 0
	txn(7, 0, "a", "aborted")                                                              // 2
	txn(8, 0, "b", "committed")                                                            // 3
	f.mustMark(Marker{ProducerID: 7, ProducerEpoch: 1, CoordinatorEpoch: 1})               // 4
	f.mustMark(Marker{ProducerID: 8, ProducerEpoch: 1, CoordinatorEpoch: 1, Commit: true}) // 5
	txn(7, 1, "c", "committed")                                                            // 6
	f.mustMark(Marker{ProducerID: 7, ProducerEpoch: 1, CoordinatorEpoch: 1, Commit: true}) // 7
	f.fillSegment()                                                                        // 8, 9
	f.compact()
	f.see("0:a=0", "3:b=committed", "4:marker", "5:marker", "6:c=committed", "7:marker")
	f.fillSegment() // 10, 11
	f.compact()
	f.see("0:a=0", "3:b=committed", "5:marker", "6:c=committed", "7:marker")
	f.put("b", "1", "c", "1") // 12, 13
	f.fillSegment()
	f.restart()
	f.compact() // the last batch of a producer that may come back stays, empty
	f.see("0:a=0", "3:empty", "5:marker", "6:empty", "7:marker", "12:b=1", "13:c=1")
	f.fillSegment()
	f.compact()
	f.see("0:a=0", "3:empty", "6:empty", "12:b=1", "13:c=1")
	txn(7, 2, "c", "2")
	if _, err := f.send(keyedBatch(t, batch.BuildOptions{
		Producer: &batch.Producer{ID: 7, Epoch: 1, Sequence: 9}, Transactional: true,
	}, "c", "3")); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("a sequence that does not follow: %v", err)
	}
	if p := f.partition(); p.lastStable() != p.highWatermark()-1 {
		t.Errorf("last stable offset %d, high watermark %d", p.lastStable(), p.highWatermark())
	}
	f.fillSegment()
	before := f.partition().lastStable()
	f.compact()
	if cleaned := f.partition().plog.CleanedTo(); cleaned > before {
		t.Errorf("compacted to %d, beyond the last stable offset %d", cleaned, before)
	}
}

func TestCompactionConditions(t *testing.T) {
	day := int64(86_400_000)
	for name, tc := range map[string]struct {
		configs []string
		wait    time.Duration
		want    bool
	}{
		"enough dirty":     {[]string{"min.cleanable.dirty.ratio", "0.9"}, 0, true},
		"never by ratio":   {[]string{"min.cleanable.dirty.ratio", "1"}, 0, false},
		"lag too long":     {[]string{"min.cleanable.dirty.ratio", "1", "max.compaction.lag.ms", fmt.Sprint(day)}, 25 * time.Hour, true},
		"lag not yet":      {[]string{"min.cleanable.dirty.ratio", "1", "max.compaction.lag.ms", fmt.Sprint(day)}, 23 * time.Hour, false},
		"too young":        {[]string{"min.compaction.lag.ms", "1000"}, 0, false},
		"old enough":       {[]string{"min.compaction.lag.ms", "1000"}, 2 * time.Second, true},
		"not compacted":    {[]string{"cleanup.policy", "delete"}, 0, false},
		"also with delete": {[]string{"cleanup.policy", "compact,delete"}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, compacted(tc.configs...))
			f.put("a", "1")
			f.fillSegment()
			f.advance(tc.wait)
			if got := f.compact(); got != tc.want {
				t.Errorf("compacted: %v", got)
			}
		})
	}
}

func TestCompactedTopicNeedsKeys(t *testing.T) {
	f := newFixture(t, compacted())
	if _, err := f.produce(records(t, -1, -1, -1, "no key")); !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("a record without a key: %v", err)
	}
	f.put("", "an empty key is one")
	f.see("0:=an empty key is one")
}

// A consumer that reads to the end gets there, though the last records were superseded... by nothing, or are tombstones.
func TestCompactionKeepsTheEnd(t *testing.T) {
	f := newFixture(t, compacted("delete.retention.ms", "0", "segment.ms", "1000"))
	f.put("a", "1")
	f.put("a", "-")
	f.advance(2 * time.Second)
	p := f.partition()
	for range 3 {
		if err := p.tick(f.clock(), 1000); err != nil { // rolls: all is in sealed segments
			t.Fatal(err)
		}
		f.compact()
		f.see("1:a")
	}
}

func TestCompactionState(t *testing.T) {
	var c compaction
	c.apply(compactionEntry{To: 10, Time: 1000}, 1)
	c.apply(compactionEntry{To: 20, After: 10, Time: 2000}, 2)
	c.apply(compactionEntry{To: 15, DropTo: 10, After: 20, Time: 2500}, 3) // an old leader's
	if want := (compaction{to: 20, index: 2, ripe: 10, ripeSince: 1000}); c != want {
		t.Fatalf("%+v, want %+v", c, want)
	}
	c.apply(compactionEntry{To: 30, DropTo: 10, After: 10, Time: 3000}, 4) // by one that does not know the second
	if want := (compaction{to: 30, index: 4, ripe: 10, ripeSince: 1000}); c != want {
		t.Fatalf("%+v, want %+v", c, want)
	}
	c.apply(compactionEntry{To: 40, DropTo: 10, After: 30, Time: 4000}, 5)
	if want := (compaction{to: 40, dropTo: 10, index: 5, ripe: 40, ripeSince: 4000}); c != want {
		t.Fatalf("%+v, want %+v", c, want)
	}
	d := decodeCompactionState(&wire.Decoder{B: c.appendTo(nil)})
	if d != c {
		t.Fatalf("%+v became %+v", c, d)
	}
}

// Version 2 of the state knew no compaction.
func TestMachineRestoresVersion2(t *testing.T) {
	f := newFixture(t, nil)
	f.put("a", "1", "b", "2")
	m := f.partition().machine
	m.compaction = compaction{to: 9, index: 3}
	state := m.Snapshot()
	if err := m.Restore(state); err != nil || m.compaction.to != 9 || m.compaction.index != 3 {
		t.Fatalf("%+v, %v", m.compaction, err)
	}
	end := len(state) - len(m.producers.appendTo(nil))
	at := end - len(m.shares.appendTo(nil)) - len(m.shareFloors.appendTo(nil)) - len(m.compaction.appendTo(nil))
	old := append([]byte{2}, state[1:at]...)
	old = append(old, state[end:]...)
	if err := m.Restore(old); err != nil || m.compaction != (compaction{}) || m.p.highWatermark() != 2 {
		t.Fatalf("%+v, %v, high watermark %d", m.compaction, err, m.p.highWatermark())
	}
}

func FuzzDecodeCompaction(f *testing.F) {
	f.Add(compactionEntry{To: 5, DropTo: 3, After: 4, Time: 1_700_000_000_000}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeCompaction(b)
		if err != nil {
			return
		}
		if again, err := decodeCompaction(e.encode()); err != nil || again != e {
			t.Fatalf("%+v became %+v, %v", e, again, err)
		}
	})
}

// The bytes are in the log of every replica, and must be read by every later version.
func TestCompactionEntryGolden(t *testing.T) {
	e := compactionEntry{To: 300, DropTo: 100, After: 200, Time: 1_700_000_000_123}
	if got, want := fmt.Sprintf("%x", e.encode()), "01d804c8019003f6a1abfef962"; got != want {
		t.Errorf("encoded as %s, want %s", got, want)
	}
}

func TestServeCleaned(t *testing.T) {
	f := newFixture(t, compacted())
	f.put("a", "1")
	f.fillSegment()
	f.compact()
	ctx := context.Background()
	got, err := f.manager.cleanedBy(ctx, 1, f.partition().ID)
	if err != nil || got == 0 || got != f.partition().plog.CleanedTo() {
		t.Errorf("cleaned to %d, %v", got, err)
	}
	if _, err := f.manager.cleanedBy(ctx, 1, raft.GroupID{Partition: 5}); err == nil {
		t.Error("a replica that is not there was compacted")
	}
	for _, request := range []string{"", "\x02", "\x01garbage"} {
		if _, err := f.manager.ServeCleaned(ctx, 1, []byte(request)); err == nil {
			t.Errorf("answered %q", request)
		}
	}
}

func TestPacer(t *testing.T) {
	p := newPacer(1000)
	now := time.Unix(100, 0)
	for _, want := range []time.Duration{500 * time.Millisecond, time.Second} {
		if got, _ := p.take(500, now); got != want {
			t.Errorf("wait %v, want %v", got, want)
		}
	}
	if got, _ := p.take(100, now.Add(5*time.Second)); got != 100*time.Millisecond {
		t.Errorf("after a rest: wait %v", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.wait(ctx, 1<<40); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	if err := newPacer(0).wait(context.Background(), 1<<40); err != nil {
		t.Error(err)
	}
}
