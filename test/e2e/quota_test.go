package e2e

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// throttles remembers what brokers told a client about quotas.
type throttles struct {
	mu      sync.Mutex
	longest time.Duration
}

func (h *throttles) OnBrokerThrottle(_ kgo.BrokerMetadata, wait time.Duration, _ bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.longest = max(h.longest, wait)
}

func (h *throttles) take() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.longest
	h.longest = 0
	return d
}

// TestQuotas: a producer and a consumer beyond their quotas take as long as the quotas say, and are told so; others are not.
func TestQuotas(t *testing.T) {
	c := start(t, 1)
	createTopic(t, c, "q", 1)
	const rate = 200_000
	limit := func(keys ...string) {
		t.Helper()
		name := "limited"
		entry := kadm.AlterClientQuotaEntry{Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &name}}}
		for _, key := range keys {
			entry.Ops = append(entry.Ops, kadm.AlterClientQuotaOp{Key: key, Value: rate})
		}
		done, err := kadm.NewClient(client(t, c)).AlterClientQuotas(within(t), []kadm.AlterClientQuotaEntry{entry})
		must(t, err)
		for _, d := range done {
			must(t, d.Err)
		}
	}
	limit("producer_byte_rate", "consumer_byte_rate")
	value := strings.Repeat("x", 100_000)
	write := func(id string) (time.Duration, time.Duration) {
		var h throttles
		cl := client(t, c, kgo.ClientID(id), kgo.WithHooks(&h), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerLinger(0))
		begin := time.Now()
		for range 26 { // 2.6 MB; 2 MB may be saved up
			must(t, cl.ProduceSync(within(t), &kgo.Record{Topic: "q", Value: []byte(value)}).FirstErr())
		}
		return time.Since(begin), h.take()
	}
	if took, told := write("limited"); took < 2*time.Second || told < 400*time.Millisecond {
		t.Errorf("2.6 MB at 200 kB/s after 2 MB took %v; the client was told to wait for %v", took, told)
	}
	if _, told := write("other"); told != 0 {
		t.Errorf("a client without a quota was told to wait for %v", told)
	}
	var h throttles
	consumer := client(t, c, kgo.ClientID("limited"), kgo.WithHooks(&h),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"q": {0: kgo.NewOffset().AtStart()}}), kgo.FetchMaxBytes(200_000))
	begin, read := time.Now(), 0
	for read < 26 {
		fetches := consumer.PollFetches(within(t))
		must(t, fetches.Err())
		read += fetches.NumRecords()
	}
	if took, told := time.Since(begin), h.take(); took < 2*time.Second || told == 0 {
		t.Errorf("reading 2.6 MB took %v; the client was told to wait for %v", took, told)
	}
}

// TestDynamicConnectionLimit: max.connections.per.ip counts as soon as it is set.
func TestDynamicConnectionLimit(t *testing.T) {
	c := start(t, 1)
	adm := kadm.NewClient(client(t, c))
	set := func(value *string) {
		t.Helper()
		op := kadm.AlterConfig{Op: kadm.SetConfig, Name: "max.connections.per.ip", Value: value}
		if value == nil {
			op.Op = kadm.DeleteConfig
		}
		done, err := adm.AlterBrokerConfigs(within(t), []kadm.AlterConfig{op})
		must(t, err)
		for _, d := range done {
			must(t, d.Err)
		}
	}
	one := "1"
	set(&one)
	nc, err := net.Dial("tcp", c.Nodes[0].Address)
	must(t, err)
	defer nc.Close()
	if _, err := nc.Read(make([]byte, 1)); err == nil {
		t.Error("a connection beyond the limit was served")
	}
	set(nil)
	again, err := net.Dial("tcp", c.Nodes[0].Address)
	must(t, err)
	defer again.Close()
	must(t, again.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	if _, err := again.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the limit is gone: %v", err)
	}
}
