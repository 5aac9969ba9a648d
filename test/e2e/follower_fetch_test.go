package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/fixture"
	"balsa/test/harness"
)

// A consumer that says where it stands is sent to the replica there, and no more when that is dead (KIP-392).
func TestFetchFromFollower(t *testing.T) {
	c := fixture.Start(t, harness.Options{
		Binary: balsa, Dir: t.TempDir(), Nodes: 3,
		Flags: []string{"--log-level", "warn", "--replica-selector-class", "org.apache.kafka.common.replica.RackAwareReplicaSelector"},
		Command: func(n *harness.Node) []string {
			return append(n.Argv, "--rack", fmt.Sprintf("rack-%d", n.ID))
		},
	})
	createTopic(t, c, "t", 1)
	cl := client(t, c, kgo.AllowAutoTopicCreation())
	produce(t, cl, "t", "a", "b", "c")
	leader := partitionLeader(t, c, cl, "t")
	follower, id := leader%3+1, uuidOf(t, cl, "t")
	fetch := func(node int32, rack string, offset int64) kmsg.FetchResponseTopicPartition {
		t.Helper()
		req := kmsg.NewPtrFetchRequest()
		req.ReplicaID, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = -1, 1<<20, 1, 100
		req.SessionEpoch, req.Rack = -1, rack
		rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		rp.FetchOffset, rp.PartitionMaxBytes, rp.CurrentLeaderEpoch, rp.LastFetchedEpoch = offset, 1<<20, -1, -1
		rt.Topic, rt.TopicID, rt.Partitions = "t", id, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		resp, err := cl.Broker(int(node)).Request(within(t), req)
		must(t, err)
		return resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	}
	rack := fmt.Sprintf("rack-%d", follower)
	if p := fetch(leader, rack, 0); p.PreferredReadReplica != follower || len(p.RecordBatches) > 0 || p.ErrorCode != 0 {
		t.Errorf("the leader answers %+v, want replica %d preferred", p, follower)
	}
	eventually(t, "the records on the follower", func() bool {
		p := fetch(follower, rack, 0)
		return p.ErrorCode == 0 && len(p.RecordBatches) > 0 && p.PreferredReadReplica == -1 && p.HighWatermark == 3
	})
	if p := fetch(follower, rack, 1000); p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Errorf("an offset that the follower does not have: %v", kerr.ErrorForCode(p.ErrorCode))
	}

	reader := client(t, c, kgo.Rack(rack), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.RequestTimeoutOverhead(2e9),
		// franz-go stays with a follower that is dead until its leader changes, or this is over: 30 minutes by default. The Java client
		// asks the leader at once when a follower's connection breaks.
		kgo.RecheckPreferredReplicaInterval(time.Second))
	read := func(want ...string) {
		t.Helper()
		ctx := within(t)
		for len(want) > 0 {
			for _, r := range reader.PollRecords(ctx, 1).Records() {
				if string(r.Value) != want[0] {
					t.Fatalf("read %s at %d, want %s", r.Value, r.Offset, want[0])
				}
				want = want[1:]
			}
			if ctx.Err() != nil {
				t.Fatalf("did not read %v", want)
			}
		}
	}
	read("a", "b", "c")
	produce(t, cl, "t", "d")
	read("d")
	must(t, c.Node(follower).Kill()) // with nobody in the rack, the leader serves
	eventually(t, "the leader's own records", func() bool {
		p := fetch(leader, rack, 0)
		return p.ErrorCode == 0 && p.PreferredReadReplica == -1 && len(p.RecordBatches) > 0
	})
	produce(t, cl, "t", "e")
	read("e")
	must(t, c.Node(follower).Start()) // back in the rack: the consumer goes there again, and misses nothing
	eventually(t, "the follower preferred again", func() bool { return fetch(leader, rack, 5).PreferredReadReplica == follower })
	produce(t, cl, "t", "f")
	read("f")
}
