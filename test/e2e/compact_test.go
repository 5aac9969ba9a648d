package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/harness"
)

// put writes a record with a key to partition 0; without a value it deletes the key.
func put(t *testing.T, cl *kgo.Client, topic, key string, value []byte) {
	t.Helper()
	must(t, cl.ProduceSync(within(t), &kgo.Record{Topic: topic, Key: []byte(key), Value: value}).FirstErr())
}

// fillKeyed writes several segments' worth of a few keys, the last of which is "end".
func fillKeyed(t *testing.T, cl *kgo.Client, topic string) {
	t.Helper()
	value := []byte(strings.Repeat("x", 1000))
	var records []*kgo.Record
	for i := range 60 {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "filler-%d", i%7), Value: value})
	}
	must(t, cl.ProduceSync(within(t), records...).FirstErr())
	put(t, cl, topic, "end", fmt.Append(nil, records[0].Offset))
}

// table is what a reader knows who reads partition 0 from offset 0 to its end, and which keys it met, tombstones among them.
func table(t *testing.T, c *harness.Cluster, topic string) (known map[string]string, met map[string]bool) {
	t.Helper()
	ends, err := admin(t, c).ListEndOffsets(within(t), topic)
	must(t, err)
	end, ok := ends.Lookup(topic, 0)
	if !ok || end.Err != nil {
		t.Fatalf("end of %s: %+v", topic, end)
	}
	cl := client(t, c, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(0)}}))
	known, met = map[string]string{}, map[string]bool{}
	for ctx, at := within(t), int64(0); at < end.Offset; {
		fetches := cl.PollFetches(ctx)
		must(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			at, met[string(r.Key)] = r.Offset+1, true
			if known[string(r.Key)] = string(r.Value); r.Value == nil {
				delete(known, string(r.Key))
			}
		})
	}
	return known, met
}

// TestReplicaReturnsToCompactedLog takes a replica away from a node that is down, and gives it back when the others have compacted
// their logs and dropped a tombstone: what the node still has of the deleted key must not be read again.
func TestReplicaReturnsToCompactedLog(t *testing.T) {
	c := start(t, 3, "--log-cleaner-backoff=50ms")
	const topic = "keyed"
	createTopic(t, c, topic, 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "internal.segment.bytes", "20000",
		"delete.retention.ms", "100")
	cl, adm := client(t, c), admin(t, c)
	put(t, cl, topic, "deleted", []byte("value"))
	fillKeyed(t, cl, topic)
	third := c.Nodes[2]
	if known, _ := table(t, c, topic); known["deleted"] != "value" {
		t.Fatalf("a reader knows %v", known)
	}
	eventually(t, "the third node has it", func() bool {
		dirs, err := adm.DescribeAllLogDirs(t.Context(), nil)
		size := int64(0)
		if err == nil {
			held := dirs[third.ID]
			held.EachPartition(func(p kadm.DescribedLogDirPartition) {
				if p.Topic == topic {
					size = p.Size
				}
			})
		}
		return size > 1000 // the key is in the first batch
	})
	must(t, third.Kill())
	reassign(t, c, adm, topic, 1, 2)
	put(t, cl, topic, "deleted", nil)
	eventually(t, "the tombstone is gone", func() bool {
		fillKeyed(t, cl, topic)
		_, met := table(t, c, topic)
		return !met["deleted"]
	})
	var back kadm.AlterPartitionAssignmentsReq
	back.Assign(topic, 0, []int32{3, 1, 2})
	responses, err := adm.AlterPartitionAssignments(within(t), back) // before the node can know that it held the replica no more
	must(t, err)
	must(t, responses.Error())
	must(t, c.Restore(within(t), third))
	inSync(t, c, topic, 1, 2, 3)
	fillKeyed(t, cl, topic)
	want, _ := table(t, c, topic)
	reassign(t, c, adm, topic, 3)
	if got, met := table(t, c, topic); met["deleted"] || !maps.Equal(got, want) {
		t.Errorf("a reader of the replica that returned knows %v, want %v", got, want)
	}
}
