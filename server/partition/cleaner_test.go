package partition

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"balsa/raft"
	"balsa/server/cluster"
)

// setBrokerConfig sets a dynamic config of all brokers.
func (f *fixture) setBrokerConfig(name, value string) {
	f.t.Helper()
	image := *f.image
	image.Version++
	configs := map[string]string{name: value}
	for k, v := range f.image.BrokerConfigs[raft.NoNode] {
		if k != name {
			configs[k] = v
		}
	}
	image.BrokerConfigs = map[raft.NodeID]map[string]string{raft.NoNode: configs}
	f.image = &image
	f.manager.Sync(&image)
}

// TestCleanerConfigsTakeEffect: while the node runs, and wake what waits by the old ones.
func TestCleanerConfigsTakeEffect(t *testing.T) {
	f := newFixture(t, compacted())
	c := f.manager.cleaner
	if got := c.buffer(); got != 1<<20 {
		t.Fatalf("a buffer of %d bytes", got)
	}
	waited := make(chan bool)
	go func() { waited <- c.pause(context.Background(), c.wake) }() // for an hour
	f.setBrokerConfig("log.cleaner.backoff.ms", "15000")
	if !<-waited {
		t.Error("stopped")
	}
	f.setBrokerConfig("log.cleaner.dedupe.buffer.size", strconv.Itoa(8<<20))
	f.setBrokerConfig("log.cleaner.threads", "4")
	f.setBrokerConfig("log.cleaner.io.max.bytes.per.second", "1E3")
	want := cluster.CleanerConfig{Threads: 4, Buffer: 8 << 20, Backoff: 15 * time.Second, BytesPerSecond: 1000}
	if got := *c.config.Load(); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if c.buffer() != 2<<20 || c.threads.size != 4 || c.pace.rate != 1000 {
		t.Errorf("buffer %d, threads %d, rate %v", c.buffer(), c.threads.size, c.pace.rate)
	}
	f.setBrokerConfig("log.cleaner.threads", "64")
	if c.buffer() != cluster.MinCleanerBuffer {
		t.Errorf("a buffer of %d bytes", c.buffer())
	}
}

// TestProducersExpireByDynamicConfig: producer.id.expiration.ms counts from the next tick on.
func TestProducersExpireByDynamicConfig(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, nil)
		table := f.partition().machine.producers
		known := func() bool {
			f.partition().machine.mu.Lock()
			defer f.partition().machine.mu.Unlock()
			return len(table.producers) > 0
		}
		f.partition().machine.mu.Lock()
		table.producer(7, 0)
		f.partition().machine.mu.Unlock()
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan struct{})
		go func() { f.manager.Run(ctx); close(stopped) }()
		time.Sleep(time.Minute)
		if !known() {
			t.Error("forgotten before its hour")
		}
		f.setBrokerConfig("producer.id.expiration.ms", "1000")
		time.Sleep(time.Minute)
		if known() {
			t.Error("not forgotten")
		}
		cancel()
		<-stopped
		f.stop()
	})
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		entered := make(chan int, 4)
		for i := range 4 {
			go func() { g.enter(); entered <- i }()
		}
		expect := func(n int) {
			t.Helper()
			synctest.Wait()
			if len(entered) != n {
				t.Fatalf("%d inside, want %d", len(entered), n)
			}
		}
		expect(1)
		g.resize(3)
		expect(3)
		g.resize(1)
		g.leave()
		g.leave()
		expect(3)
		g.leave()
		expect(4)
	})
}

// TestPacerChangesItsRate: who waits by a rate that let next to nothing pass goes on.
func TestPacerChangesItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(1e-9)
		done := make(chan error, 1)
		go func() { done <- p.wait(context.Background(), 1<<20) }()
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("did not wait")
		}
		began := time.Now()
		p.setRate(1000)
		if err := <-done; err != nil || time.Since(began) > 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if err := p.wait(context.Background(), 500); err != nil || time.Since(began) != 500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
