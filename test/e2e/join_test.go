package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/fixture"
	"balsa/test/harness"
)

// reassign moves the only partition of a topic and waits until it has arrived.
func reassign(t *testing.T, c *harness.Cluster, adm *kadm.Client, topic string, to ...int32) {
	t.Helper()
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(topic, 0, to)
	responses, err := adm.AlterPartitionAssignments(within(t), req)
	must(t, err)
	must(t, responses.Error())
	inSync(t, c, topic, to...)
}

// inSync waits until the only partition of a topic has these replicas, all in sync, on the word of every broker in service: a
// broker that has just come back knows first which of its own replicas are not.
func inSync(t *testing.T, c *harness.Cluster, topic string, want ...int32) {
	t.Helper()
	slices.Sort(want)
	cl := client(t, c)
	must(t, cl.Ping(within(t)))
	eventually(t, "the replicas are in sync", func() bool {
		for _, n := range want {
			replicas, isr := replicasSeenBy(t, cl, n, topic)
			if !slices.Equal(replicas, want) || !slices.Equal(isr, want) {
				return false
			}
		}
		return true
	})
}

// replicasSeenBy returns the sorted replicas of a topic's only partition, and those in sync, as one broker sees them.
func replicasSeenBy(t *testing.T, cl *kgo.Client, node int32, topic string) (replicas, isr []int32) {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, rt)
	r, err := cl.Broker(int(node)).Request(t.Context(), req)
	if err != nil {
		return nil, nil // not there yet
	}
	m := r.(*kmsg.MetadataResponse)
	if len(m.Topics) != 1 || len(m.Topics[0].Partitions) != 1 {
		return nil, nil
	}
	p := m.Topics[0].Partitions[0]
	slices.Sort(p.Replicas)
	slices.Sort(p.ISR)
	return p.Replicas, p.ISR
}

// TestJoin grows a cluster by a node, moves a partition to it alone, and shrinks the cluster to what was not there before.
func TestJoin(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "moved", 1)
	produce(t, client(t, c), "moved", "a", "b")
	fourth, err := c.Join()
	must(t, err)
	must(t, c.Restore(within(t), fourth))
	adm := admin(t, c)
	reassign(t, c, adm, "moved", 4, 1)
	reassign(t, c, adm, "moved", 4)
	cl := client(t, c)
	if next := produce(t, cl, "moved", "c"); next != 2 {
		t.Errorf("the next record got offset %d, want 2", next)
	}
	must(t, c.Restart(within(t), fourth, 0))
	wantValues(t, consume(t, c, "moved", kgo.NewOffset().At(0), 3), 0, "a", "b", "c")
}

// metadataVoters returns the brokers that vote on the metadata, none when they cannot be asked.
func metadataVoters(t *testing.T, cl *kgo.Client) []int32 {
	t.Helper()
	voters, _ := harness.MetadataVoters(t.Context(), cl)
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
		t.Errorf("what it says does not help: %s, %v", lost.LastLines(3), err)
	}
	lost.Argv = append(lost.Argv, "--join", c.Seeds()[:strings.LastIndex(c.Seeds(), ",")])
	must(t, c.Restore(within(t), lost))
	inSync(t, c, "kept", 1, 2, 3)
	eventually(t, "it votes on the metadata again", func() bool { return slices.Contains(metadataVoters(t, cl), lost.ID) })
	must(t, c.Nodes[0].Kill()) // now its vote counts, and what it stores
	produce(t, client(t, c), "kept", "d")
	wantValues(t, consume(t, c, "kept", kgo.NewOffset().At(0), 4), 0, "a", "b", "c", "d")
}

// TestSingleNodeGrows makes a cluster of three out of a single node, and then does without that node.
func TestSingleNodeGrows(t *testing.T) {
	c, err := harness.New(harness.Options{Binary: balsa, Dir: t.TempDir(), Nodes: 1, Flags: []string{"--log-level", "warn"}})
	must(t, err)
	fixture.Own(t, c)
	first := c.Nodes[0]
	first.Argv = append(first.Argv, "--peer-listen", c.Seeds())
	must(t, c.Start(within(t)))
	createTopic(t, c, "grown", 1)
	cl := client(t, c)
	produce(t, cl, "grown", "a", "b")
	for range 2 {
		n, err := c.Join()
		must(t, err)
		must(t, n.Process.Start())
	}
	must(t, c.WaitServing(within(t)))
	adm := admin(t, c)
	var req kadm.AlterPartitionAssignmentsReq
	for shard := range int32(16) {
		req.Assign("__consumer_offsets", shard, []int32{1 + shard%3, 1 + (shard+1)%3, 1 + (shard+2)%3})
	}
	req.Assign("grown", 0, []int32{2, 3, 1})
	responses, err := adm.AlterPartitionAssignments(within(t), req)
	must(t, err)
	must(t, responses.Error())
	eventually(t, "all has moved, and three vote", func() bool {
		list, err := adm.ListPartitionReassignments(t.Context(), nil)
		return err == nil && len(list) == 0 && len(metadataVoters(t, cl)) == 3
	})
	inSync(t, c, "grown", 1, 2, 3)
	must(t, first.Kill())
	produce(t, client(t, c), "grown", "c")
	wantValues(t, consume(t, c, "grown", kgo.NewOffset().At(0), 3), 0, "a", "b", "c")
}

// TestControllerIsRemoved takes away the node that leads the metadata, while it runs.
func TestControllerIsRemoved(t *testing.T) {
	c := start(t, 4)
	createTopic(t, c, "stays", 1)
	cl, adm := client(t, c), admin(t, c)
	produce(t, cl, "stays", "a")
	m, err := adm.Metadata(within(t))
	must(t, err)
	leaves := m.Controller
	var rest []int32
	for _, n := range c.Nodes {
		if n.ID != leaves {
			rest = append(rest, n.ID)
		}
	}
	var req kadm.AlterPartitionAssignmentsReq
	for shard := range int32(16) {
		req.Assign("__consumer_offsets", shard, rest)
	}
	req.Assign("stays", 0, rest)
	responses, err := adm.AlterPartitionAssignments(within(t), req)
	must(t, err)
	must(t, responses.Error())
	eventually(t, "all has moved", func() bool {
		list, err := adm.ListPartitionReassignments(t.Context(), nil)
		return err == nil && len(list) == 0
	})
	unregister := kmsg.NewPtrUnregisterBrokerRequest()
	unregister.BrokerID = leaves
	answer, err := unregister.RequestWith(within(t), cl)
	must(t, err)
	must(t, kerr.ErrorForCode(answer.ErrorCode))
	eventually(t, "it votes no more, and another one leads", func() bool {
		voters := metadataVoters(t, cl)
		m, err := adm.Metadata(t.Context())
		return err == nil && len(voters) == 3 && !slices.Contains(voters, leaves) && m.Controller != leaves
	})
	must(t, c.Node(leaves).Kill())
	produce(t, client(t, c), "stays", "b")
	_, err = adm.CreateTopic(within(t), 1, 3, nil, "new")
	must(t, err)
	wantValues(t, consume(t, c, "stays", kgo.NewOffset().At(0), 2), 0, "a", "b")
}
