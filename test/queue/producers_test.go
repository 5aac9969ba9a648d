//go:build queue

package queue

import (
	"maps"
	"math/rand/v2"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/load"
)

// poison says which part of the messages is of each kind but Plain.
var poison = map[Kind]float64{Rejected: 0.003, Returned: 0.002, Hanging: 0.0001, Deadly: 0.0002}

// producers note what they got acknowledgements for.
type producers struct {
	*load.Load

	mu      sync.Mutex
	given   map[int32]int64   // guarded by mu; by producer
	written map[Place]Message // guarded by mu
	bytes   int64             // guarded by mu; of the values in written
}

// startProducers starts n producers, which write rate messages a second together until Stop.
func (s *suite) startProducers(n, rate int) *producers {
	s.Helper()
	p := &producers{given: map[int32]int64{}, written: map[Place]Message{}}
	var err error
	p.Load, err = load.Start(s.Context(), load.Config{
		Brokers: s.Brokers, Producers: n, Rate: float64(rate), Writer: p.writer,
		Options: []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner())},
	})
	s.Must(err)
	s.Cleanup(p.Close)
	return p
}

// writer writes random messages.
func (p *producers) writer(producer *load.Producer) func() {
	rng := rand.New(rand.NewPCG(*seed, uint64(producer.ID)))
	filler := make([]byte, 2000)
	for i := range filler {
		filler[i] = byte(rng.Uint32())
	}
	seq := int64(0)
	return func() {
		m := Message{Producer: producer.ID, Seq: seq, Kind: kindOf(rng.Float64())}
		if seq > 0 && seq < int64(kindCount) {
			m.Kind = Kind(seq) // some of each, however few messages there are
		}
		seq++
		p.produce(producer, m, m.AppendValue(nil, filler[:rng.IntN(len(filler))]))
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

func (p *producers) produce(producer *load.Producer, m Message, value []byte) {
	p.mu.Lock()
	p.given[m.Producer] = m.Seq + 1
	p.mu.Unlock()
	producer.Produce(m, &kgo.Record{Value: value}, func(r *kgo.Record) {
		p.mu.Lock()
		defer p.mu.Unlock()
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
	if err := p.Stop(s.Within(patience)); err != nil {
		s.Errorf("producers: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for producer, n := range p.given {
		c.Given(producer, n)
	}
	for place, m := range maps.All(p.written) {
		c.Written(place, m)
	}
}
