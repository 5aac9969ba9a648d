package server

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"balsa/log"
	"balsa/raft"
)

// outagesService is the number under which brokers tell each other which of their replicas are out of service.
const outagesService uint8 = 4

// outagesInterval is how often a broker looks whether a replica of its own went out of service.
const outagesInterval = 500 * time.Millisecond

// outages knows which replicas are out of service although their brokers live: set aside when they were opened, or
// stopped after their log failed. Without it they would count as in sync.
type outages struct {
	node   raft.NodeID
	own    func() []raft.GroupID
	logger *slog.Logger

	version atomic.Uint64 // counts the changes

	mu    sync.RWMutex
	known map[raft.NodeID]outageReport

	telling sync.Mutex // one update at a time; guards told and heard
	told    time.Time  // when all were told
	// heard is the number of the report that each broker has, plus one. One that is new, or was not known yet when this broker
	// started, has none.
	heard map[raft.NodeID]uint64
}

// outageReport is what a broker says of its replicas. Its answers and what it says unasked come on different ways, so the later one may
// come first: the numbers tell which it is.
type outageReport struct {
	incarnation uint64                     // of the process, at random
	number      uint64                     // of the report in it
	out         map[raft.GroupID]log.Epoch // the epochs mean nothing here; the form is that of leaders
}

func newOutages(node raft.NodeID, own func() []raft.GroupID, logger *slog.Logger) *outages {
	o := &outages{node: node, own: own, logger: logger, known: map[raft.NodeID]outageReport{}, heard: map[raft.NodeID]uint64{}}
	o.known[node] = outageReport{incarnation: rand.Uint64()}
	return o
}

// has says whether node's replica of a group is out of service, as far as this broker knows.
func (o *outages) has(node raft.NodeID, id raft.GroupID) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, out := o.known[node].out[id]
	return out
}

// take replaces what is known of another broker, unless that is newer.
func (o *outages) take(node raft.NodeID, r outageReport) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.known[node]
	if was.incarnation == r.incarnation && was.number >= r.number {
		return
	}
	o.known[node] = r
	if !maps.Equal(was.out, r.out) {
		o.version.Add(1)
	}
}

// report makes the next report of this broker, if there is news, and returns the last one.
func (o *outages) report(out map[raft.GroupID]log.Epoch) (r outageReport, news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r = o.known[o.node]
	if news = !maps.Equal(r.out, out); news {
		r.number, r.out = r.number+1, out
		o.known[o.node] = r
		o.version.Add(1)
	}
	return r, news
}

// run keeps the other brokers informed until ctx ends: at the start, since an earlier process may have left them with
// something that is no longer true, on news, and now and then while there is something to tell. Whoever could not be
// reached is tried again: what it does not hear of, it takes to be in sync.
func (o *outages) run(ctx context.Context, brokers func() []raft.NodeID, call callFunc) {
	ticker := time.NewTicker(outagesInterval)
	defer ticker.Stop()
	for {
		o.update(ctx, brokers, call)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// update looks at this broker's replicas and tells the other brokers what they should know.
func (o *outages) update(ctx context.Context, brokers func() []raft.NodeID, call callFunc) {
	o.telling.Lock()
	defer o.telling.Unlock()
	mine := map[raft.GroupID]log.Epoch{}
	for _, id := range o.own() {
		mine[id] = 0
	}
	r, news := o.report(mine)
	all := news || len(mine) > 0 && time.Since(o.told) >= announceAll
	if all {
		o.told = time.Now()
	}
	var to []raft.NodeID
	for _, n := range brokers() {
		if n != o.node && (all || o.heard[n] != r.number+1) {
			to = append(to, n)
		}
	}
	for _, n := range o.tell(ctx, to, call, r.encode()) {
		o.heard[n] = r.number + 1
	}
}

// tell sends this broker's outages to others, takes theirs from the answers, and returns who has answered.
func (o *outages) tell(ctx context.Context, brokers []raft.NodeID, call callFunc, message []byte) (answered []raft.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	var mu sync.Mutex // guards answered
	var wg sync.WaitGroup
	for _, n := range brokers {
		wg.Go(func() {
			answer, err := call(ctx, n, outagesService, message)
			if err == nil {
				var theirs outageReport
				if theirs, err = decodeOutages(answer); err == nil {
					o.take(n, theirs)
				}
			}
			switch {
			case err == nil:
				mu.Lock()
				answered = append(answered, n)
				mu.Unlock()
			case !errors.Is(err, raft.ErrUnreachable):
				o.logger.Debug("telling about outages failed", "to", n, "err", err)
			}
		})
	}
	wg.Wait()
	return answered
}

// serve takes another broker's outages and answers with this one's; its signature is raft.Service.
func (o *outages) serve(_ context.Context, from raft.NodeID, message []byte) ([]byte, error) {
	theirs, err := decodeOutages(message)
	if err != nil {
		return nil, err
	}
	o.take(from, theirs)
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.known[o.node].encode(), nil
}

func (r outageReport) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, r.incarnation)
	b = binary.BigEndian.AppendUint64(b, r.number)
	return append(b, encodeLeaders(r.out)...)
}

func decodeOutages(b []byte) (r outageReport, err error) {
	const numbers = 16
	if len(b) < numbers {
		return r, errLeaders
	}
	r.incarnation, r.number = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	r.out, err = decodeLeaders(b[numbers:])
	return r, err
}
