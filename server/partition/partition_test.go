package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/batch"
	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/config"
)

// fixture is one node with a Manager, without a network. The clock is the test's.
type fixture struct {
	t       *testing.T
	fs      vfs.FS
	dir     string
	host    *raft.Host
	manager *Manager
	image   *cluster.Image
	mu      sync.Mutex
	now     time.Time
	space   atomic.Uint32 // the raft.Space of its disk
}

var topicID = cluster.TopicID{7}

func newFixture(t *testing.T, configs map[string]string) *fixture {
	t.Helper()
	f := &fixture{t: t, fs: vfs.NewMem(), dir: t.TempDir(), now: time.Unix(1_700_000_000, 0)}
	image := cluster.NewImage()
	topic := &cluster.Topic{
		ID: topicID, Name: "t", Partitions: []cluster.Partition{{Replicas: []raft.NodeID{1}}}, Configs: configs,
	}
	image.Topics[topic.ID], image.TopicsByName[topic.Name] = topic, topic
	f.image = image
	f.start()
	t.Cleanup(f.stop)
	return f
}

func (f *fixture) clock() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fixture) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

func (f *fixture) start() {
	f.t.Helper()
	c := config.Default()
	c.CleanerThreads, c.CleanerBuffer, c.CleanerBackoff, c.ProducerIDExpiry = 1, 1<<20, time.Hour, time.Hour
	host, err := raft.NewHost(raft.HostConfig{
		Node: 1, Dir: f.dir, Logger: slog.New(slog.DiscardHandler), Space: func() raft.Space { return raft.Space(f.space.Load()) },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.host = host
	f.manager, err = NewManager(ManagerConfig{
		Node: 1, Dir: "data", FS: f.fs, Syncer: raft.NewSyncer(4), Host: host, Resolver: cluster.NewResolver(&c),
		Logger: slog.New(slog.DiscardHandler), Now: f.clock, RetentionCheck: time.Minute,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	host.Handle(CleanedService, f.manager.ServeCleaned)
	f.manager.Sync(f.image)
}

func (f *fixture) stop() {
	if f.host == nil {
		return
	}
	if err := errors.Join(f.manager.Close(), f.host.Close()); err != nil {
		f.t.Error(err)
	}
	f.host = nil
}

func (f *fixture) partition() *Partition {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		p, err := f.manager.Get(topicID, 0)
		if err != nil {
			f.t.Fatal(err)
		}
		if p.Leadership().Ready {
			return p
		}
	}
	f.t.Fatal("the partition got no leader")
	return nil
}

// records makes a batch of one producer.
func records(t *testing.T, producer int64, epoch int16, sequence int32, values ...string) batch.Batch {
	t.Helper()
	var rs []batch.Record
	for i, v := range values {
		rs = append(rs, batch.Record{Value: []byte(v), Timestamp: 1_699_999_000_000 + int64(i)})
	}
	var options batch.BuildOptions
	if producer >= 0 {
		options.Producer = &batch.Producer{ID: producer, Epoch: epoch, Sequence: sequence}
	}
	b, err := batch.BuildRecords(rs, options)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f *fixture) produce(b batch.Batch) (Produced, error) {
	f.t.Helper()
	a, err := f.partition().Produce(b, nil)
	if err != nil {
		return Produced{}, err
	}
	return a.Wait(context.Background())
}

func (f *fixture) values(from log.Offset) []string {
	f.t.Helper()
	got, err := f.partition().Fetch(FetchArgs{Offset: from, MaxBytes: 1 << 20, MinOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
	if err != nil {
		f.t.Fatal(err)
	}
	defer got.Slice.Release()
	raw, err := got.Slice.AppendTo(nil)
	if err != nil {
		f.t.Fatal(err)
	}
	var values []string
	for len(raw) > 0 {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			f.t.Fatal(err)
		}
		vs, err := batch.Batch(raw[:h.Length]).Values()
		if err != nil {
			f.t.Fatal(err)
		}
		for _, v := range vs {
			values = append(values, string(v))
		}
		raw = raw[h.Length:]
	}
	return values
}

func TestProduceAndFetch(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 5 {
		got, err := f.produce(records(t, -1, -1, -1, fmt.Sprint("a", i), fmt.Sprint("b", i)))
		if err != nil {
			t.Fatal(err)
		}
		if got.BaseOffset != log.Offset(2*i) || got.LogAppendTime != -1 || got.LogStartOffset != 0 {
			t.Errorf("batch %d: %+v", i, got)
		}
	}
	if got := f.values(4); fmt.Sprint(got) != "[a2 b2 a3 b3 a4 b4]" {
		t.Errorf("from 4: %v", got)
	}
	p := f.partition()
	for offset, want := range map[log.Offset]error{-1: kerr.OffsetOutOfRange, 10: nil, 11: kerr.OffsetOutOfRange} {
		got, err := p.Fetch(FetchArgs{Offset: offset, MaxBytes: 100, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
		if !errors.Is(err, want) || got.Slice.Bytes != 0 || got.HighWatermark != 10 {
			t.Errorf("offset %d: %+v, %v; want %v", offset, got, err, want)
		}
	}
	epoch := p.Leadership().Epoch
	for current, want := range map[log.Epoch]error{-1: nil, epoch: nil, epoch - 1: kerr.FencedLeaderEpoch, epoch + 1: kerr.UnknownLeaderEpoch} {
		if _, err := p.ListOffset(LatestTimestamp, current, false); !errors.Is(err, want) {
			t.Errorf("current epoch %d: %v, want %v", current, err, want)
		}
	}
}

func TestRetriesAreStoredOnce(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	// Five batches in flight, each sent twice before any is answered: what a client does whose connection broke.
	var appends []*Append
	for i := range int32(5) {
		for range 2 {
			a, err := p.Produce(records(t, 9, 0, i, fmt.Sprint("v", i)), nil)
			if err != nil {
				t.Fatalf("batch %d: %v", i, err)
			}
			appends = append(appends, a)
		}
	}
	for i, a := range appends {
		got, err := a.Wait(context.Background())
		if err != nil || got.BaseOffset != log.Offset(i/2) {
			t.Errorf("batch %d, attempt %d: %+v, %v", i/2, i%2, got, err)
		}
	}
	if got := f.values(0); fmt.Sprint(got) != "[v0 v1 v2 v3 v4]" {
		t.Errorf("stored: %v", got)
	}
	// Once more after all is committed, and after a restart, where the state comes from the log.
	for range 2 {
		for i := range int32(5) {
			got, err := f.produce(records(t, 9, 0, i, fmt.Sprint("v", i)))
			if err != nil || got.BaseOffset != log.Offset(i) {
				t.Errorf("committed batch %d again: %+v, %v", i, got, err)
			}
		}
		f.stop()
		f.start()
	}
	if _, err := f.produce(records(t, 9, 0, 6, "gap")); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("a gap: %v", err)
	}
	if _, err := f.produce(records(t, 9, 1, 0, "new epoch")); err != nil {
		t.Errorf("a new epoch: %v", err)
	}
	if _, err := f.produce(records(t, 9, 0, 5, "zombie")); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Errorf("the old epoch: %v", err)
	}
}

func TestGapInFlightIsRefused(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	first, err := p.Produce(records(t, 3, 0, 0, "a", "b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Produce(records(t, 3, 0, 3, "d"), nil); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
		t.Errorf("a gap behind a batch in flight: %v", err)
	}
	second, err := p.Produce(records(t, 3, 0, 2, "c"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []*Append{first, second} {
		if _, err := a.Wait(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if got := f.values(0); fmt.Sprint(got) != "[a b c]" {
		t.Errorf("stored: %v", got)
	}
}

// The memory of a settled batch is reused for the next request. Whoever still waits for the same batch must not read it.
func TestSharedAppendSurvivesReuseOfItsMemory(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	b := records(t, 4, 0, 0, "x")
	first, err := p.Produce(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	retry, err := p.Produce(records(t, 4, 0, 0, "x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for !first.Settled() {
		time.Sleep(time.Millisecond)
	}
	for i := range b {
		b[i] = 0xee
	}
	if got, err := retry.Wait(context.Background()); err != nil || got.BaseOffset != 0 {
		t.Errorf("the retry got %+v, %v", got, err)
	}
}

func TestValidation(t *testing.T) {
	f := newFixture(t, map[string]string{"max.message.bytes": "200", "message.timestamp.after.max.ms": "1000"})
	flipped := records(t, -1, -1, -1, "abc")
	flipped[len(flipped)-1] ^= 1
	late := records(t, -1, -1, -1, "abc")
	f.advance(-100_000_000 * time.Second) // the records are from the future now
	for name, tt := range map[string]struct {
		b    batch.Batch
		want error
	}{
		"damaged":   {flipped, batch.ErrCorrupt},
		"too large": {records(t, -1, -1, -1, string(make([]byte, 300))), batch.ErrTooLarge},
		"future":    {late, kerr.InvalidTimestamp},
		"empty":     {nil, batch.ErrCorrupt},
	} {
		if _, err := f.partition().Produce(tt.b, nil); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

func TestLogAppendTime(t *testing.T) {
	f := newFixture(t, map[string]string{"message.timestamp.type": "LogAppendTime"})
	got, err := f.produce(records(t, -1, -1, -1, "abc"))
	if want := f.clock().UnixMilli(); err != nil || got.LogAppendTime != want {
		t.Errorf("got %+v, %v, want time %d", got, err, want)
	}
	o, err := f.partition().ListOffset(f.clock().UnixMilli(), -1, false)
	if err != nil || o.Offset != 0 || o.Timestamp != f.clock().UnixMilli() {
		t.Errorf("lookup by append time: %+v, %v", o, err)
	}
}

func TestDeleteRecordsMovesTheStart(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 10 {
		if _, err := f.produce(records(t, -1, -1, -1, fmt.Sprint("v", i))); err != nil {
			t.Fatal(err)
		}
	}
	p := f.partition()
	if _, err := p.DeleteRecords(context.Background(), 11); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
	for _, tt := range []struct{ before, want log.Offset }{{4, 4}, {2, 4}, {-1, 10}} {
		if got, err := p.DeleteRecords(context.Background(), tt.before); err != nil || got != tt.want {
			t.Errorf("delete before %d: %d, %v; want %d", tt.before, got, err, tt.want)
		}
		if tt.want == 10 {
			break
		}
		if _, err := p.Fetch(FetchArgs{Offset: 3, MaxBytes: 10, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}); !errors.Is(err, kerr.OffsetOutOfRange) {
			t.Errorf("a deleted offset: %v", err)
		}
		o, err := p.ListOffset(0, -1, false)
		if err != nil || o.Offset != 4 {
			t.Errorf("first record at or after time 0: %+v, %v; want offset 4", o, err)
		}
	}
	f.stop()
	f.start()
	if o, err := f.partition().ListOffset(EarliestTimestamp, -1, false); err != nil || o.Offset != 10 {
		t.Errorf("earliest after a restart: %+v, %v", o, err)
	}
}

func TestRetentionFreesSegments(t *testing.T) {
	f := newFixture(t, map[string]string{"internal.segment.bytes": "4096", "retention.ms": "3600000", "message.timestamp.type": "LogAppendTime"})
	for i := range 40 {
		if _, err := f.produce(records(t, -1, -1, -1, string(bytes.Repeat([]byte{byte(i)}, 500)))); err != nil {
			t.Fatal(err)
		}
	}
	p := f.partition()
	before := p.Size()
	f.advance(30 * time.Minute)
	p.retain(f.clock())
	if start, _, _ := p.Offsets(); start != 0 {
		t.Fatalf("log start is %d before anything is old", start)
	}
	f.advance(time.Hour)
	if err := p.tick(f.clock(), 1000); err != nil {
		t.Fatal(err)
	}
	p.retain(f.clock())
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if start, _, _ := p.Offsets(); start > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the log start did not move")
		}
	}
	if err := p.group.Load().Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if after := p.Size(); after > before/4 {
		t.Errorf("%d of %d bytes are left", after, before)
	}
}

func TestWaiterNeedsItsBytes(t *testing.T) {
	f := newFixture(t, nil)
	p := f.partition()
	small := records(t, -1, -1, -1, "x")
	w := NewWaiter(int64(len(small))+1, false)
	p.Watch(w, 0)
	defer p.Unwatch(w)
	if _, err := f.produce(small); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.C():
		t.Error("woken by too few bytes")
	default:
	}
	if _, err := f.produce(records(t, -1, -1, -1, "y")); err != nil {
		t.Fatal(err)
	}
	<-w.C()
	late := NewWaiter(1, false)
	p.Watch(late, 0) // the high watermark is beyond what the caller saw
	<-late.C()
	p.Unwatch(late)
}

func TestDeletedTopicLeavesNothing(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "x")); err != nil {
		t.Fatal(err)
	}
	if err := f.manager.RemoveOrphans(f.image); err != nil {
		t.Fatal(err)
	}
	f.image = cluster.NewImage()
	f.manager.Sync(f.image)
	if _, err := f.manager.Get(topicID, 0); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("a deleted partition: %v", err)
	}
	if names, err := f.fs.ReadDir("data/logs"); err != nil || len(names) > 0 {
		t.Errorf("left on disk: %v, %v", names, err)
	}
}

// A replica whose log is damaged stays out, says why, and does not keep the others from opening.
func TestDamagedReplicaIsSetAside(t *testing.T) {
	f := newFixture(t, nil)
	for i := range 30 {
		if _, err := f.produce(records(t, -1, -1, -1, string(bytes.Repeat([]byte{byte(i)}, 3000)))); err != nil {
			t.Fatal(err)
		}
	}
	dir := "data/logs/" + (raft.GroupID{Topic: topicID}).String()
	f.stop()
	file, err := f.fs.OpenFile(dir+"/00000000000000000000.log", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(1000 + rand.Int64N(1000)); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	f.start()
	if _, err := f.manager.Get(topicID, 0); !errors.Is(err, kerr.KafkaStorageError) || !errors.Is(err, log.ErrCorrupt) {
		t.Errorf("a damaged replica: %v", err)
	}
	if out := f.manager.OutOfService(); len(out) != 1 || out[0].Topic != topicID {
		t.Errorf("out of service: %v", out)
	}
}

func TestEpochsOfTheFetcher(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "a")); err != nil {
		t.Fatal(err)
	}
	f.stop() // the next leader is of another epoch
	f.start()
	if _, err := f.produce(records(t, -1, -1, -1, "b", "c")); err != nil {
		t.Fatal(err)
	}
	p := f.partition()
	epoch := p.Leadership().Epoch
	first := p.plog.Epochs()[0].Epoch
	if first >= epoch {
		t.Fatalf("epochs %d and %d: there was no second election", first, epoch)
	}
	for _, tt := range []struct {
		asked, epoch log.Epoch
		end          log.Offset
	}{{first, first, 1}, {epoch, epoch, 3}, {epoch + 1, -1, -1}, {0, 0, 0}} {
		e, end, err := p.EpochEnd(-1, tt.asked)
		if e != tt.epoch || end != tt.end || err != nil {
			t.Errorf("end of epoch %d: (%d, %d, %v), want (%d, %d)", tt.asked, e, end, err, tt.epoch, tt.end)
		}
	}
	for _, tt := range []struct {
		name     string
		offset   log.Offset
		last     log.Epoch
		diverged log.Epoch
		end      log.Offset
		err      error
	}{
		{"in step", 3, epoch, -1, 0, nil},
		{"ahead in the old epoch", 2, first, first, 1, nil},
		{"an epoch yet to come", 3, epoch + 1, -1, 0, kerr.OffsetOutOfRange},
	} {
		got, err := p.Fetch(FetchArgs{Offset: tt.offset, MaxBytes: 100, CurrentLeaderEpoch: -1, LastFetchedEpoch: tt.last})
		if !errors.Is(err, tt.err) || got.DivergingEpoch != tt.diverged || (tt.diverged >= 0 && got.DivergingEnd != tt.end) {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
		got.Slice.Release()
	}
	if _, err := p.DeleteRecords(context.Background(), -1); err != nil {
		t.Fatal(err)
	}
	if e, end, err := p.EpochEnd(-1, 0); e != 0 || end != 3 || err != nil {
		t.Errorf("an epoch that retention removed ends at (%d, %d, %v), want the log start", e, end, err)
	}
}

func TestCompressionType(t *testing.T) {
	f := newFixture(t, map[string]string{"compression.type": "lz4", "max.message.bytes": "1000"})
	codec := func() batch.Codec {
		t.Helper()
		got, err := f.partition().Fetch(FetchArgs{MaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer got.Slice.Release()
		raw, err := got.Slice.AppendTo(nil)
		if err != nil {
			t.Fatal(err)
		}
		var last batch.Header
		for len(raw) > 0 {
			if last, err = batch.ParseHeader(raw); err != nil {
				t.Fatal(err)
			}
			raw = raw[last.Length:]
		}
		return last.Codec()
	}
	for _, tt := range []struct {
		compression string
		want        batch.Codec
	}{{"lz4", batch.CodecLZ4}, {"zstd", batch.CodecZstd}, {"uncompressed", batch.CodecNone}, {"producer", batch.CodecGzip}} {
		c := *f.partition().config.Load()
		c.Compression = tt.compression
		c.CompressionLevel = 3
		f.partition().SetConfig(c)
		b, err := batch.BuildRecords([]batch.Record{{Value: bytes.Repeat([]byte("v"), 500), Timestamp: 1_699_999_000_000}},
			batch.BuildOptions{Codec: batch.CodecGzip})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.produce(b); err != nil {
			t.Fatal(err)
		}
		if got := codec(); got != tt.want {
			t.Errorf("compression.type=%s stores %s", tt.compression, got)
		}
	}
	c := *f.partition().config.Load()
	c.Compression = "uncompressed"
	f.partition().SetConfig(c)
	b, err := batch.BuildRecords([]batch.Record{{Value: make([]byte, 2000), Timestamp: 1_699_999_000_000}}, batch.BuildOptions{Codec: batch.CodecGzip})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.produce(b); !errors.Is(err, batch.ErrTooLarge) {
		t.Errorf("a batch that is larger than max.message.bytes as it would be stored: %v", err)
	}
}
