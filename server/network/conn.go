package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"balsa/protocol"
	"balsa/server/handler"
)

// conn is one client connection.
//
// The reading goroutine decodes requests and starts them in the order of arrival, which is what makes the order of a
// producer's batches the order in the log; the writing goroutine finishes and answers them in the same order. What is
// between them is bounded, so that a client which does not read its answers is not read from either.
type conn struct {
	listener *Listener
	nc       net.Conn
	peer     string
	ip       string // what max.connections.per.ip counts by
	session  *handler.Session
	frames   *protocol.FrameReader
	reading  *claim // of the frame that is being read, and its length
	size     int
	pending  chan started
	mute     mute

	// ctx ends all work; waiting ends before it when waiting for more is no use: the peer has closed, or we drain.
	ctx     context.Context
	cancel  context.CancelFunc
	waiting context.Context
	leave   context.CancelFunc

	inFlightRequests atomic.Int64
	inFlightBytes    atomic.Int64
	freed            chan struct{} // capacity 1: inFlightBytes went down

	out []byte // the writing goroutine's buffer of encoded responses
}

// started is a request between the two goroutines.
type started struct {
	request *handler.Pending
	bytes   int64
	claim   *claim // of the node's budget
}

func newConn(l *Listener, nc net.Conn) *conn {
	c := &conn{
		listener: l, nc: nc, peer: nc.RemoteAddr().String(), ip: clientHost(nc.RemoteAddr()),
		session: l.dispatcher.NewSession(clientHost(nc.RemoteAddr())),
		frames:  protocol.NewFrameReader(nc, &l.buffers, l.config.MaxRequestBytes),
		pending: make(chan started, l.config.MaxInFlightRequests),
		freed:   make(chan struct{}, 1),
	}
	c.frames.Claim = c.claim
	c.ctx, c.cancel = context.WithCancel(l.ctx)
	c.waiting, c.leave = context.WithCancel(c.ctx)
	return c
}

// clientHost returns an address as Kafka shows it: a slash and the IP.
func clientHost(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return "/" + tcp.IP.String()
	}
	return "/" + a.String()
}

// serve runs the connection until it is closed.
func (c *conn) serve() {
	defer c.cancel()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.writeLoop()
	}()
	err := c.readLoop()
	c.leave()
	close(c.pending)
	<-written
	c.session.Close()
	c.logEnd(err)
	if err := c.nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.listener.logger.Debug("closing a connection", "peer", c.peer, "err", err)
	}
}

// readLoop reads and starts requests until the peer closes, misbehaves, or the connection drains.
func (c *conn) readLoop() error {
	for {
		size, err := c.await()
		if err != nil {
			return err
		}
		if err := c.unmuted(); err != nil {
			return err
		}
		if err := c.admit(int64(size)); err != nil {
			return err
		}
		if err := c.next(size); err != nil {
			return err
		}
	}
}

// next reads and starts an admitted request of size bytes, and passes it on to be answered.
func (c *conn) next(size int) error {
	if !c.frames.Buffered(size) {
		if err := c.readWithin(frameTime(size)); err != nil {
			return err
		}
	}
	held := &claim{}
	c.reading, c.size = held, size
	p, err := c.start()
	if err == nil {
		select {
		case c.pending <- started{request: p, bytes: int64(size), claim: held}:
			return nil
		case <-c.ctx.Done():
			err = c.ctx.Err()
		}
	}
	c.listener.budget.release(held) // the writing goroutine will not
	return err
}

func (c *conn) start() (*handler.Pending, error) {
	frame, err := c.frames.Next()
	if err != nil {
		return nil, err
	}
	return c.session.Start(c.waiting, frame)
}

// claim has the request that is being read hold n more bytes of the node's budget.
func (c *conn) claim(n int) error {
	if c.inFlightRequests.Load() == 1 && c.reading.bytes+int64(n) <= freeRequest {
		c.listener.budget.take(c.reading, int64(n))
		return nil
	}
	waited, err := c.listener.budget.acquire(c.waiting, c.reading, int64(n))
	if err != nil || !waited {
		return err
	}
	return c.readWithin(frameTime(c.size)) // the time was ours
}

