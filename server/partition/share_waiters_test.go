package partition

import (
	"fmt"
	"strings"
	"testing"

	"balsa/log/batch"
)

// park registers fetches of the group.
func park(t *testing.T, p *Partition, count int, least int64) []*Waiter {
	ws := make([]*Waiter, count)
	for i := range ws {
		ws[i] = NewWaiter(least, false)
		p.ShareWatch(ws[i], group)
		t.Cleanup(func() { p.ShareUnwatch(ws[i], group, false) })
	}
	return ws
}

// awake returns who was woken since the last call.
func awake(ws []*Waiter) (woken []*Waiter) {
	for _, w := range ws {
		select {
		case <-w.C():
			woken = append(woken, w)
		default:
		}
	}
	return woken
}

// TestShareWakesOne: of many idle workers one looks at a new record, and passes on what it left.
func TestShareWakesOne(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	ws := park(t, p, 50, 1)
	f.enqueueBatch(value("a"), value("b"), value("c"))
	for i := range 3 {
		woken := awake(ws)
		if len(woken) != 1 {
			t.Fatalf("%d fetches are awake for a batch of %d records", len(woken), 3-i)
		}
		p.ShareUnwatch(woken[0], group, false) // it looks again
		p.ShareWatch(woken[0], group)
		if again := awake(ws); len(again) != 0 {
			t.Errorf("%d others are woken before it has looked", len(again))
		}
		if got := f.receive(fmt.Sprint("m", i), 9); len(got) != 1 {
			t.Errorf("it gets %q", got)
		}
		p.ShareUnwatch(woken[0], group, true)
	}
	if woken := awake(ws); len(woken) != 0 {
		t.Errorf("%d fetches are awake for nothing", len(woken))
	}
}

// TestShareWakesAnother: who was woken and goes away without a look leaves the record to another.
func TestShareWakesAnother(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	ws := park(t, p, 3, 1)
	f.enqueue(value("a"))
	for range ws {
		woken := awake(ws)
		if len(woken) != 1 {
			t.Fatalf("%d fetches are awake", len(woken))
		}
		p.ShareUnwatch(woken[0], group, true)
	}
}

// TestShareWakesForBytes: fetches with a larger min.bytes do not take the place of one that is content with anything.
func TestShareWakesForBytes(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	large, small := park(t, p, 5, 1000), park(t, p, 1, 1)
	f.enqueue(value("a"))
	if len(awake(large)) != 0 || len(awake(small)) != 1 {
		t.Error("a small record is for who wants one byte")
	}
	f.enqueue(batch.Record{Value: make([]byte, 1000)})
	if n := len(awake(large)); n != len(large) {
		t.Errorf("%d of %d have enough", n, len(large))
	}
}

// TestShareWakesWhenCommitted: a group that reads what is committed is not woken by what is written.
func TestShareWakesWhenCommitted(t *testing.T) {
	f := newQueue(t, nil, map[string]string{"share.isolation.level": "read_committed"})
	p := f.partition()
	ws := park(t, p, 2, 1)
	p.appended(100)
	if len(awake(ws)) != 0 {
		t.Error("woken by what may never be committed")
	}
	f.enqueue(value("a"))
	if len(awake(ws)) != 1 {
		t.Error("not woken by what is committed")
	}
}

// TestShareWakesForBytesSetFree: what is given back may be enough for who waits for many bytes.
func TestShareWakesForBytesSetFree(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(batch.Record{Value: make([]byte, 1000)})
	f.acquire("m", 1)
	ws := park(t, f.partition(), 3, 1000)
	f.partition().ShareRelease(group, "m")
	if n := len(awake(ws)); n != len(ws) {
		t.Errorf("%d of %d are awake", n, len(ws))
	}
}

// TestShareWakesForTransaction: the end of a transaction makes more readable than its marker.
func TestShareWakesForTransaction(t *testing.T) {
	f := newQueue(t, nil, map[string]string{"share.isolation.level": "read_committed"})
	ws := park(t, f.partition(), 3, 1000)
	f.mustSend(transactional(t, 7, 0, 0, strings.Repeat("x", 2000)))
	if n := len(awake(ws)); n != 0 {
		t.Errorf("%d are awake for what may yet be aborted", n)
	}
	f.mustMark(Marker{ProducerID: 7, ProducerEpoch: 0, Commit: true})
	if n := len(awake(ws)); n != len(ws) {
		t.Errorf("%d of %d are awake", n, len(ws))
	}
}

// TestShareWakesWhenKeysAreUnknown: a leader that has yet to learn the keys cannot say that there is nothing.
func TestShareWakesWhenKeysAreUnknown(t *testing.T) {
	f := newQueue(t, nil, map[string]string{"share.ordering": "key"})
	f.enqueue(keyed("x", "a"))
	f.want("first", f.receive("m", 1), "a/1")
	f.restart()
	p := f.partition()
	ws := park(t, p, 2, 1)
	p.ShareRelease(group, "m")
	if n := len(awake(ws)); n != 1 {
		t.Errorf("%d fetches are awake", n)
	}
}

// TestShareTickWakes: what nobody was told of, since who took it failed to, does not lie until the next record comes.
func TestShareTickWakes(t *testing.T) {
	f := newQueue(t, nil, nil)
	f.enqueue(value("a"))
	p := f.partition()
	ws := park(t, p, 2, 1)
	awake(ws)
	p.tickShares()
	if n := len(awake(ws)); n != 1 {
		t.Errorf("%d fetches are awake", n)
	}
}
