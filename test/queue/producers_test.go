//go:build queue

package queue

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// poison says which part of the messages is of each kind but Plain.
var poison = map[Kind]float64{Rejected: 0.003, Returned: 0.002, Hanging: 0.0001, Deadly: 0.0002}

// producers are idempotent acks=all producers, which note what they got acknowledgements for.
type producers struct {
	clients []*kgo.Client
	stop    context.CancelFunc
	writers sync.WaitGroup

	mu      sync.Mutex
	given   map[int32]int64   // guarded by mu; by producer
	written map[Place]Message // guarded by mu
	bytes   int64             // guarded by mu; of the values in written
	err     error             // guarded by mu; the first error that a producer met
}

// startProducers starts n producers, which write rate messages a second together until Stop.
func (s *suite) startProducers(n, rate int) *producers {
	s.Helper()
	p := &producers{given: map[int32]int64{}, written: map[Place]Message{}}
	ctx, stop := context.WithCancel(s.Context())
	p.stop = stop
	for i := range n {
		cl, err := kgo.NewClient(
			kgo.SeedBrokers(s.brokers...), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0),
			kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
			kgo.ProduceRequestTimeout(2*time.Second), kgo.RequestTimeoutOverhead(2*time.Second),
			kgo.DialTimeout(time.Second), kgo.MetadataMinAge(25*time.Millisecond),
			kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
			kgo.MaxBufferedRecords(1_000_000),
		)
		s.must(err)
		s.Cleanup(cl.Close)
		p.clients = append(p.clients, cl)
		p.writers.Go(func() { p.write(ctx, int32(i), cl, float64(rate)/float64(n)) })
	}
	return p
}

// write produces at a rate until ctx ends.
func (p *producers) write(ctx context.Context, producer int32, cl *kgo.Client, rate float64) {
	rng := rand.New(rand.NewPCG(*seed, uint64(producer)))
	filler := make([]byte, 2000)
	for i := range filler {
		filler[i] = byte(rng.Uint32())
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	start, seq := time.Now(), int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for due := int64(time.Since(start).Seconds() * rate); seq < due; seq++ {
			m := Message{Producer: producer, Seq: seq, Kind: kindOf(rng.Float64())}
			if seq > 0 && seq < int64(kindCount) {
				m.Kind = Kind(seq) // some of each, however few messages there are
			}
			p.produce(cl, m, m.AppendValue(nil, filler[:rng.IntN(len(filler))]))
		}
	}
}

// kindOf maps a number in [0, 1) to a kind.
func kindOf(x float64) Kind {
	for k := Plain + 1; k < kindCount; k++ {
		if x -= poison[k]; x < 0 {
			return k
		}
	}
	return Plain
}

func (p *producers) produce(cl *kgo.Client, m Message, value []byte) {
	p.mu.Lock()
	p.given[m.Producer] = m.Seq + 1
	p.mu.Unlock()
	// Not the caller's context: a message that was handed over is pursued until its fate is known.
	cl.Produce(context.Background(), &kgo.Record{Value: value}, func(r *kgo.Record, err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			if p.err == nil {
				p.err = fmt.Errorf("%v: %w", m, err)
			}
			return
		}
		p.written[Place{r.Partition, r.Offset}] = m
		p.bytes += int64(len(value))
	})
}

// count says how many messages are acknowledged.
func (p *producers) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.written))
}

// finish ends the writing and tells the checker what was written.
func (s *suite) finish(p *producers, c *Checker) {
	s.Helper()
	p.stop()
	p.writers.Wait()
	for _, cl := range p.clients {
		s.must(cl.Flush(s.within(patience)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		s.Errorf("producers: %v", p.err)
	}
	for producer, n := range p.given {
		c.Given(producer, n)
	}
	for place, m := range maps.All(p.written) {
		c.Written(place, m)
	}
}