// await waits for the next request. The peer may be silent for as long as it has something to wait for itself.
func (c *conn) await() (size int, err error) {
	for {
		if err := c.readWithin(c.listener.config.IdleTimeout); err != nil {
			return 0, err
		}
		size, err = c.frames.Await()
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.inFlightRequests.Load() == 0 {
			return size, err
		}
	}
}

// readWithin sets the deadline of reads, unless the connection drains: its deadline has passed.
func (c *conn) readWithin(d time.Duration) error {
	if err := c.nc.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	return c.waiting.Err()
}

const (
	// frameGrace and frameRate say how long a frame may take to arrive once it has begun: slow links are fine, a peer
	// that holds a connection, and the budget for a large frame, with a byte a second is not. Clients give up on a request
	// after 30 s themselves (request.timeout.ms), so they lose nothing.
	frameGrace = 30 * time.Second
	frameRate  = 1 << 20 // bytes per second
)

func frameTime(size int) time.Duration {
	return frameGrace + time.Duration(size/frameRate)*time.Second
}

// admit waits until another request of size bytes may be in flight.
func (c *conn) admit(size int64) error {
	limit := c.listener.config.MaxInFlightBytes
	for {
		held := c.inFlightBytes.Load()
		if held == 0 || held+size <= limit {
			c.inFlightBytes.Add(size)
			c.inFlightRequests.Add(1)
			return nil
		}
		select {
		case <-c.freed:
		case <-c.waiting.Done():
			return c.waiting.Err()
		}
	}
}

// done undoes admit.
func (c *conn) done(size int64) {
	c.inFlightRequests.Add(-1)
	c.inFlightBytes.Add(-size)
	select {
	case c.freed <- struct{}{}:
	default:
	}
}

// writeLoop finishes and answers requests in order until there are no more. After a failed write it only empties the
// queue.
func (c *conn) writeLoop() {
	var failed error
	for s := range c.pending {
		if failed == nil {
			if failed = c.answer(s.request); failed != nil {
				c.listener.logger.Debug("closing a connection that cannot be answered", "peer", c.peer, "err", failed)
				c.cut()
			}
		}
		c.done(s.bytes)
		c.listener.budget.release(s.claim)
	}
}

func (c *conn) answer(p *handler.Pending) error {
	reply := p.Finish(c.ctx)
	// In this order: the reply may refer to the request's bytes.
	defer p.Release()
	defer reply.Release()
	if reply.Close != nil {
		return reply.Close
	}
	c.mute.extend(reply.Throttle)
	return c.write(p.Header.CorrelationID, &reply)
}

// drain stops reading and waiting; what has been received is still answered.
func (c *conn) drain() {
	c.leave()
	if err := c.nc.SetReadDeadline(time.Unix(1, 0)); err != nil {
		c.listener.logger.Debug("draining a connection", "peer", c.peer, "err", err)
	}
}

// cut ends the connection now.
func (c *conn) cut() {
	c.cancel()
	if err := c.nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.listener.logger.Debug("cutting a connection", "peer", c.peer, "err", err)
	}
}

// logEnd writes one line about why the connection ends: for operators when it is the client's fault, else for debugging.
func (c *conn) logEnd(err error) {
	level := slog.LevelDebug
	switch {
	case errors.Is(err, protocol.ErrMalformed), errors.Is(err, protocol.ErrUnknownAPI), errors.Is(err, handler.ErrUnsupportedVersion),
		errors.Is(err, protocol.ErrFrameTooLarge), errors.Is(err, protocol.ErrFrameTooShort):
		level = slog.LevelInfo
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
	}
	software := c.session.Software()
	c.listener.logger.Log(c.ctx, level, "connection closed", "peer", c.peer, "reason", err,
		"client", software.Name, "client_version", software.Version)
}
