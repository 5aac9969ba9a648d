package e2e

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log/batch"
	"balsa/test/harness"
)

// rawProducer sends batches with sequence numbers of the test's choice to partition 0 of a topic.
type rawProducer struct {
	t      *testing.T
	c      *harness.Cluster
	client *kgo.Client
	topic  string
	uuid   [16]byte
	id     int64
	epoch  int16
}

func newRawProducer(t *testing.T, c *harness.Cluster, topic string) *rawProducer {
	t.Helper()
	p := &rawProducer{t: t, c: c, client: client(t, c), topic: topic}
	p.uuid = uuidOf(t, p.client, topic)
	resp, err := kmsg.NewPtrInitProducerIDRequest().RequestWith(within(t), p.client)
	must(t, err)
	must(t, kerr.ErrorForCode(resp.ErrorCode))
	p.id, p.epoch = resp.ProducerID, resp.ProducerEpoch
	return p
}

// send produces one record once, to whoever leads, and returns its offset and Kafka's error.
func (p *rawProducer) send(sequence int32) (int64, error) {
	p.t.Helper()
	b, err := batch.BuildRecords([]batch.Record{{Value: []byte{byte(sequence)}, Timestamp: 1_700_000_000_000}}, batch.BuildOptions{
		Producer: &batch.Producer{ID: p.id, Epoch: p.epoch, Sequence: sequence},
	})
	must(p.t, err)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rp.Records = b
	rt.Topic, rt.TopicID, rt.Partitions = p.topic, p.uuid, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := p.client.Broker(int(partitionLeader(p.t, p.c, p.client, p.topic))).Request(within(p.t), req)
	if err != nil {
		return -1, err
	}
	sp := resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return sp.BaseOffset, kerr.ErrorForCode(sp.ErrorCode)
}

// settled is send until the cluster has made up its mind: leaders change, connections break.
func (p *rawProducer) settled(sequence int32) (offset int64, err error) {
	p.t.Helper()
	eventually(p.t, "an answer that is final", func() bool {
		offset, err = p.send(sequence)
		var known *kerr.Error
		return err == nil || errors.As(err, &known) && !known.Retriable || errors.Is(err, kerr.OutOfOrderSequenceNumber)
	})
	return offset, err
}

func uuidOf(t *testing.T, cl *kgo.Client, topic string) [16]byte {
	t.Helper()
	topics, err := kadm.NewClient(cl).ListTopics(within(t), topic)
	must(t, err)
	return topics[topic].ID
}

// partitionLeader is who leads partition 0 as the brokers that live say, and lives.
func partitionLeader(t *testing.T, c *harness.Cluster, cl *kgo.Client, topic string) (leader int32) {
	t.Helper()
	eventually(t, "a leader", func() bool {
		req := kmsg.NewPtrMetadataRequest()
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(within(t), cl)
		if err != nil || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) == 0 {
			return false
		}
		leader = resp.Topics[0].Partitions[0].Leader
		i := slices.IndexFunc(c.Nodes, func(n *harness.Node) bool { return n.ID == leader })
		return i >= 0 && c.Nodes[i].Running()
	})
	return leader
}

// What the leader knew of an idempotent producer, its successors know, and so does a cluster that was stopped: retries get
// the offset of the first attempt, gaps are refused, and nothing is stored twice.
func TestIdempotenceSurvivesFailoverAndRestart(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "t", 1)
	p := newRawProducer(t, c, "t")
	next := int32(0)
	fill := func() {
		t.Helper()
		for range 6 {
			if o, err := p.settled(next); err != nil || o != int64(next) {
				t.Fatalf("sequence %d went to offset %d, %v", next, o, err)
			}
			next++
		}
	}
	verify := func(when string) {
		t.Helper()
		for s := next - 5; s < next; s++ {
			if o, err := p.settled(s); err != nil || o != int64(s) {
				t.Errorf("%s: sequence %d again: offset %d, %v", when, s, o, err)
			}
		}
		for _, s := range []int32{next - 6, next + 1} { // beyond what is remembered; a gap
			if o, err := p.settled(s); !errors.Is(err, kerr.OutOfOrderSequenceNumber) {
				t.Errorf("%s: sequence %d: offset %d, %v", when, s, o, err)
			}
		}
	}
	fill()
	verify("at first")
	for range 2 {
		dead := c.Node(partitionLeader(p.t, c, p.client, p.topic))
		must(t, dead.Kill())
		verify("after a failover")
		fill()
		must(t, dead.Start())
		must(t, c.WaitServing(within(t)))
	}
	for _, n := range c.Nodes {
		must(t, n.Kill())
	}
	for _, n := range c.Nodes {
		must(t, n.Start())
	}
	must(t, c.WaitServing(within(t)))
	verify("after a restart of all")
	fill()
	for i, r := range consume(t, c, "t", kgo.NewOffset().AtStart(), int(next)) {
		if r.Offset != int64(i) || r.Value[0] != byte(i) {
			t.Errorf("record %d is %v at offset %d", i, r.Value, r.Offset)
		}
	}
}

// A transaction that is open when its partition's leader dies: its records stay hidden, and come out when it is committed;
// those of aborted ones never do, also after everybody was restarted.
func TestTransactionSurvivesFailover(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "t", 1)
	cl := client(t, c, kgo.TransactionalID("x"), kgo.DefaultProduceTopic("t"))
	write := func(v string) {
		t.Helper()
		must(t, cl.ProduceSync(within(t), kgo.StringRecord(v)).FirstErr())
	}
	var want []string
	for i, commit := range []bool{false, true, false, true, false} {
		must(t, cl.BeginTransaction())
		before, after := string(rune('a'+i)), string(rune('A'+i))
		write(before)
		leader := c.Node(partitionLeader(t, c, cl, "t"))
		must(t, leader.Kill())
		write(after)
		must(t, leader.Start())
		must(t, c.WaitServing(within(t)))
		must(t, cl.EndTransaction(within(t), kgo.TransactionEndTry(commit)))
		if commit {
			want = append(want, before, after)
		}
		if i == 3 {
			for _, n := range c.Nodes {
				must(t, n.Kill())
			}
			for _, n := range c.Nodes {
				must(t, n.Start())
			}
			must(t, c.WaitServing(within(t)))
		}
	}
	var got []string
	reader := client(t, c, kgo.ConsumeTopics("t"), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	for len(got) < len(want) {
		fetches := reader.PollFetches(within(t))
		must(t, fetches.Err())
		for _, r := range fetches.Records() {
			got = append(got, string(r.Value))
		}
	}
	more, cancel := context.WithTimeout(t.Context(), patience/80)
	defer cancel()
	for _, r := range reader.PollFetches(more).Records() {
		got = append(got, string(r.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
}
