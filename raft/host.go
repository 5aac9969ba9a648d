package raft

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"balsa/internal/invariant"
)

// HostConfig says how to run a node's groups.
type HostConfig struct {
	Node     NodeID
	Dir      string       // where terms and votes are kept; exists
	Listener net.Listener // for the other nodes; nil when there are none
	// Dial connects to a node's peer listener.
	Dial func(ctx context.Context, node NodeID) (net.Conn, error)
	// Space says how much may still be written to the disk; nil: everything. It is asked for each append, and must not block.
	Space  func() Space
	Logger *slog.Logger
	Timing Timing
}

// Service answers Calls of other nodes.
type Service func(ctx context.Context, from NodeID, payload []byte) ([]byte, error)

// Host runs the Raft groups of one node: their transport, terms and votes, checkpoints and leadership changes. All
// methods are safe for concurrent use.
type Host struct {
	node        NodeID
	logger      *slog.Logger
	timing      Timing
	dial        func(ctx context.Context, node NodeID) (net.Conn, error)
	space       func() Space
	lowPeers    atomic.Int32 // peers that said that their space is not ample
	incarnation uint64
	draining    atomic.Bool
	stable      *stableDB
	pool        buffers
	events      leadershipEvents
	throttle    throttle

	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	listener net.Listener

	mu       sync.Mutex // guards what follows
	groups   map[GroupID]*Group
	opened   chan struct{} // closed and replaced when a group opens
	peers    map[NodeID]*peer
	services map[uint8]Service
	inbounds map[net.Conn]struct{}
	repairer Repairer // nil: nobody mends
	closed   bool
}

// NewHost opens the node's term store and starts to listen. Close releases both.
func NewHost(c HostConfig) (*Host, error) {
	stable, err := openStableDB(filepath.Join(c.Dir, StableFile))
	if err != nil {
		return nil, err
	}
	if err := syncNames(c.Dir); err != nil {
		return nil, errors.Join(err, stable.Close())
	}
	h := &Host{
		node: c.Node, logger: c.Logger, timing: c.Timing.withDefaults(), dial: c.Dial, stable: stable,
		space: c.Space, listener: c.Listener, groups: map[GroupID]*Group{}, opened: make(chan struct{}), peers: map[NodeID]*peer{},
		services: map[uint8]Service{}, inbounds: map[net.Conn]struct{}{},
	}
	if h.space == nil {
		h.space = func() Space { return SpaceAmple }
	}
	var nonce [8]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, errors.Join(err, stable.Close())
	}
	h.incarnation = binary.BigEndian.Uint64(nonce[:]) | 1
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.events.init(h)
	h.services[leaderService] = h.serveLeader
	h.services[memberService] = h.serveMember
	h.running.Go(func() { h.events.run(h.ctx) })
	h.running.Go(func() { h.tick(h.ctx) })
	if h.listener != nil {
		h.running.Go(h.accept)
	}
	return h, nil
}

// Node returns this node's id.
func (h *Host) Node() NodeID { return h.node }

// Handle registers what answers Calls to service, from 1 up and once each, on this node.
func (h *Host) Handle(service uint8, f Service) {
	h.mu.Lock()
	defer h.mu.Unlock()
	invariant.Check(h.services[service] == nil, "two services have the number %d", service)
	h.services[service] = f
}

// Call sends a request to a service on another node, or this one, and returns its answer. ErrUnreachable when the
// node is down; a *RemoteError when the service failed.
func (h *Host) Call(ctx context.Context, to NodeID, service uint8, payload []byte) ([]byte, error) {
	if to == h.node {
		return h.answer(ctx, to, service, payload)
	}
	p := h.peer(to)
	if p == nil {
		return nil, fmt.Errorf("%w: node %d", ErrUnreachable, to)
	}
	body := append([]byte{service}, payload...)
	return p.request(ctx, classData+int(service)%(linkClasses-classData), frameCall, body)
}

func (h *Host) answer(ctx context.Context, from NodeID, service uint8, payload []byte) ([]byte, error) {
	h.mu.Lock()
	f := h.services[service]
	h.mu.Unlock()
	if f == nil {
		return nil, fmt.Errorf("no service %d on node %d", service, h.node)
	}
	return f(ctx, from, payload)
}

