package partition

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/server/cluster"
	"balsa/server/share"
)

// group is the share group of these tests.
const group = "workers"

// newQueue is a fixture whose topic is a queue on which the group works, with configs of the group.
func newQueue(t *testing.T, topic, groupConfigs map[string]string) *fixture {
	t.Helper()
	configs := map[string]string{"cleanup.policy": "ack", "message.timestamp.type": "CreateTime"}
	maps.Copy(configs, topic)
	f := newFixture(t, configs)
	f.image.GroupConfigs[group] = groupConfigs
	f.initialize()
	return f
}

func (f *fixture) initialize() {
	f.t.Helper()
	if err := f.partition().ShareInitialize(f.t.Context(), group, share.Epoch{}); err != nil {
		f.t.Fatal(err)
	}
}

// enqueue writes one record a batch.
func (f *fixture) enqueue(records ...batch.Record) {
	f.t.Helper()
	for _, r := range records {
		if r.Timestamp == 0 {
			r.Timestamp = f.clock().UnixMilli()
		}
		b, err := batch.BuildRecords([]batch.Record{r}, batch.BuildOptions{})
		if err != nil {
			f.t.Fatal(err)
		}
		if _, err := f.produce(b); err != nil {
			f.t.Fatal(err)
		}
	}
}

func value(s string) batch.Record { return batch.Record{Value: []byte(s)} }

func keyed(key, s string) batch.Record { return batch.Record{Key: []byte(key), Value: []byte(s)} }

// enqueueBatch writes records in one batch.
func (f *fixture) enqueueBatch(records ...batch.Record) {
	f.t.Helper()
	b, err := batch.BuildRecords(records, batch.BuildOptions{})
	f.must(err)
	_, err = f.produce(b)
	f.must(err)
}

