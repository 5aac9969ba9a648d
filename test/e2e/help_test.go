package e2e

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/fixture"
	"balsa/test/harness"
)

// patience bounds what waits for another process; nothing is asserted about how long things take.
const patience = 40 * time.Second

var balsa string // built by TestMain

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "balsa-e2e-")
	if err == nil {
		balsa, err = harness.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// start runs a cluster for one test.
func start(t *testing.T, nodes int, flags ...string) *harness.Cluster {
	t.Helper()
	flags = append([]string{"--log-level", "warn", "--group-initial-rebalance-delay", "0s"}, flags...)
	return fixture.Start(t, harness.Options{Binary: balsa, Dir: t.TempDir(), Nodes: nodes, Flags: flags})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func client(t *testing.T, c *harness.Cluster, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	opts = append([]kgo.Opt{
		kgo.SeedBrokers(c.Addresses()...), kgo.MetadataMinAge(20 * time.Millisecond), kgo.DialTimeout(time.Second),
	}, opts...)
	cl, err := kgo.NewClient(opts...)
	must(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func admin(t *testing.T, c *harness.Cluster) *kadm.Client {
	t.Helper()
	return kadm.NewClient(client(t, c))
}

// createTopic makes a topic replicated on all nodes, with configs as name, value, name, value.
func createTopic(t *testing.T, c *harness.Cluster, topic string, partitions int32, configs ...string) {
	t.Helper()
	values := map[string]*string{}
	for i := 0; i < len(configs); i += 2 {
		values[configs[i]] = &configs[i+1]
	}
	_, err := admin(t, c).CreateTopic(within(t), partitions, int16(len(c.Nodes)), values, topic)
	must(t, err)
}

// produce writes values to partition 0 and returns the offset of the first.
func produce(t *testing.T, cl *kgo.Client, topic string, values ...string) int64 {
	t.Helper()
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{Topic: topic, Value: []byte(v)}
	}
	must(t, cl.ProduceSync(within(t), records...).FirstErr())
	return records[0].Offset
}

// consume reads n records of partition 0 from an offset on.
func consume(t *testing.T, c *harness.Cluster, topic string, from kgo.Offset, n int) []*kgo.Record {
	t.Helper()
	cl := client(t, c,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)
	ctx := within(t)
	var read []*kgo.Record
	for len(read) < n {
		fetches := cl.PollFetches(ctx)
		must(t, fetches.Err())
		read = append(read, fetches.Records()...)
	}
	return read
}

// values checks that records carry these values at consecutive offsets.
func wantValues(t *testing.T, read []*kgo.Record, first int64, want ...string) {
	t.Helper()
	if len(read) != len(want) {
		t.Fatalf("read %d records, want %d", len(read), len(want))
	}
	for i, r := range read {
		if string(r.Value) != want[i] || r.Offset != first+int64(i) {
			t.Errorf("record %d is %q at offset %d, want %q at %d", i, r.Value, r.Offset, want[i], first+int64(i))
		}
	}
}

// eventually polls until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for ctx := within(t); !cond(); {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, patience)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
