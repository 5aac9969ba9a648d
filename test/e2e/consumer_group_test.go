package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/harness"
)

// groupFlags make members of the consumer protocol heard more often than Kafka's bounds allow, for tests that wait for
// them.
var groupFlags = []string{"--group-consumer-heartbeat-interval", "200ms", "--group-consumer-session-timeout", "6s"}

// groupMember is a consumer of a group that reads in the background.
type groupMember struct {
	cl   *kgo.Client
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	assigned map[string]map[int32]bool
	values   map[string]int // how often each value was read
}

// join starts a consumer of group "g". With consumer it speaks the consumer protocol, else the classic one.
func join(t *testing.T, c *harness.Cluster, consumer bool, opts ...kgo.Opt) *groupMember {
	t.Helper()
	m := &groupMember{assigned: map[string]map[int32]bool{}, values: map[string]int{}, done: make(chan struct{})}
	change := func(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			for topic, partitions := range parts {
				if m.assigned[topic] == nil {
					m.assigned[topic] = map[int32]bool{}
				}
				for _, p := range partitions {
					if delete(m.assigned[topic], p); has {
						m.assigned[topic][p] = true
					}
				}
			}
		}
	}
	opts = append([]kgo.Opt{
		kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)),
	}, opts...)
	if consumer {
		opts = append(opts, kgo.ServerSideBalancer())
	}
	m.cl = client(t, c, opts...)
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go m.read(ctx)
	t.Cleanup(m.leave)
	return m
}

func (m *groupMember) read(ctx context.Context) {
	defer close(m.done)
	for ctx.Err() == nil {
		fetches := m.cl.PollFetches(ctx)
		m.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) { m.values[string(r.Value)]++ })
		m.mu.Unlock()
	}
}

func (m *groupMember) leave() {
	m.stop()
	<-m.done
	m.cl.Close()
}

func (m *groupMember) has(topic string) []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.assigned[topic]))
}

// shares says whether members have all n partitions of a topic, each somebody's and somebody's alone, and nobody more
// than one more than another.
func shares(topic string, n int, members ...*groupMember) bool {
	seen := map[int32]bool{}
	total, least, most := 0, n, 0
	for _, m := range members {
		parts := m.has(topic)
		for _, p := range parts {
			seen[p] = true
		}
		total += len(parts)
		least, most = min(least, len(parts)), max(most, len(parts))
	}
	return total == n && len(seen) == n && most-least <= 1
}

func readAll(n int, members ...*groupMember) func() bool {
	return func() bool {
		read := map[string]bool{}
		for _, m := range members {
			m.mu.Lock()
			for v := range m.values {
				read[v] = true
			}
			m.mu.Unlock()
		}
		return len(read) == n
	}
}

func produceSpread(t *testing.T, cl *kgo.Client, topic string, from, to int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: fmt.Append(nil, i)})
	}
	must(t, cl.ProduceSync(within(t), records...).FirstErr())
}

func TestConsumerProtocol(t *testing.T) {
	c := start(t, 3, groupFlags...)
	createTopic(t, c, "orders", 6)
	cl, adm := client(t, c), admin(t, c)
	produceSpread(t, cl, "orders", 0, 300)

	a := join(t, c, true, kgo.ConsumeTopics("orders"))
	eventually(t, "the first has all", func() bool { return shares("orders", 6, a) })
	b := join(t, c, true, kgo.ConsumeTopics("orders"))
	d := join(t, c, true, kgo.ConsumeRegex(), kgo.ConsumeTopics("^ord.*"))
	eventually(t, "three share", func() bool { return shares("orders", 6, a, b, d) })
	eventually(t, "everything is read", readAll(300, a, b, d))

	described := describeConsumerGroup(t, cl)
	if described.State != "Stable" || len(described.Members) != 3 || described.AssignorName != "uniform" {
		t.Errorf("%+v", described)
	}
	var shown []struct {
		Members []struct {
			Assigned map[string][]int32 `json:"assigned"`
		} `json:"members"`
	}
	out, err := exec.CommandContext(within(t), balsa, "group", "describe", "g", "-o", "json", "-b", c.Addresses()[0]).Output()
	must(t, err)
	must(t, json.Unmarshal(out, &shown))
	if len(shown) != 1 || len(shown[0].Members) != 3 || len(shown[0].Members[2].Assigned["orders"]) != 2 {
		t.Errorf("the command line shows %s", out)
	}
	eventually(t, "the group is listed", func() bool {
		listed, err := adm.ListGroups(within(t))
		return err == nil && listed["g"].State == "Stable"
	})

	coordinators := adm.FindGroupCoordinators(within(t), "g")
	must(t, coordinators["g"].Err)
	dead := c.Node(coordinators["g"].NodeID)
	must(t, dead.Kill())
	produceSpread(t, cl, "orders", 300, 600)
	eventually(t, "the group goes on without its coordinator", readAll(600, a, b, d))
	must(t, dead.Process.Start())

	d.leave()
	eventually(t, "two share", func() bool { return shares("orders", 6, a, b) })
	_, err = adm.CreatePartitions(within(t), 4, "orders")
	must(t, err)
	eventually(t, "new partitions are shared", func() bool { return shares("orders", 10, a, b) })
	produceSpread(t, cl, "orders", 600, 700)
	eventually(t, "everything is read", readAll(700, a, b, d))
	a.leave()
	b.leave()
	lag := func() int64 {
		lags, err := adm.Lag(within(t), "g")
		if err != nil || lags["g"].FetchErr != nil {
			return -1
		}
		return lags["g"].Lag.Total()
	}
	eventually(t, "everything is committed", func() bool { return lag() == 0 })
	deleted, err := adm.DeleteGroups(within(t), "g")
	must(t, err)
	must(t, deleted["g"].Err)
}

