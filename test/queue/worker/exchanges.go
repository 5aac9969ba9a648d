package main

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/queue"
)

const shareFetch = 78 // ShareFetch's key

// exchange is a ShareFetch request and its answer.
type exchange struct {
	broker        int32
	sent, arrived time.Time
}

// exchanges notes the fetches of a client as they happen, and in the journal, when a connection ends. The client's own
// Record.AcquisitionDeadline counts from the answer's arrival, but a lock begins earlier, at any time after the request was sent.
type exchanges struct {
	journal *queue.Journal

	mu   sync.Mutex
	done []exchange // guarded by mu; the last ones, in the order of their arrival
}

const maxExchanges = 64

var (
	_ kgo.HookBrokerE2E        = (*exchanges)(nil)
	_ kgo.HookBrokerDisconnect = (*exchanges)(nil)
)

// OnBrokerE2E is called before the client looks into an answer.
func (x *exchanges) OnBrokerE2E(meta kgo.BrokerMetadata, key int16, e2e kgo.BrokerE2E) {
	if key != shareFetch || e2e.Err() != nil {
		return
	}
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.done) == maxExchanges {
		x.done = slices.Delete(x.done, 0, 1)
	}
	x.done = append(x.done, exchange{meta.NodeID, now.Add(-e2e.DurationE2E()), now})
}

// OnBrokerDisconnect is called when a connection has ended. A journal that cannot be written makes the worker useless: it will
// find out by itself.
func (x *exchanges) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) {
	_ = x.journal.Write(queue.Entry{Event: queue.Lost, At: time.Now().UnixNano()})
}

// sent is when the fetch was sent whose answer was looked into at a time, or earlier: of the latest answers from each broker shortly before,
// the one that was asked for first. Without any, it is that time itself minus forever.
func (x *exchanges) sent(at time.Time) time.Time {
	const shortly = time.Second
	x.mu.Lock()
	defer x.mu.Unlock()
	latest := map[int32]time.Time{}
	for _, e := range x.done {
		if !e.arrived.After(at) && at.Sub(e.arrived) < shortly {
			latest[e.broker] = e.sent
		}
	}
	earliest := time.Time{}
	for _, sent := range latest {
		if earliest.IsZero() || sent.Before(earliest) {
			earliest = sent
		}
	}
	return earliest
}