// Connect keeps a link to node from now on, if there is none yet.
func (h *Host) Connect(node NodeID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if node == h.node || h.peers[node] != nil || h.closed {
		return
	}
	p := newPeer(h, node)
	h.peers[node] = p
	h.running.Go(func() { p.run(h.ctx) })
}

// Alive says whether node answered lately, see Timing.Heartbeat; this node always is.
func (h *Host) Alive(node NodeID) bool {
	if node == h.node {
		return true
	}
	p := h.peer(node)
	if p == nil {
		return false
	}
	last := p.beats.lastAnswer.Load()
	return last != 0 && time.Since(time.Unix(0, last)) < h.timing.silence()
}

func (h *Host) peer(n NodeID) *peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.peers[n]
}

func (h *Host) lookup(id GroupID) *Group {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.groups[id]
}

// awaitGroup returns the group, giving it some time to open.
func (h *Host) awaitGroup(ctx context.Context, id GroupID, patience time.Duration) (*Group, error) {
	h.mu.Lock()
	g, opened := h.groups[id], h.opened
	h.mu.Unlock()
	if g != nil {
		return g, nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-opened:
		case <-timer.C:
			return nil, fmt.Errorf("%w: %s", ErrUnknownGroup, id)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		h.mu.Lock()
		g, opened = h.groups[id], h.opened
		h.mu.Unlock()
		if g != nil {
			return g, nil
		}
	}
}

func (h *Host) register(g *Group) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if h.groups[g.id] != nil {
		return fmt.Errorf("raft group %s is already open", g.id)
	}
	h.groups[g.id] = g
	close(h.opened)
	h.opened = make(chan struct{})
	return nil
}

func (h *Host) forget(g *Group) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.groups[g.id] == g {
		delete(h.groups, g.id)
	}
	h.events.forget(g)
}

// Remove forgets the terms and votes of a group that is deleted for good.
func (h *Host) Remove(id GroupID) error {
	if err := h.stable.remove(id); err != nil {
		return fmt.Errorf("remove raft group %s: %w", id, err)
	}
	return nil
}

func (h *Host) accept() {
	for {
		nc, err := h.listener.Accept()
		if errors.Is(err, net.ErrClosed) || h.ctx.Err() != nil {
			return
		}
		if err != nil {
			// Out of file descriptors, most likely; a deaf listener would be worse than a late one.
			h.logger.Error("accepting a peer failed, trying again", "err", err)
			select {
			case <-h.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		h.mu.Lock()
		if h.closed {
			h.mu.Unlock()
			_ = nc.Close()
			return
		}
		h.inbounds[nc] = struct{}{}
		h.running.Go(func() {
			in := &inbound{host: h, nc: nc}
			if err := in.serve(h.ctx); err != nil && h.ctx.Err() == nil {
				h.logger.Warn("peer connection ended", "from", nc.RemoteAddr(), "peer", in.from, "err", err)
			}
			_ = nc.Close()
			h.mu.Lock()
			delete(h.inbounds, nc)
			h.mu.Unlock()
		})
		h.mu.Unlock()
	}
}

const acceptPause = 100 * time.Millisecond

// Drain tells the other nodes not to hand leaderships to this one any more; call it before handing over its own.
func (h *Host) Drain() { h.draining.Store(true) }

// Accepts says whether node is alive and may be given leaderships.
func (h *Host) Accepts(node NodeID) bool {
	if node == h.node {
		return !h.draining.Load()
	}
	p := h.peer(node)
	return h.Alive(node) && !p.beats.draining.Load()
}

// openGroups returns all groups that are open now, that of the metadata too.
func (h *Host) openGroups() []*Group {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Values(h.groups))
}

// tick saves positions of groups that moved.
func (h *Host) tick(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for _, g := range h.openGroups() {
				if g.plog == nil || g.plog.Failed() != nil || !g.checkpointDue(now) {
					continue
				}
				if err := g.Checkpoint(); err != nil && ctx.Err() == nil {
					h.logger.Error("checkpoint failed", "group", g.id, "err", err)
				}
			}
		}
	}
}

// Close stops all groups and connections.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs error
	for _, g := range h.openGroups() {
		wg.Go(func() {
			err := g.Close()
			mu.Lock()
			defer mu.Unlock()
			errs = errors.Join(errs, err)
		})
	}
	wg.Wait()
	h.cancel()
	if h.listener != nil {
		errs = errors.Join(errs, h.listener.Close())
	}
	h.running.Wait()
	return errors.Join(errs, h.stable.Close())
}
