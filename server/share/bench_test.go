package share

import (
	"fmt"
	"runtime"
	"testing"
)

var benchPolicy = Policy{LockMs: 30_000, DeliveryLimit: 5, MaxLocks: 1 << 30, MaxWindow: 1 << 30}

// BenchmarkBatches acquires and accepts batches of 500 records, which two replicas apply.
func BenchmarkBatches(b *testing.B) {
	replicas := []*Partition{New(0), New(0)}
	l := NewLeader(replicas[0])
	apply := func(c Change) {
		encoded := c.AppendTo(nil)
		for _, p := range replicas {
			decoded, err := DecodeChange(encoded)
			if err != nil {
				b.Fatal(err)
			}
			p.Apply(decoded)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		from, _ := l.NextFetch(benchPolicy)
		_, c := l.Acquire(AcquireArgs{
			Member: "member", Now: 1, Policy: benchPolicy, MaxRecords: 500, Batches: []Batch{{First: from, Last: from + 499}},
		})
		apply(c)
		c, err := l.Acknowledge(AcknowledgeArgs{
			Member: "member", Now: 2, Policy: benchPolicy, Acks: []Ack{{First: from, Last: from + 499, Types: []AckType{Accept}}},
		})
		if err != nil {
			b.Fatal(err)
		}
		apply(c)
	}
	b.ReportMetric(500*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// BenchmarkInFlight takes 100,000 records one by one, each with a lock of its own, and then accepts every other one, and then
// the rest, one by one.
func BenchmarkInFlight(b *testing.B) {
	for _, ordered := range []bool{false, true} {
		b.Run(fmt.Sprint("ordered=", ordered), func(b *testing.B) {
			const inFlight = 100_000
			policy := benchPolicy
			policy.Ordered = ordered
			b.ReportAllocs()
			for b.Loop() {
				l := NewLeader(New(0))
				for o := range Offset(inFlight) {
					batch := Batch{First: o, Last: o}
					if ordered {
						batch.Records = []Record{{Offset: o, Key: uint64(o) + 1}}
					}
					from, _ := l.NextFetch(policy)
					got, _ := l.Acquire(AcquireArgs{
						Member: "member", Now: int64(o), Policy: policy, MaxRecords: 1, RecordLimit: true, Batches: []Batch{batch},
					})
					if from != o || len(got) != 1 {
						b.Fatal(from, got)
					}
				}
				for _, odd := range []Offset{0, 1} {
					for o := odd; o < inFlight; o += 2 {
						if _, err := l.Acknowledge(AcknowledgeArgs{
							Member: "member", Policy: policy, Acks: []Ack{{First: o, Last: o, Types: []AckType{Accept}}},
						}); err != nil {
							b.Fatal(err)
						}
					}
				}
				if l.Start() != inFlight {
					b.Fatal(l.Start())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/inFlight, "ns/record")
		})
	}
}

// BenchmarkRecords acquires batches of 500 records that the host looked into, and accepts them.
func BenchmarkRecords(b *testing.B) {
	for _, ordered := range []bool{false, true} {
		b.Run(fmt.Sprint("ordered=", ordered), func(b *testing.B) {
			policy := benchPolicy
			policy.Ordered = ordered
			l := NewLeader(New(0))
			records := make([]Record, 500)
			b.ReportAllocs()
			for b.Loop() {
				from, _ := l.NextFetch(policy)
				for i := range records {
					records[i] = Record{Offset: from + Offset(i), Key: uint64(i + 1)}
				}
				l.Acquire(AcquireArgs{
					Member: "member", Now: 1, Policy: policy, MaxRecords: 500,
					Batches: []Batch{{First: from, Last: from + 499, Records: records}},
				})
				if _, err := l.Acknowledge(AcknowledgeArgs{
					Member: "member", Now: 2, Policy: policy, Acks: []Ack{{First: from, Last: from + 499, Types: []AckType{Accept}}},
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/500, "ns/record")
		})
	}
}

// scattered returns a partition with a window of n runs, every other one Available.
func scattered(n int) *Partition {
	p := New(0)
	c := Change{}
	for i := range n {
		r := Run{First: Offset(i), Last: Offset(i), DeliveryCount: 1}
		if i%2 == 1 {
			r.State = Acknowledged
		}
		c.Runs = append(c.Runs, r)
	}
	p.Apply(c)
	return p
}

// BenchmarkWideWindow does one thing at a time in a window of a million runs.
func BenchmarkWideWindow(b *testing.B) {
	const runs = 1_000_000
	p := scattered(runs)
	b.Run("NextFetch", func(b *testing.B) {
		l := NewLeader(p)
		for b.Loop() {
			if from, ok := l.NextFetch(benchPolicy); !ok || from != 0 {
				b.Fatal(from, ok)
			}
		}
	})
	b.Run("Tick", func(b *testing.B) {
		l := NewLeader(p)
		for b.Loop() {
			if c := l.Tick(1<<40, benchPolicy); !c.Empty() {
				b.Fatal(c)
			}
		}
	})
	b.Run("AcquireOne", func(b *testing.B) {
		l := NewLeader(p)
		for b.Loop() {
			from, _ := l.NextFetch(benchPolicy)
			l.Acquire(AcquireArgs{
				Member: "member", Now: 1, Policy: benchPolicy, MaxRecords: 1, Batches: []Batch{{First: from, Last: from}},
			})
		}
	})
	b.Run("Clone", func(b *testing.B) {
		for b.Loop() {
			p.Clone()
		}
	})
	b.Run("NewLeader", func(b *testing.B) {
		for b.Loop() {
			NewLeader(p)
		}
	})
	b.Run("Snapshot", func(b *testing.B) {
		var size int
		for b.Loop() {
			size = len(p.AppendTo(nil))
		}
		b.ReportMetric(float64(size)/runs, "B/run")
	})
	snapshot := p.AppendTo(nil)
	b.Run("Restore", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := Decode(snapshot); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory measures what a partition and its leader take, by how many records wait and how many runs there are.
func BenchmarkMemory(b *testing.B) {
	for _, m := range []struct {
		name    string
		waiting Offset
		build   func() *Partition
	}{
		{"1M waiting", 1_000_000, func() *Partition { return New(0) }},
		{"10M waiting", 10_000_000, func() *Partition { return New(0) }},
		{"1M given back", 0, func() *Partition {
			p := New(0)
			p.Apply(Change{Runs: []Run{{Last: 999_999, DeliveryCount: 1}}})
			return p
		}},
		{"1M runs", 0, func() *Partition { return scattered(1_000_000) }},
	} {
		b.Run(m.name, func(b *testing.B) {
			var used uint64
			for b.Loop() {
				before := heap()
				p := m.build()
				l := NewLeader(p)
				l.Acquire(AcquireArgs{
					Member: "member", Now: 1, Policy: benchPolicy, MaxRecords: 500, RecordLimit: true,
					Batches: []Batch{{First: 0, Last: m.waiting + 499}},
				})
				used = heap() - before
				runtime.KeepAlive(p)
				runtime.KeepAlive(l)
			}
			b.ReportMetric(float64(used), "B")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
