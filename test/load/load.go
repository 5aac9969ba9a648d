// Package load writes records at a rate, through whatever happens to the brokers meanwhile.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Config describes a load.
type Config struct {
	Brokers   []string
	Producers int
	Rate      float64   // records per second, all producers together
	Options   []kgo.Opt // of the producers
	// Writer returns what writes the next record of a producer. It is called by one goroutine.
	Writer func(p *Producer) (write func())
}

// Load is a running set of idempotent acks=all producers.
type Load struct {
	producers []*Producer
	stop      context.CancelFunc
	writers   sync.WaitGroup

	mu     sync.Mutex
	failed int     // guarded by mu; how many records
	errs   []error // guarded by mu; the first few
}

// Producer writes the records of one client.
type Producer struct {
	ID     int32 // counted from 0
	load   *Load
	client *kgo.Client
}

const (
	tick    = 5 * time.Millisecond // how often each producer writes
	maxErrs = 5
)

// Start starts the producers. They try for as long as it takes, quickly, so that an outage is the broker's and not the
// client's: with franz-go's defaults a client notices a new leader only seconds later.
func Start(ctx context.Context, config Config) (*Load, error) {
	l := &Load{}
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(config.Brokers...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.MaxBufferedRecords(1_000_000),
		kgo.ProduceRequestTimeout(2 * time.Second),
		kgo.RequestTimeoutOverhead(2 * time.Second),
		kgo.DialTimeout(time.Second),
		kgo.MetadataMinAge(25 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}, config.Options...)
	for i := range config.Producers {
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			l.Close()
			return nil, fmt.Errorf("start load: %w", err)
		}
		l.producers = append(l.producers, &Producer{int32(i), l, cl})
	}
	ctx, l.stop = context.WithCancel(ctx)
	for _, p := range l.producers {
		l.writers.Go(func() { atRate(ctx, config.Rate/float64(config.Producers), config.Writer(p)) })
	}
	return l, nil
}

// atRate calls write so many times a second until ctx ends.
func atRate(ctx context.Context, rate float64, write func()) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for start, sent := time.Now(), 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for due := int(time.Since(start).Seconds() * rate); sent < due; sent++ {
			write()
		}
	}
}

// Produce hands over a record, which is called what in errors. acked is called if it is acknowledged, for one record of a
// producer at a time.
func (p *Producer) Produce(what any, r *kgo.Record, acked func(*kgo.Record)) {
	// The context is not the load's: a record that was handed over is pursued until its fate is known.
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		if err == nil {
			acked(r)
			return
		}
		p.load.mu.Lock()
		defer p.load.mu.Unlock()
		if p.load.failed++; p.load.failed <= maxErrs {
			p.load.errs = append(p.load.errs, fmt.Errorf("%v: %w", what, err))
		}
	})
}

// Stop ends the load, waits until every record's fate is known, and returns the errors that producers met. A
// retrying idempotent producer meets none unless the broker lost its state.
func (l *Load) Stop(ctx context.Context) error {
	l.stop()
	l.writers.Wait()
	var errs []error
	for _, p := range l.producers {
		if err := p.client.Flush(ctx); err != nil {
			errs = append(errs, fmt.Errorf("flush producer %d: %w", p.ID, err))
		}
	}
	l.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed > maxErrs {
		errs = append(errs, fmt.Errorf("%d records failed; the first of them", l.failed))
	}
	return errors.Join(append(errs, l.errs...)...)
}

// Close gives up what is on its way.
func (l *Load) Close() {
	for _, p := range l.producers {
		p.client.Close()
	}
}
