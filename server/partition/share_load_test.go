package partition

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"balsa/log/batch"
	"balsa/server/share"
)

// Every record that is acquired comes with the answer, whatever lies between the batches, and all are.
func TestShareUnderLoad(t *testing.T) {
	f := newQueue(t, map[string]string{"segment.bytes": "1048576"}, nil)
	p := f.partition()
	const producers, consumers, each = 4, 6, 5000
	var wg sync.WaitGroup
	for k := range producers {
		wg.Go(func() {
			for n := 0; n < each; {
				var rs []batch.Record
				for range min(1+n%211, each-n) {
					v := binary.BigEndian.AppendUint64(make([]byte, 0, 2000), uint64(k*each+n))
					rs = append(rs, batch.Record{Value: v[:2000], Timestamp: f.clock().UnixMilli()})
					n++
				}
				b, err := batch.BuildRecords(rs, batch.BuildOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				a, err := p.Produce(b, nil)
				if err == nil {
					_, err = a.Wait(context.Background())
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	seen := make([]atomic.Bool, producers*each)
	var left atomic.Int64
	left.Store(producers * each)
	for c := range consumers {
		member := fmt.Sprint("m", c)
		wg.Go(func() {
			for left.Load() > 0 && !t.Failed() {
				if err := f.consume(p, member, seen, &left); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// consume acquires once, checks that all that was acquired came, and accepts it.
func (f *fixture) consume(p *Partition, member string, seen []atomic.Bool, left *atomic.Int64) error {
	w := NewWaiter(1, false)
	p.ShareWatch(w, group)
	defer p.ShareUnwatch(w, group, true)
	taking, err := p.ShareAcquire(ShareAcquire{Group: group, Member: member, MaxRecords: 166, MaxBytes: 50 << 20, MinOne: true})
	if err != nil || taking == nil {
		return err
	}
	got, err := taking.Wait(context.Background())
	if err != nil {
		return err
	}
	came := map[batch.Offset]bool{}
	for data := got.Records; len(data) > 0; {
		h, err := batch.ParseHeader(data)
		if err != nil {
			return err
		}
		r := batch.Batch(data[:h.Length]).Records(1 << 20)
		for r.Next() {
			rec := r.Record()
			for _, a := range got.Acquired {
				if a.First <= rec.Offset && rec.Offset <= a.Last {
					came[rec.Offset] = true
					if n := binary.BigEndian.Uint64(rec.Value); !seen[n].Swap(true) {
						left.Add(-1)
					}
				}
			}
		}
		r.Close()
		data = data[h.Length:]
	}
	var acks []share.Ack
	for _, a := range got.Acquired {
		for o := a.First; o <= a.Last; o++ {
			if !came[o] {
				return fmt.Errorf("offset %d of %v did not come", o, got.Acquired)
			}
		}
		acks = append(acks, share.Ack{First: a.First, Last: a.Last, Types: []share.AckType{share.Accept}})
	}
	c, err := p.ShareAcknowledge(ShareAcknowledge{Group: group, Member: member, Acks: acks})
	if err != nil {
		return err
	}
	return c.Wait(context.Background())
}
