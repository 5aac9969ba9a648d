package crash

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/load"
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

// Load is a running load. Every producer writes to every partition in turn.
type Load struct {
	*load.Load
	config LoadConfig

	mu      sync.Mutex
	acks    Acks
	written map[Stream]int64
	acked   int64 // acknowledged records
	outages map[*Outage]bool
}

// StartLoad starts the producers.
func StartLoad(ctx context.Context, config LoadConfig) (*Load, error) {
	l := &Load{config: config, acks: Acks{}, written: map[Stream]int64{}, outages: map[*Outage]bool{}}
	var err error
	l.Load, err = load.Start(ctx, load.Config{
		Brokers: config.Brokers, Producers: config.Producers, Rate: float64(config.Rate), Writer: l.writer,
		Options: []kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())},
	})
	return l, err
}

func (l *Load) writer(p *load.Producer) func() {
	rng := rand.New(rand.NewPCG(uint64(p.ID), 0))
	seqs := make([]int64, l.config.Partitions)
	sent := int32(0)
	return func() {
		partition := sent % l.config.Partitions
		id := ID{partition, p.ID, seqs[partition]}
		seqs[partition]++
		sent++
		l.produce(p, id, EncodeValue(id, l.config.MaxFiller, rng))
	}
}

func (l *Load) produce(p *load.Producer, id ID, value []byte) {
	s := Stream{id.Partition, id.Producer}
	l.mu.Lock()
	l.written[s]++
	l.acks[s] = append(l.acks[s], Unacked)
	l.mu.Unlock()
	created := time.Now()
	r := &kgo.Record{Topic: l.config.Topic, Partition: id.Partition, Key: fmt.Appendf(nil, "%d", id.Producer), Value: value}
	p.Produce(id, r, func(r *kgo.Record) {
		now := time.Now()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.acks[s][id.Seq] = r.Offset
		l.acked++
		for o := range l.outages {
			o.acknowledged(id.Partition, created, now)
		}
	})
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