func describeConsumerGroup(t *testing.T, cl *kgo.Client) kmsg.ConsumerGroupDescribeResponseGroup {
	t.Helper()
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups = []string{"g"}
	resp, err := req.RequestWith(within(t), cl)
	must(t, err)
	return resp.Groups[0]
}

// TestGroupMigration takes a group from the classic to the consumer protocol and back while it reads.
func TestGroupMigration(t *testing.T) {
	c := start(t, 3, groupFlags...)
	createTopic(t, c, "orders", 6)
	cl := client(t, c)
	produceSpread(t, cl, "orders", 0, 100)
	classic := func() *groupMember {
		return join(t, c, false, kgo.ConsumeTopics("orders"), kgo.HeartbeatInterval(200_000_000))
	}
	a, b := classic(), classic()
	eventually(t, "two classic members share", func() bool { return shares("orders", 6, a, b) })
	d := join(t, c, true, kgo.ConsumeTopics("orders"))
	eventually(t, "three share, of both protocols", func() bool { return shares("orders", 6, a, b, d) })
	a.leave()
	b.leave()
	eventually(t, "the consumer protocol alone", func() bool { return shares("orders", 6, d) })
	produceSpread(t, cl, "orders", 100, 200)
	eventually(t, "everything is read", readAll(200, a, b, d))
	if state := describeConsumerGroup(t, cl).State; state != "Stable" {
		t.Errorf("the group is %s", state)
	}
	e := classic()
	eventually(t, "a classic member joins", func() bool { return shares("orders", 6, d, e) })
	d.leave()
	eventually(t, "the classic protocol alone", func() bool { return shares("orders", 6, e) })
	produceSpread(t, cl, "orders", 200, 300)
	eventually(t, "everything is read", readAll(300, a, b, d, e))
}

// TestTransactionalOffsets moves records from one topic to another in transactions, some of which are aborted: offsets and
// records go together.
func TestTransactionalOffsets(t *testing.T) {
	for name, consumer := range map[string]bool{"classic": false, "consumer": true} {
		t.Run(name, func(t *testing.T) {
			c := start(t, 3, groupFlags...)
			createTopic(t, c, "in", 3)
			createTopic(t, c, "out", 3)
			const n = 200
			produceSpread(t, client(t, c), "in", 0, n)
			opts := []kgo.Opt{
				kgo.SeedBrokers(c.Addresses()...), kgo.TransactionalID("mover"), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("in"),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(300),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			}
			if consumer {
				opts = append(opts, kgo.ServerSideBalancer())
			}
			s, err := kgo.NewGroupTransactSession(opts...)
			must(t, err)
			defer s.Close()
			ctx := within(t)
			for round, moved := 0, 0; moved < n; round++ {
				fetches := s.PollFetches(ctx)
				must(t, fetches.Err())
				must(t, s.Begin())
				fetches.EachRecord(func(r *kgo.Record) { s.Produce(ctx, &kgo.Record{Topic: "out", Value: r.Value}, nil) })
				committed, err := s.End(ctx, kgo.TransactionEndTry(round%3 > 0))
				must(t, err)
				if committed {
					moved += fetches.NumRecords()
				}
			}
			out := client(t, c, kgo.ConsumeTopics("out"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.FetchIsolationLevel(kgo.ReadCommitted()))
			seen := map[string]int{}
			for total := 0; total < n; {
				fetches := out.PollFetches(ctx)
				must(t, fetches.Err())
				fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++; total++ })
			}
			if len(seen) != n {
				t.Errorf("%d of %d values, some more than once", len(seen), n)
			}
			offsets, err := kadm.NewClient(client(t, c)).FetchOffsets(ctx, "g")
			must(t, err)
			var sum int64
			offsets.Each(func(o kadm.OffsetResponse) { sum += o.At })
			if sum != n {
				t.Errorf("the committed offsets add up to %d, want %d", sum, n)
			}
		})
	}
}