// receive acquires and returns what a client would deliver: value and delivery count of each acquired record.
func (f *fixture) receive(member string, limit int) []string {
	f.t.Helper()
	a, err := f.partition().ShareAcquire(ShareAcquire{
		Group: group, Member: member, MaxRecords: limit, RecordLimit: true, MaxBytes: 1 << 20, MinOne: true,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if a == nil {
		return nil
	}
	got, err := a.Wait(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for data := got.Records; len(data) > 0; {
		h, err := batch.ParseHeader(data)
		if err != nil {
			f.t.Fatal(err)
		}
		r := batch.Batch(data[:h.Length]).Records(1 << 20)
		for r.Next() {
			rec := r.Record()
			for _, acquired := range got.Acquired {
				if acquired.First <= rec.Offset && rec.Offset <= acquired.Last {
					out = append(out, fmt.Sprintf("%s/%d", rec.Value, acquired.DeliveryCount))
				}
			}
		}
		r.Close()
		data = data[h.Length:]
	}
	return out
}

func (f *fixture) acknowledge(member string, typ share.AckType, first, last log.Offset) error {
	f.t.Helper()
	c, err := f.partition().ShareAcknowledge(ShareAcknowledge{
		Group: group, Member: member, Acks: []share.Ack{{First: first, Last: last, Types: []share.AckType{typ}}},
	})
	if err != nil {
		return err
	}
	return c.Wait(f.t.Context())
}

func (f *fixture) want(what string, got []string, want ...string) {
	f.t.Helper()
	if !slices.Equal(got, want) {
		f.t.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func TestShareDelivery(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"), value("c"))
	f.want("first", f.receive("m1", 2), "a/1", "b/1")
	f.want("another member gets the rest", f.receive("m2", 2), "c/1")
	f.want("nothing is left", f.receive("m1", 2))
	if err := f.acknowledge("m2", share.Accept, 0, 0); !errors.Is(err, kerr.InvalidRecordState) {
		t.Errorf("another member's record was acknowledged: %v", err)
	}
	f.must(f.acknowledge("m1", share.Accept, 0, 0))
	f.must(f.acknowledge("m1", share.Release, 1, 1))
	f.want("a released record comes again", f.receive("m2", 9), "b/2")
	f.must(f.acknowledge("m2", share.Accept, 1, 2))
	f.want("all is acknowledged", f.receive("m2", 9))
}

// TestShareLargeBatch: a batch that finds no room in the bytes that are left is not taken for a hole.
func TestShareLargeBatch(t *testing.T) {
	f := newQueue(t, nil, nil)
	large := strings.Repeat("x", 600<<10)
	f.enqueueBatch(value("a"), value("b"))
	f.enqueueBatch(value(large), value("c"))
	f.enqueueBatch(value(large), value("d"))
	f.want("what there is room for", f.receive("m1", 9), "a/1", "b/1", large+"/1", "c/1")
	f.want("the next", f.receive("m1", 9), large+"/1", "d/1")
	a, err := f.partition().ShareAcquire(ShareAcquire{Group: group, Member: "m2", MaxRecords: 9, MaxBytes: 1 << 20})
	if err != nil || a != nil {
		t.Errorf("there is more: %v, %v", a, err)
	}
	f.enqueueBatch(value(large), value("e"))
	if a, err := f.partition().ShareAcquire(ShareAcquire{Group: group, Member: "m2", MaxRecords: 9, MaxBytes: 1 << 10}); err != nil || a != nil {
		t.Errorf("a batch that is too large is taken: %v, %v", a, err)
	}
	f.want("and is still there", f.receive("m2", 9), large+"/1", "e/1")
}

func TestShareSurvivesRestart(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"), value("c"), value("d"))
	f.want("first", f.receive("m1", 3), "a/1", "b/1", "c/1")
	f.must(f.acknowledge("m1", share.Accept, 1, 1))
	f.must(f.acknowledge("m1", share.Release, 2, 2))
	for range 2 { // from the log, then from a checkpoint
		f.restart()
		f.want("the lock of a holds", f.receive("m2", 9), "c/2", "d/1")
		f.must(f.acknowledge("m2", share.Release, 2, 2))
		f.must(f.acknowledge("m2", share.Release, 3, 3))
		f.must(f.partition().group.Load().Checkpoint())
		break
	}
	f.restart()
	f.must(f.acknowledge("m1", share.Accept, 0, 0))
	f.want("counts are kept", f.receive("m1", 9), "c/3", "d/2")
	f.restart()
	f.advance(time.Minute)
	f.want("locks end", f.receive("m3", 9), "c/4", "d/3")
}

func TestShareLockEndsByItself(t *testing.T) {
	f := newQueue(t, nil, map[string]string{"share.record.lock.duration.ms": "1000"})
	f.enqueue(value("a"))
	f.want("first", f.receive("m1", 1), "a/1")
	p := f.partition()
	w := NewWaiter(1, false)
	p.ShareWatch(w, group)
	defer p.ShareUnwatch(w, group, true)
	f.want("it is locked", f.receive("m2", 1))
	f.advance(time.Hour)
	<-w.C() // without anybody asking
	f.want("it comes again", f.receive("m2", 1), "a/2")
	if err := f.acknowledge("m1", share.Accept, 0, 0); !errors.Is(err, kerr.InvalidRecordState) {
		t.Errorf("who lost the record acknowledged it: %v", err)
	}
}

func TestShareRelease(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"))
	detached := share.DetachedPrefix + "m2"
	f.want("first", f.receive("m1", 1), "a/1")
	f.want("second", f.receive(detached, 1), "b/1")
	f.partition().ShareRelease(group, "m1")
	f.partition().ShareRelease(group, detached)
	f.want("only the connected member's is released", f.receive("m3", 9), "a/2")
}

func TestShareDelay(t *testing.T) {
	f := newQueue(t, nil, nil)
	at := f.clock().Add(10 * time.Minute).UnixMilli()
	header := func(key, value string) []batch.RecordHeader {
		return []batch.RecordHeader{{Key: []byte(key), Value: []byte(value)}}
	}
	late, later, odd := value("late"), value("later"), value("odd")
	late.Headers = header(DeliverAtHeader, fmt.Sprint(at))
	later.Headers = header(DelayHeader, fmt.Sprint(15*time.Minute.Milliseconds()))
	odd.Headers = header(DelayHeader, "soon")
	f.enqueue(late, later, odd, value("now"))
	f.want("those behind are not blocked", f.receive("m", 9), "odd/1", "now/1")
	f.must(f.acknowledge("m", share.Accept, 2, 3))
	f.restart()
	f.want("not yet", f.receive("m", 9))
	f.advance(10 * time.Minute)
	f.want("one is due", f.receive("m", 9), "late/1")
	f.advance(5 * time.Minute)
	f.want("the other too, and the first's lock is over", f.receive("m", 9), "late/2", "later/1")
}

// A time that is a mistake (microseconds, say) must not keep the record, and the log from it on, for good.
func TestShareLongestDelay(t *testing.T) {
	f := newQueue(t, nil, nil)
	never := value("never")
	never.Headers = []batch.RecordHeader{{Key: []byte(DeliverAtHeader), Value: []byte(fmt.Sprint(f.clock().UnixMicro()))}}
	f.enqueue(never)
	f.want("not now", f.receive("m", 9))
	f.advance(12 * time.Hour)
	f.want("but after 12 hours", f.receive("m", 9), "never/1")
}

func TestShareKeyOrder(t *testing.T) {
	f := newQueue(t, nil, map[string]string{"share.ordering": "key"})
	f.enqueue(keyed("x", "x1"), keyed("x", "x2"), keyed("y", "y1"), keyed("x", "x3"), keyed("y", "y2"), value("-"))
	f.want("one of each key", f.receive("m1", 9), "x1/1", "y1/1", "-/1")
	f.must(f.acknowledge("m1", share.Accept, 0, 0))
	f.want("the next of x", f.receive("m2", 9), "x2/1")
	f.restart()
	f.want("a new leader knows who holds what", f.receive("m3", 9))
	f.must(f.acknowledge("m2", share.Release, 1, 1))
	f.must(f.acknowledge("m1", share.Accept, 2, 2))
	f.want("a released record comes before those behind it", f.receive("m3", 9), "x2/2", "y2/1")
	f.must(f.acknowledge("m3", share.Accept, 1, 1))
	f.want("then they", f.receive("m3", 9), "x3/1")
}

// letterBox takes dead letters.
type letterBox struct {
	mu   sync.Mutex
	fail error
	got  []string
	c    chan struct{}
}

func (l *letterBox) WriteDeadLetters(_ context.Context, topic string, _ cluster.TopicPartition, rs []batch.Record) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		err := l.fail
		l.fail = nil
		return 0, err
	}
	for _, r := range rs {
		line := topic + " " + string(r.Value)
		for _, h := range r.Headers {
			if name, ours := strings.CutPrefix(string(h.Key), "__dlq.errors."); ours && name != "timestamp" {
				line += " " + name + "=" + string(h.Value)
			}
		}
		l.got = append(l.got, line)
		l.c <- struct{}{}
	}
	return len(rs), nil
}

func TestShareDeadLetters(t *testing.T) {
	box := &letterBox{c: make(chan struct{}, 10), fail: errors.New("the first attempt fails")}
	f := newQueue(t, nil, map[string]string{
		"errors.deadletterqueue.topic.name": "dead", "share.delivery.count.limit": "2",
	})
	f.partition().letters = box
	f.enqueue(value("poison"), value("bad"), value("good"))
	f.want("first", f.receive("m", 9), "poison/1", "bad/1", "good/1")
	f.must(f.acknowledge("m", share.Reject, 1, 1))
	f.must(f.acknowledge("m", share.Release, 0, 0))
	f.must(f.acknowledge("m", share.Accept, 2, 2))
	f.want("again", f.receive("m", 9), "poison/2")
	f.must(f.acknowledge("m", share.Release, 0, 0))
	<-box.c
	<-box.c
	slices.Sort(box.got)
	f.want("dead letters", box.got,
		"dead bad topic=t partition=0 offset=1 group=workers delivery.count=1 message=rejected",
		"dead poison topic=t partition=0 offset=0 group=workers delivery.count=2 message=delivery count limit reached")
	f.want("they are not delivered again", f.receive("m", 9))
	f.wantStart(3)
}

// wantStart waits until the group has decided about everything before an offset.
func (f *fixture) wantStart(want log.Offset) {
	f.t.Helper()
	var s ShareState
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var err error
		if s, err = f.partition().ShareState(group, 0); err != nil {
			f.t.Fatal(err)
		}
		if s.Start == want {
			return
		}
	}
	f.t.Fatalf("the group starts at %d, not %d: %+v", s.Start, want, s)
}

func TestQueueIsReclaimed(t *testing.T) {
	f := newQueue(t, map[string]string{"segment.bytes": "1048576"}, map[string]string{"share.partition.max.record.locks": "100000"})
	p := f.partition()
	big := strings.Repeat("x", 10_000)
	for range 500 {
		f.enqueue(value(big))
	}
	full := p.Size()
	if full < 5_000_000 {
		t.Fatalf("%d bytes", full)
	}
	for {
		got := f.receive("m", 100)
		if len(got) == 0 {
			break
		}
	}
	f.must(f.acknowledge("m", share.Accept, 0, 249))
	f.reclaim(NothingNeeded)
	f.wantLogStart(250)
	f.must(f.acknowledge("m", share.Accept, 250, 499))
	f.reclaim(300) // a consumer group has read to there
	f.wantLogStart(300)
	f.reclaim(NothingNeeded)
	f.wantLogStart(500)
	f.must(p.tick(f.clock(), 1<<30))
	if left := p.Size(); left > 1000 {
		t.Errorf("%d of %d bytes are left", left, full)
	}
	f.restart()
	f.enqueue(value("next"), value(big[:5000]))
	f.want("it goes on", f.receive("m", 1), "next/1")
	f.receive("m", 1)
	f.must(f.acknowledge("m", share.Accept, 500, 501))
	f.reclaim(NothingNeeded)
	f.wantLogStart(502)
	f.must(f.partition().tick(f.clock(), 1<<30)) // it may not be over
	f.must(f.partition().tick(f.clock(), 1<<30))
	if left := f.partition().Size(); left > 1000 {
		t.Errorf("%d bytes are left at rest", left)
	}
}

// reclaim deletes what all groups have done with, with the floor of consumer groups.
func (f *fixture) reclaim(committed log.Offset) {
	f.t.Helper()
	if r, ok := f.partition().Reclaimable(); ok {
		f.partition().ReclaimQueue(r, committed)
	}
}

func (f *fixture) wantLogStart(want log.Offset) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if start, _, _ := f.partition().Offsets(); start == want {
			return
		}
	}
	start, _, _ := f.partition().Offsets()
	f.t.Fatalf("the log starts at %d, not %d", start, want)
}

