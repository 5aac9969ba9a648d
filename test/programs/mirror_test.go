//go:build programs

package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestMirrorMaker has MirrorMaker 2 copy a topic from a real Apache Kafka: its records with keys, headers, timestamps
// and partitions, its configuration, and the progress of a consumer group.
func TestMirrorMaker(t *testing.T) {
	s := newSuite(t)
	source := s.Start(s.kafka("source", 1)).Addresses()
	adm := kadm.NewClient(s.NewClient(source))
	_, err := adm.CreateTopic(s.Within(patience), 3, 1, map[string]*string{"retention.ms": kadm.StringPtr("123456789")}, "orders")
	s.Must(err)
	want := s.writeOrders(s.NewClient(source, kgo.RecordPartitioner(kgo.ManualPartitioner())), 3000)
	offsets := kadm.Offsets{}
	for p := range int32(3) {
		offsets.Add(kadm.Offset{Topic: "orders", Partition: p, At: 700, LeaderEpoch: -1})
	}
	s.Must(adm.CommitAllOffsets(s.Within(patience), "shoppers", offsets))

	config := s.write("mm2.properties", properties(
		"clusters=old,new",
		"old.bootstrap.servers="+strings.Join(source, ","),
		"new.bootstrap.servers="+s.bootstrap,
		"old->new.enabled=true", "old->new.topics=orders", "old->new.groups=shoppers",
		"old->new.sync.group.offsets.enabled=true",
		"old->new.emit.checkpoints.interval.seconds=1", "old->new.sync.group.offsets.interval.seconds=1",
		"old->new.refresh.topics.interval.seconds=2", "old->new.refresh.groups.interval.seconds=2",
		"old->new.sync.topic.configs.interval.seconds=2",
		"new->old.enabled=false", "new->old.emit.heartbeats.enabled=false",
		fmt.Sprintf("replication.factor=%d", s.replication),
		fmt.Sprintf("checkpoints.topic.replication.factor=%d", s.replication),
		fmt.Sprintf("heartbeats.topic.replication.factor=%d", s.replication),
		"offset-syncs.topic.replication.factor=1",
		fmt.Sprintf("new.offset.storage.replication.factor=%d", s.replication),
		fmt.Sprintf("new.status.storage.replication.factor=%d", s.replication),
		fmt.Sprintf("new.config.storage.replication.factor=%d", s.replication),
		"old.offset.storage.replication.factor=1", "old.status.storage.replication.factor=1", "old.config.storage.replication.factor=1",
		"dedicated.mode.enable.internal.rest=false",
	))
	s.background("mirror-maker", s.java("640m", "org.apache.kafka.connect.mirror.MirrorMaker", config))

	const copied = "old.orders"
	s.Eventually("copy all records", 4*time.Minute, func(ctx context.Context) error {
		ends, err := s.Admin.ListEndOffsets(ctx, copied)
		if err != nil {
			return err
		}
		for p := range int32(3) {
			if end, ok := ends.Lookup(copied, p); !ok || end.Err != nil || end.Offset != int64(len(want[p])) {
				return fmt.Errorf("partition %d: %+v, want %d records", p, end, len(want[p]))
			}
		}
		return nil
	})
	got := map[int32][]*kgo.Record{}
	s.readCommitted(copied, func(r *kgo.Record) { got[r.Partition] = append(got[r.Partition], r) })
	for p, records := range want {
		for i, w := range records {
			if err := sameRecord(got[p][i], w); err != nil {
				t.Fatalf("partition %d, record %d: %v", p, i, err)
			}
		}
	}
	s.Eventually("copy the configuration", patience, func(ctx context.Context) error { return s.topicConfig(ctx, copied, "retention.ms", "123456789") })
	s.Eventually("copy the group's progress", patience, func(ctx context.Context) error {
		committed, err := s.Admin.FetchOffsets(ctx, "shoppers")
		if err != nil {
			return err
		}
		for p := range int32(3) {
			// MirrorMaker knows of a few pairs of old and new offsets and errs to the safe side.
			if o, ok := committed.Lookup(copied, p); !ok || o.At <= 0 || o.At > 700 {
				return fmt.Errorf("partition %d: committed %d", p, o.At)
			}
		}
		return nil
	})
}

// writeOrders writes n records and returns them by partition.
func (s *suite) writeOrders(cl *kgo.Client, n int) map[int32][]*kgo.Record {
	s.Helper()
	wrote := map[int32][]*kgo.Record{}
	base := time.UnixMilli(time.Now().UnixMilli()).Add(-time.Hour)
	promise := kgo.AbortingFirstErrPromise(cl)
	for i := range n {
		r := &kgo.Record{
			Topic: "orders", Partition: int32(i % 3), Key: fmt.Appendf(nil, "customer-%d", i%100), Value: fmt.Appendf(nil, "order %d", i),
			Headers: []kgo.RecordHeader{{Key: "number", Value: fmt.Append(nil, i)}}, Timestamp: base.Add(time.Duration(i) * time.Millisecond),
		}
		if i%50 == 0 {
			r.Value = nil // a tombstone
		}
		wrote[r.Partition] = append(wrote[r.Partition], r)
		cl.Produce(s.Context(), r, promise.Promise())
	}
	s.Must(promise.Err())
	return wrote
}

func sameRecord(got, want *kgo.Record) error {
	switch {
	case !bytes.Equal(got.Key, want.Key), !bytes.Equal(got.Value, want.Value), (got.Value == nil) != (want.Value == nil):
		return fmt.Errorf("%q=%q, want %q=%q", got.Key, got.Value, want.Key, want.Value)
	case !got.Timestamp.Equal(want.Timestamp):
		return fmt.Errorf("timestamp %v, want %v", got.Timestamp, want.Timestamp)
	case !slices.EqualFunc(got.Headers, want.Headers, func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && bytes.Equal(a.Value, b.Value) }):
		return fmt.Errorf("headers %v, want %v", got.Headers, want.Headers)
	}
	return nil
}

// topicConfig checks a setting of a topic.
func (s *suite) topicConfig(ctx context.Context, topic, name, want string) error {
	configs, err := s.Admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	for _, c := range configs {
		for _, e := range c.Configs {
			if e.Key == name && e.MaybeValue() == want {
				return nil
			}
		}
	}
	return errors.New(name + " differs")
}
