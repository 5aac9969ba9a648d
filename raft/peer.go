package raft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// peer is the outgoing link to one other node. A link is up when all its connections are.
type peer struct {
	host *Host
	node NodeID

	mu      sync.Mutex
	session *session      // nil while down
	changed chan struct{} // closed and replaced when session changes

	beats heartbeats
}

// session is one life of a link.
type session struct {
	conns       [linkClasses]*conn
	incarnation uint64
	done        chan struct{} // closed when any connection broke
}

const (
	redialFirst = 10 * time.Millisecond
	redialMax   = 500 * time.Millisecond
	dialTimeout = 2 * time.Second
)

func newPeer(h *Host, node NodeID) *peer {
	p := &peer{host: h, node: node, changed: make(chan struct{})}
	p.beats.peer = p
	return p
}

// run keeps the link up until ctx ends.
func (p *peer) run(ctx context.Context) {
	var lastIncarnation uint64
	wait := redialFirst
	reported := false // the loss of this life of the node was reported
	for ctx.Err() == nil {
		s, err := p.connect(ctx)
		if err != nil {
			if lastIncarnation != 0 && !reported && errors.Is(err, syscall.ECONNREFUSED) {
				// A host that answers with a refusal proves that the process is gone.
				reported = true
				p.host.peerDied(p.node, "its host refuses connections")
			}
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
			wait = min(2*wait, redialMax)
			continue
		}
		if lastIncarnation != 0 && s.incarnation != lastIncarnation && !reported {
			p.host.peerDied(p.node, "it was restarted")
		}
		lastIncarnation, wait, reported = s.incarnation, redialFirst, false
		p.host.logger.Info("peer connected", "peer", p.node)
		p.serve(ctx, s)
		if ctx.Err() == nil {
			p.host.logger.Warn("peer disconnected", "peer", p.node)
		}
	}
}

// serve publishes s and returns when it broke.
func (p *peer) serve(ctx context.Context, s *session) {
	var wg sync.WaitGroup
	broken := make(chan struct{}, linkClasses)
	for _, c := range s.conns {
		wg.Go(func() {
			c.readResponses()
			broken <- struct{}{}
		})
	}
	p.publish(s)
	stop := make(chan struct{})
	wg.Go(func() { p.beats.run(s, stop) })
	select {
	case <-ctx.Done():
	case <-broken:
	}
	p.publish(nil)
	close(s.done)
	close(stop)
	for _, c := range s.conns {
		c.close()
	}
	wg.Wait()
}

func (p *peer) publish(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = s
	close(p.changed)
	p.changed = make(chan struct{})
}

// current returns the session, or nil while the link is down.
func (p *peer) current() *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

// await returns the session, waiting for the link to come up.
func (p *peer) await(ctx context.Context) (*session, error) {
	for {
		p.mu.Lock()
		s, changed := p.session, p.changed
		p.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ErrUnreachable
		}
	}
}

func (p *peer) connect(ctx context.Context) (*session, error) {
	s := &session{done: make(chan struct{})}
	for class := range s.conns {
		c, incarnation, err := p.dial(ctx, uint8(class))
		if err == nil && class > 0 && incarnation != s.incarnation {
			err = errors.New("peer restarted while connecting")
			c.close()
		}
		if err != nil {
			for _, open := range s.conns[:class] {
				open.close()
			}
			return nil, err
		}
		s.conns[class], s.incarnation = c, incarnation
	}
	return s, nil
}

func (p *peer) dial(ctx context.Context, class uint8) (*conn, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	nc, err := p.host.dial(ctx, p.node)
	if err != nil {
		return nil, 0, err
	}
	c, incarnation, err := p.greet(nc, class)
	if err != nil {
		p.host.logger.Warn("peer refused the connection", "peer", p.node, "addr", nc.RemoteAddr(), "err", err)
		return nil, 0, errors.Join(err, nc.Close())
	}
	return c, incarnation, nil
}

func (p *peer) greet(nc net.Conn, class uint8) (*conn, uint64, error) {
	if err := nc.SetDeadline(time.Now().Add(dialTimeout)); err != nil {
		return nil, 0, err
	}
	c := newConn(nc, &p.host.pool)
	h := hello{from: p.host.node, to: p.node, class: class, incarnation: p.host.incarnation}
	if err := c.write(frameHello, 0, h.appendTo(nil), nil); err != nil {
		return nil, 0, err
	}
	f, err := readFrame(nc, c.pool)
	if err != nil {
		return nil, 0, err
	}
	body, err := responseBody(f, frameHello)
	if err != nil {
		return nil, 0, err
	}
	answer, err := decodeHello(body)
	if err != nil {
		return nil, 0, err
	}
	if answer.from != p.node {
		return nil, 0, fmt.Errorf("address of node %d is answered by node %d", p.node, answer.from)
	}
	return c, answer.incarnation, nc.SetDeadline(time.Time{})
}

// request sends over the link's connection of that class, failing at once while the link is down.
func (p *peer) request(ctx context.Context, class int, typ frameType, body []byte) ([]byte, error) {
	s := p.current()
	if s == nil {
		return nil, ErrUnreachable
	}
	return s.conns[class].request(ctx, typ, body, nil)
}

func dataClass(g GroupID) int { return classData + int(g.hash()%(linkClasses-classData)) }
