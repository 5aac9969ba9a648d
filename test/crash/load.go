package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// LoadConfig describes a continuous load.
type LoadConfig struct {
	Brokers    []string
	Topic      string // exists
	Partitions int32
	Producers  int
	Rate       int // records per second, all producers together
	MaxFiller  int // value sizes are uniform up to this many bytes
}

// Load is a running set of idempotent acks=all producers. Every producer writes to every partition in turn.
type Load struct {
	config  LoadConfig
	clients []*kgo.Client
	stop    context.CancelFunc
	writers sync.WaitGroup

	mu      sync.Mutex
	acks    Acks
	written map[Stream]int64
	acked   int64 // acknowledged records
	outages map[*Outage]bool
	errs    []error
}

// tick is how often each producer writes.
const tick = 5 * time.Millisecond

// StartLoad starts the producers. They try for as long as it takes, quickly, so that an outage is the broker's and not the
// client's: with franz-go's defaults a client notices a new leader only seconds later.
func StartLoad(ctx context.Context, config LoadConfig) (*Load, error) {
	l := &Load{config: config, acks: Acks{}, written: map[Stream]int64{}, outages: map[*Outage]bool{}}
	for range config.Producers {
		cl, err := kgo.NewClient(
			kgo.SeedBrokers(config.Brokers...),
			kgo.RequiredAcks(kgo.AllISRAcks()),
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.ProducerLinger(0),
			kgo.MaxBufferedRecords(1_000_000),
			kgo.ProduceRequestTimeout(2*time.Second),
			kgo.RequestTimeoutOverhead(2*time.Second),
			kgo.DialTimeout(time.Second),
			kgo.MetadataMinAge(25*time.Millisecond),
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("start load: %w", err)
		}
		l.clients = append(l.clients, cl)
	}
	ctx, l.stop = context.WithCancel(ctx)
	for i, cl := range l.clients {
		l.writers.Go(func() { l.write(ctx, int32(i), cl) })
	}
	return l, nil
}

// write produces at the configured rate until ctx ends.
func (l *Load) write(ctx context.Context, producer int32, cl *kgo.Client) {
	rng := rand.New(rand.NewPCG(uint64(producer), 0))
	seqs := make([]int64, l.config.Partitions)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	start, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due := int(time.Since(start).Seconds() * float64(l.config.Rate) / float64(l.config.Producers))
		for ; sent < due; sent++ {
			partition := int32(sent) % l.config.Partitions
			id := ID{partition, producer, seqs[partition]}
			seqs[partition]++
			l.produce(cl, id, EncodeValue(id, l.config.MaxFiller, rng))
		}
	}
}

func (l *Load) produce(cl *kgo.Client, id ID, value []byte) {
	s := Stream{id.Partition, id.Producer}
	l.mu.Lock()
	l.written[s]++
	l.acks[s] = append(l.acks[s], Unacked)
	l.mu.Unlock()
	created := time.Now()
	r := &kgo.Record{Topic: l.config.Topic, Partition: id.Partition, Key: fmt.Appendf(nil, "%d", id.Producer), Value: value}
	// The context is not the load's: a record that was handed over is pursued until its fate is known.
	cl.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		now := time.Now()
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil {
			l.errs = append(l.errs, fmt.Errorf("%v: %w", id, err))
			return
		}
		l.acks[s][id.Seq] = r.Offset
		l.acked++
		for o := range l.outages {
			o.acknowledged(id.Partition, created, now)
		}
	})
}

// Stop ends the load, waits until every record's fate is known, and returns the errors that producers met. A
// retrying idempotent producer meets none unless the broker lost its state.
func (l *Load) Stop(ctx context.Context) error {
	l.stop()
	l.writers.Wait()
	var errs []error
	for i, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			errs = append(errs, fmt.Errorf("flush producer %d: %w", i, err))
		}
	}
	l.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.errs); n > 5 {
		errs = append(errs, fmt.Errorf("%d records failed; the first of them", n))
	}
	return errors.Join(append(errs, l.errs[:min(5, len(l.errs))]...)...)
}

func (l *Load) close() {
	for _, cl := range l.clients {
		cl.Close()
	}
}

// Checker returns a checker of everything that was written. Call it after Stop.
func (l *Load) Checker() *Checker {
	l.mu.Lock()
	defer l.mu.Unlock()
	return NewChecker(maps.Clone(l.acks), maps.Clone(l.written))
}

// Acknowledged counts the records acknowledged so far.
func (l *Load) Acknowledged() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked
}
