package partition

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"balsa/server/share"
)

// closed says whether a claim's turn has come.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestShareMemory(t *testing.T) {
	m := NewShareMemory(100)
	a, b, c, d := m.Claim(), m.Claim(), m.Claim(), m.Claim()
	if !a.Grow(60) || !a.Grow(1000) {
		t.Error("one that is alone gets what it needs")
	}
	a.Keep(60)
	a.Settle()
	if a.Grow(41) || !a.Grow(40) {
		t.Error("what is not kept is there again")
	}
	a.Settle()
	if b.Grow(41) || c.Grow(41) {
		t.Error("there is too little")
	}
	first, second := b.Queue(), c.Queue()
	third := d.Queue()
	if third != nil || d.Grow(10) {
		t.Error("who waits comes first")
	}
	third = d.Queue()
	if closed(first) || closed(second) || closed(third) {
		t.Error("there is room all at once")
	}
	a.Release()
	if !closed(first) || !closed(second) || !b.Grow(41) || !closed(third) {
		t.Error("there is room now")
	}
	b.Release()
	c.Leave() // keeps what it was granted
	if m.held != 51 {
		t.Errorf("%d bytes are held", m.held)
	}
	c.Settle()
	d.Release()
	d.Release()
	if m.held != 0 || len(m.queue) != 0 {
		t.Errorf("%d bytes are held, %d wait", m.held, len(m.queue))
	}
	var none *ShareClaim
	if !none.Grow(1<<40) || none.Queue() != nil {
		t.Error("no claim is no bound")
	}
}

// Whoever waits gets its turn, with whatever others do, and all is given back in the end.
func TestShareMemoryIsShared(t *testing.T) {
	const limit = 1000
	m := NewShareMemory(limit)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(i), 1))
			for range 300 {
				c := m.Claim()
				n := 1 + rng.Int64N(limit*5/4)
				for !c.Grow(n) {
					select {
					case <-c.Queue():
					case <-time.After(20 * time.Second):
						t.Error("its turn does not come")
						return
					}
					if rng.IntN(4) == 0 {
						c.Leave()
						c.Settle()
					}
				}
				c.Keep(rng.IntN(int(n)))
				c.Settle()
				c.Release()
			}
		})
	}
	wg.Wait()
	if m.held != 0 || len(m.queue) != 0 {
		t.Errorf("%d bytes are held, %d wait", m.held, len(m.queue))
	}
}

// An acquisition takes as many records as there is memory for, and none of which it could not keep the bytes.
func TestShareAcquireInBoundedMemory(t *testing.T) {
	f := newQueue(t, nil, nil)
	value := func(s string) []byte { return append(make([]byte, 40<<10), s...) } // one read brings one
	for _, s := range []string{"a", "b", "c"} {
		r := keyed("", s)
		r.Key, r.Value = nil, value(s)
		f.enqueue(r)
	}
	m := NewShareMemory(100 << 10)
	acquire := func(member string, memory *ShareClaim) int {
		t.Helper()
		a, err := f.partition().ShareAcquire(ShareAcquire{
			Group: group, Member: member, MaxRecords: 9, MaxBytes: 1 << 20, MinOne: true, Memory: memory,
		})
		f.must(err)
		if a == nil {
			return 0
		}
		_, err = a.Wait(t.Context())
		f.must(err)
		n, _ := a.Taken()
		return n
	}
	one, two := m.Claim(), m.Claim()
	if n := acquire("m1", one); n != 2 {
		t.Fatalf("%d records in memory for two", n)
	}
	one.Settle()
	if n := acquire("m2", two); n != 0 {
		t.Fatalf("%d records in memory for none", n)
	}
	turn := two.Queue()
	f.must(f.acknowledge("m1", share.Accept, 0, 1)) // needs none
	one.Release()
	if !closed(turn) {
		t.Fatal("there is memory again")
	}
	if n := acquire("m2", two); n != 1 {
		t.Fatalf("%d records, want the third", n)
	}
	two.Release()
	if m.held != 0 {
		t.Errorf("%d bytes are held", m.held)
	}
}
