package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestRoundTripOfEveryCodec(t *testing.T) {
	c := start(t, 1)
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			createTopic(t, c, name, 1)
			cl := client(t, c, kgo.ProducerBatchCompression(codec))
			stamp := time.Now().Add(-time.Minute).Truncate(time.Millisecond)
			var want []*kgo.Record
			for i := range 50 {
				want = append(want, &kgo.Record{
					Topic: name, Key: fmt.Appendf(nil, "key-%d", i), Value: bytes.Repeat([]byte{byte(i)}, i*100),
					Headers:   []kgo.RecordHeader{{Key: "n", Value: []byte{byte(i)}}},
					Timestamp: stamp.Add(time.Duration(i) * time.Millisecond),
				})
			}
			must(t, cl.ProduceSync(within(t), want...).FirstErr())
			for i, got := range consume(t, c, name, kgo.NewOffset().At(0), len(want)) {
				w := want[i]
				if got.Offset != int64(i) || !bytes.Equal(got.Key, w.Key) || !bytes.Equal(got.Value, w.Value) ||
					!got.Timestamp.Equal(w.Timestamp) || len(got.Headers) != 1 || !bytes.Equal(got.Headers[0].Value, w.Headers[0].Value) {
					t.Fatalf("record %d came back as %+v, was %+v", i, got, w)
				}
			}
		})
	}
}

// TestLongPoll waits for a record with a fetch whose max.wait is longer than the test may take: only a wake-up ends it.
func TestLongPoll(t *testing.T) {
	c := start(t, 1)
	createTopic(t, c, "poll", 1)
	producer := client(t, c)
	produce(t, producer, "poll", "zero")
	consumer := client(t, c,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"poll": {0: kgo.NewOffset().At(0)}}),
		kgo.FetchMaxWait(10*time.Minute), kgo.FetchMinBytes(1),
	)
	for i := range 20 {
		fetches := consumer.PollFetches(within(t))
		must(t, fetches.Err())
		want := fmt.Sprint(i - 1)
		if i == 0 {
			want = "zero"
		}
		if got := fetches.Records(); len(got) != 1 || string(got[0].Value) != want {
			t.Fatalf("poll %d: got %d records, want %q", i, len(got), want)
		}
		produce(t, producer, "poll", fmt.Sprint(i)) // while the next fetch waits
	}
}

func TestGroupSharesAndResumes(t *testing.T) {
	c := start(t, 1)
	createTopic(t, c, "shared", 4)
	join := func() *kgo.Client {
		return client(t, c, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("shared"), kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200*time.Millisecond))
	}
	producer := client(t, c, kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	seen := map[string]int{}
	read := func(cl *kgo.Client, ctx context.Context) {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
	}
	briefly := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	a, b := join(), join()
	adm := admin(t, c)
	eventually(t, "two members share four partitions", func() bool {
		read(a, briefly())
		read(b, briefly())
		d, err := adm.DescribeGroups(t.Context(), "g")
		if err != nil || d["g"].State != "Stable" || len(d["g"].Members) != 2 {
			return false
		}
		for _, m := range d["g"].Members {
			assigned, ok := m.Assigned.AsConsumer()
			if !ok || len(assigned.Topics) != 1 || len(assigned.Topics[0].Partitions) != 2 {
				return false
			}
		}
		return true
	})
	for i := range 40 {
		produce(t, producer, "shared", fmt.Sprint(i))
	}
	eventually(t, "both members together get all records", func() bool {
		read(a, briefly())
		read(b, briefly())
		return len(seen) == 40
	})
	for _, cl := range []*kgo.Client{a, b} {
		must(t, cl.CommitUncommittedOffsets(within(t)))
		cl.Close()
	}
	produce(t, producer, "shared", "after")
	clear(seen)
	again := join()
	eventually(t, "the record after the commit comes", func() bool { read(again, briefly()); return len(seen) > 0 })
	if len(seen) != 1 || seen["after"] != 1 {
		t.Errorf("after the commit came %v, want only what was written since", seen)
	}
}

func TestDeleteRecords(t *testing.T) {
	c := start(t, 1)
	createTopic(t, c, "short", 1)
	cl := client(t, c)
	produce(t, cl, "short", "0", "1", "2", "3", "4")
	adm := kadm.NewClient(cl)
	deleted, err := adm.DeleteRecords(within(t), kadm.Offsets{"short": {0: {Topic: "short", Partition: 0, At: 3}}})
	must(t, err)
	must(t, deleted.Error())
	if low := deleted["short"][0].LowWatermark; low != 3 {
		t.Errorf("low watermark %d, want 3", low)
	}
	starts, err := adm.ListStartOffsets(within(t), "short")
	must(t, err)
	if got := starts["short"][0].Offset; got != 3 {
		t.Errorf("log starts at %d, want 3", got)
	}
	wantValues(t, consume(t, c, "short", kgo.NewOffset().AtStart(), 2), 3, "3", "4")
	below := client(t, c, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"short": {0: kgo.NewOffset().At(1)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	if err := below.PollFetches(within(t)).Err(); !errors.Is(err, kerr.OffsetOutOfRange) {
		t.Errorf("fetch below the start: %v", err)
	}
}

// TestRetention writes records whose timestamps are past retention.ms and one that is not: its segment stays.
func TestRetention(t *testing.T) {
	c := start(t, 1, "--log-retention-check", "100ms")
	createTopic(t, c, "old", 1, "segment.bytes", "1048576", "retention.ms", "3600000")
	cl := client(t, c, kgo.ProducerBatchCompression(kgo.NoCompression()))
	value := bytes.Repeat([]byte("x"), 100_000)
	for range 40 {
		r := &kgo.Record{Topic: "old", Value: value, Timestamp: time.Now().Add(-2 * time.Hour)}
		must(t, cl.ProduceSync(within(t), r).FirstErr())
	}
	produce(t, cl, "old", "fresh")
	adm := kadm.NewClient(cl)
	var begin int64
	eventually(t, "the log start moves", func() bool {
		starts, err := adm.ListStartOffsets(t.Context(), "old")
		must(t, err)
		begin = starts["old"][0].Offset
		return begin > 0
	})
	if begin > 40 {
		t.Errorf("the log starts at %d: a record went before its time", begin)
	}
	wantValues(t, consume(t, c, "old", kgo.NewOffset().At(40), 1), 40, "fresh")
	if next := produce(t, cl, "old", "new"); next != 41 {
		t.Errorf("the next record got offset %d, want 41", next)
	}
}
