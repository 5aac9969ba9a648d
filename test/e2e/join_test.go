package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// reassign moves the only partition of a topic and waits until it has arrived.
func reassign(t *testing.T, adm *kadm.Client, topic string, to ...int32) {
	t.Helper()
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, 0, to)
	responses, err := adm.AlterPartitionAssignments(within(t), req)
	must(t, err)
	must(t, responses.Error())
	inSync(t, adm, topic, to...)
}

// inSync waits until the only partition of a topic has these replicas, all in sync.
func inSync(t *testing.T, adm *kadm.Client, topic string, want ...int32) {
	t.Helper()
	slices.Sort(want)
	eventually(t, "the replicas are in sync", func() bool {
		m, err := adm.Metadata(t.Context(), topic)
		if err != nil || len(m.Topics[topic].Partitions) != 1 {
			return false
		}
		p := m.Topics[topic].Partitions[0]
		slices.Sort(p.Replicas)
		slices.Sort(p.ISR)
		return slices.Equal(p.Replicas, want) && slices.Equal(p.ISR, want)
	})
}

// TestJoin grows a cluster by a node, moves a partition to it alone, and shrinks the cluster to what was not there before.
func TestJoin(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "moved", 1)
	produce(t, client(t, c), "moved", "a", "b")
	fourth, err := c.Join()
	must(t, err)
	must(t, fourth.Process.Start())
	must(t, c.WaitServing(within(t)))
	adm := admin(t, c)
	reassign(t, adm, "moved", 4, 1)
	reassign(t, adm, "moved", 4)
	cl := client(t, c)
	if next := produce(t, cl, "moved", "c"); next != 2 {
		t.Errorf("the next record got offset %d, want 2", next)
	}
	must(t, fourth.Kill())
	must(t, fourth.Process.Start())
	must(t, c.WaitServing(within(t)))
	wantValues(t, consume(t, c, "moved", kgo.NewOffset().At(0), 3), 0, "a", "b", "c")
}

// metadataVoters returns the brokers that vote on the metadata.
func metadataVoters(t *testing.T, cl *kgo.Client) []int32 {
	t.Helper()
	req := kmsg.NewPtrDescribeQuorumRequest()
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), cl)
	if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil
	}
	var voters []int32
	for _, v := range resp.Topics[0].Partitions[0].CurrentVoters {
		voters = append(voters, v.ReplicaID)
	}
	return voters
}

// TestLostDataDirectory has a node lose all its data: it does not start as if nothing had happened, and joins when it is told to.
func TestLostDataDirectory(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "kept", 1)
	cl := client(t, c)
	produce(t, cl, "kept", "a", "b")
	lost := c.Nodes[2]
	must(t, lost.Kill())
	must(t, os.RemoveAll(lost.DataDir))
	produce(t, cl, "kept", "c")
	must(t, lost.Process.Start())
	eventually(t, "it refuses to start", func() bool { return !lost.Running() })
	if text, err := os.ReadFile(lost.Log); err != nil || !strings.Contains(string(text), "--join") {
		t.Errorf("what it says does not help: %s, %v", lastLines(string(text), 3), err)
	}
	lost.Argv = append(lost.Argv, "--join", c.Seeds()[:strings.LastIndex(c.Seeds(), ",")])
	must(t, lost.Process.Start())
	must(t, c.WaitServing(within(t)))
	inSync(t, admin(t, c), "kept", 1, 2, 3)
	eventually(t, "it votes on the metadata again", func() bool { return slices.Contains(metadataVoters(t, cl), lost.ID) })
	must(t, c.Nodes[0].Kill()) // now its vote counts, and what it stores
	produce(t, client(t, c), "kept", "d")
	wantValues(t, consume(t, c, "kept", kgo.NewOffset().At(0), 4), 0, "a", "b", "c", "d")
}
