package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
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

	mu  sync.RWMutex
	out map[raft.NodeID]map[raft.GroupID]log.Epoch // the epochs mean nothing here; the form is that of leaders

	telling sync.Mutex // one update at a time; guards told and missed
	told    time.Time
	missed  bool // a broker could not be told the last time
}

func newOutages(node raft.NodeID, own func() []raft.GroupID, logger *slog.Logger) *outages {
	return &outages{node: node, own: own, logger: logger, out: map[raft.NodeID]map[raft.GroupID]log.Epoch{}}
}

// has says whether node's replica of a group is out of service, as far as this broker knows.
func (o *outages) has(node raft.NodeID, id raft.GroupID) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	_, out := o.out[node][id]
	return out
}

// set replaces what is known of a broker and says whether that is news.
func (o *outages) set(node raft.NodeID, out map[raft.GroupID]log.Epoch) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if maps.Equal(o.out[node], out) {
		return false
	}
	o.out[node] = out
	o.version.Add(1)
	return true
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
	news := o.set(o.node, mine)
	if news || o.missed || o.told.IsZero() || (len(mine) > 0 && time.Since(o.told) >= announceAll) {
		o.told = time.Now()
		o.missed = !o.tell(ctx, brokers(), call, encodeLeaders(mine))
	}
}

// tell sends this broker's outages to the others, and takes theirs from the answers. It says whether all have answered.
func (o *outages) tell(ctx context.Context, brokers []raft.NodeID, call callFunc, message []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	var failed atomic.Bool
	var wg sync.WaitGroup
	for _, n := range brokers {
		if n == o.node {
			continue
		}
		wg.Go(func() {
			answer, err := call(ctx, n, outagesService, message)
			if err == nil {
				var out map[raft.GroupID]log.Epoch
				if out, err = decodeLeaders(answer); err == nil {
					o.set(n, out)
				}
			}
			if err != nil {
				failed.Store(true)
			}
			if err != nil && !errors.Is(err, raft.ErrUnreachable) {
				o.logger.Debug("telling about outages failed", "to", n, "err", err)
			}
		})
	}
	wg.Wait()
	return !failed.Load()
}

// serve takes another broker's outages and answers with this one's; its signature is raft.Service.
func (o *outages) serve(_ context.Context, from raft.NodeID, message []byte) ([]byte, error) {
	out, err := decodeLeaders(message)
	if err != nil {
		return nil, err
	}
	o.set(from, out)
	o.mu.RLock()
	defer o.mu.RUnlock()
	return encodeLeaders(o.out[o.node]), nil
}