func TestQueueWaitsForItsGroups(t *testing.T) {
	f := newFixture(t, map[string]string{"cleanup.policy": "ack"})
	f.enqueue(value("a"), value("b"))
	f.reclaim(NothingNeeded)
	f.initialize() // a new group starts at the earliest record
	f.must(f.partition().ShareInitialize(t.Context(), "others", share.Epoch{}))
	f.want("nothing was deleted", f.receive("m", 9), "a/1", "b/1")
	f.must(f.acknowledge("m", share.Accept, 0, 1))
	f.reclaim(NothingNeeded)
	f.enqueue(value("c")) // after what was proposed, if anything was
	if start, _, _ := f.partition().Offsets(); start != 0 {
		t.Errorf("the other group lost records: the log starts at %d", start)
	}
	f.must(f.partition().ShareDelete(t.Context(), "others", share.Epoch{}))
	f.reclaim(NothingNeeded)
	f.wantLogStart(2)
	if _, err := f.partition().ShareState("others", 0); !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("a deleted group: %v", err)
	}
}

// Consumer groups are asked after Reclaimable, and answer before ReclaimQueue. One that comes in between is not among them.
func TestQueueKeepsWhatCameMeanwhile(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"))
	f.want("first", f.receive("m", 1), "a/1")
	f.must(f.acknowledge("m", share.Accept, 0, 0))
	r, ok := f.partition().Reclaimable()
	if !ok {
		t.Fatal("nothing to reclaim")
	}
	f.enqueue(value("b")) // which a consumer group that has come by now must get
	f.want("second", f.receive("m", 1), "b/1")
	f.must(f.acknowledge("m", share.Accept, 1, 1))
	f.partition().ReclaimQueue(r, NothingNeeded)
	f.wantLogStart(1)
	r, _ = f.partition().Reclaimable()
	f.restart() // another term
	f.partition().ReclaimQueue(r, NothingNeeded)
	f.enqueue(value("c")) // after what was proposed, if anything was
	if start, _, _ := f.partition().Offsets(); start != 1 {
		t.Errorf("what was decided in an earlier term was done: the log starts at %d", start)
	}
}

func TestQueueKeepsWhatItHadWithoutGroups(t *testing.T) {
	f := newFixture(t, map[string]string{"cleanup.policy": "ack"})
	f.enqueue(value("a"))
	r, ok := f.partition().Reclaimable()
	if !ok {
		t.Fatal("a consumer group may have done with it")
	}
	f.initialize()
	f.partition().ReclaimQueue(r, NothingNeeded)
	f.must(f.partition().ShareDelete(t.Context(), group, share.Epoch{}))
	f.partition().ReclaimQueue(r, NothingNeeded)
	f.initialize()
	f.want("it waits for its workers", f.receive("m", 9), "a/1")
}

func TestQueueExpires(t *testing.T) {
	box := &letterBox{c: make(chan struct{}, 10)}
	f := newQueue(t, map[string]string{"cleanup.policy": "ack,delete", "retention.ms": "60000"},
		map[string]string{"errors.deadletterqueue.topic.name": "dead"})
	f.partition().letters = box
	f.enqueue(value("held"), value("waiting"))
	f.want("first", f.receive("m", 1), "held/1")
	f.advance(2 * time.Minute)
	f.enqueue(value("fresh"))
	f.partition().ExpireQueue()
	<-box.c
	<-box.c
	f.wantStart(2)
	f.partition().ExpireQueue()
	f.wantLogStart(2)
	f.want("what is left", f.receive("m", 9), "fresh/1")
	f.want("dead letters", box.got,
		"dead held topic=t partition=0 offset=0 group=workers delivery.count=1 message=expired",
		"dead waiting topic=t partition=0 offset=1 group=workers delivery.count=0 message=expired")
}

func TestShareReset(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"), value("b"), value("c"))
	f.want("first", f.receive("m", 9), "a/1", "b/1", "c/1")
	f.must(f.partition().ShareReset(t.Context(), group, share.Epoch{}, 1))
	f.want("from the new start", f.receive("m", 9), "b/1", "c/1")
	f.must(f.partition().ShareReset(t.Context(), group, share.Epoch{}, LatestTimestamp))
	f.want("nothing", f.receive("m", 9))
	for _, out := range []log.Offset{4, -3} {
		if err := f.partition().ShareReset(t.Context(), group, share.Epoch{}, out); !errors.Is(err, kerr.OffsetOutOfRange) {
			t.Errorf("at %d: %v", out, err)
		}
	}
	_, err := f.partition().DeleteRecords(t.Context(), 2)
	f.must(err)
	f.must(f.partition().ShareReset(t.Context(), group, share.Epoch{}, 1)) // is gone
	f.want("from the log start", f.receive("m", 9), "c/1")
}

func TestShareSpreads(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	for range 10 {
		w := NewWaiter(1, false)
		p.ShareWatch(w, group)
		defer p.ShareUnwatch(w, group, true)
	}
	for range 100 {
		f.enqueue(value("v"))
	}
	for i := range 10 {
		if n := len(f.receive(fmt.Sprint("m", i), 500)); n == 0 || n > 10+i {
			t.Errorf("member %d of 10 got %d of 100 records", i, n)
		}
	}
}

// Groups come and go under names that never come again.
func TestShareForgetsDeletedGroups(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	for i := range 5 {
		id := fmt.Sprint("passing-", i)
		f.must(p.ShareInitialize(t.Context(), id, share.Epoch{}))
		f.must(p.ShareDelete(t.Context(), id, share.Epoch{}))
	}
	p.tickShares()
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	if n := len(p.shares.groups); n != 1 {
		t.Errorf("%d groups are remembered, 1 is there", n)
	}
}
