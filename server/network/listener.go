package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"balsa/internal/bytepool"
	"balsa/server/handler"
	"balsa/server/quota"
)

// ListenerConfig holds the limits of a Kafka listener. The names in comments are Kafka's broker configs.
type ListenerConfig struct {
	MaxConnections      int // max.connections
	MaxConnectionsPerIP int // max.connections.per.ip
	MaxRequestBytes     int // socket.request.max.bytes
	// IdleTimeout is connections.max.idle.ms: how long a client may be silent when nothing is owed to it, and how long it may
	// take to receive the next writeChunk of an answer. Less would not do for the latter: a consumer that works on its last
	// records does not read the next, and may for as long as its max.poll.interval.ms (5 minutes).
	IdleTimeout time.Duration
	// MaxInFlightRequests and MaxInFlightBytes bound what one connection may have sent without having been answered.
	// Beyond it, no more is read from it. One request is always let in.
	MaxInFlightRequests int
	MaxInFlightBytes    int64
	// QueuedMaxBytes bounds the bytes of requests in memory over all connections (queued.max.request.bytes): beyond it, a
	// connection waits before it reads on. It is exceeded by at most one request, so that those which have been read in
	// part never wait for each other only, and by freeRequest per connection. Batches whose answer was given up (request
	// timeout) while they still replicate are bounded by their partition's Raft group instead.
	QueuedMaxBytes int64
	// Limits, if set, is asked at each connection for limits that can change, instead of MaxConnections and MaxConnectionsPerIP.
	Limits func() ConnectionLimits
}

// ConnectionLimits bounds connections. The names in comments are Kafka's broker configs.
type ConnectionLimits struct {
	All       int     // max.connections
	PerIP     int     // max.connections.per.ip
	PerSecond float64 // max.connection.creation.rate
}

// limits returns what counts now.
func (c *ListenerConfig) limits() ConnectionLimits {
	if c.Limits != nil {
		return c.Limits()
	}
	return ConnectionLimits{All: c.MaxConnections, PerIP: c.MaxConnectionsPerIP, PerSecond: math.Inf(1)}
}

// DefaultListenerConfig returns Kafka's defaults where Kafka has the setting.
func DefaultListenerConfig() ListenerConfig {
	return ListenerConfig{
		MaxConnections:      10_000,
		MaxConnectionsPerIP: 10_000,
		MaxRequestBytes:     100 << 20,
		IdleTimeout:         10 * time.Minute,
		MaxInFlightRequests: 256,
		MaxInFlightBytes:    64 << 20,
		QueuedMaxBytes:      512 << 20,
	}
}

// Validate says what cannot be served with.
func (c ListenerConfig) Validate() error {
	switch {
	case c.MaxConnections < 1:
		return fmt.Errorf("max.connections %d: at least 1", c.MaxConnections)
	case c.MaxConnectionsPerIP < 1:
		return fmt.Errorf("max.connections.per.ip %d: at least 1", c.MaxConnectionsPerIP)
	case c.MaxRequestBytes < 1024:
		return fmt.Errorf("socket.request.max.bytes %d: at least 1024", c.MaxRequestBytes)
	case c.IdleTimeout <= 0:
		return fmt.Errorf("connections.max.idle.ms %v: must be positive", c.IdleTimeout)
	case c.MaxInFlightRequests < 1 || c.MaxInFlightBytes < 1:
		return fmt.Errorf("requests in flight must be allowed: %d, %d bytes", c.MaxInFlightRequests, c.MaxInFlightBytes)
	case c.QueuedMaxBytes < int64(c.MaxRequestBytes):
		return fmt.Errorf("queued.max.request.bytes %d: at least socket.request.max.bytes, %d", c.QueuedMaxBytes, c.MaxRequestBytes)
	}
	return nil
}

// Listener serves Kafka clients. Each connection has two goroutines: one reads and starts requests, one finishes and
// answers them in order. They end with the connection; Shutdown waits for all of them.
type Listener struct {
	config     ListenerConfig
	dispatcher *handler.Dispatcher
	logger     *slog.Logger
	buffers    bytepool.Pool // of Produce requests
	budget     *byteBudget   // of all connections' requests
	accepted   *quota.Limiter

	ctx    context.Context // ends all work of all connections
	cancel context.CancelFunc

	mu       sync.Mutex
	draining bool
	sockets  map[net.Listener]struct{}
	conns    map[*conn]struct{}
	perIP    map[string]int
	wg       sync.WaitGroup // one per connection
}

// NewListener serves with dispatcher. It has to be given sockets with Serve.
func NewListener(c ListenerConfig, dispatcher *handler.Dispatcher, logger *slog.Logger) (*Listener, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("kafka listener: %w", err)
	}
	l := &Listener{
		config: c, dispatcher: dispatcher, logger: logger, budget: newByteBudget(c.QueuedMaxBytes),
		accepted: quota.NewLimiter(time.Now),
		sockets:  make(map[net.Listener]struct{}), conns: make(map[*conn]struct{}), perIP: make(map[string]int),
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l, nil
}

const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// Serve accepts connections from ln until Shutdown, which closes it; then it returns nil, as it does when it comes too late.
// Another error is one that accepting cannot recover from. It may be called for several sockets at once.
func (l *Listener) Serve(ln net.Listener) error {
	if !l.track(ln) {
		return ln.Close()
	}
	var pause time.Duration
	refusing := ""
	for {
		nc, err := ln.Accept()
		if err != nil {
			if l.ctx.Err() != nil || l.isDraining() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
			}
			// Out of file descriptors, most likely: connections that end will cure it.
			pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
			l.logger.Warn("accepting a connection failed; trying again", "address", ln.Addr().String(), "err", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-l.ctx.Done():
				return nil
			}
			continue
		}
		pause = 0
		limits := l.config.limits()
		limit := l.add(nc, limits)
		if limit != "" && limit != refusing {
			l.logger.Warn("refusing connections", "limit", limit, "peer", nc.RemoteAddr().String(),
				"max.connections", limits.All, "max.connections.per.ip", limits.PerIP)
		}
		refusing = limit
		if !l.pace(limits.PerSecond) {
			return nil
		}
	}
}

func (l *Listener) track(ln net.Listener) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.draining {
		return false
	}
	l.sockets[ln] = struct{}{}
	return true
}

func (l *Listener) isDraining() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.draining
}

// add starts to serve nc, or closes it when there is no room; then it returns the name of the limit that was reached.
func (l *Listener) add(nc net.Conn, limits ConnectionLimits) (limit string) {
	ip := clientHost(nc.RemoteAddr())
	wait := l.dispatcher.Connect(strings.TrimPrefix(ip, "/"))
	l.mu.Lock()
	switch {
	case l.draining:
	case len(l.conns) >= limits.All:
		limit = "max.connections"
	case l.perIP[ip] >= limits.PerIP:
		limit = "max.connections.per.ip"
	default:
		l.start(newConn(l, nc), wait)
		l.mu.Unlock()
		return ""
	}
	l.mu.Unlock()
	if err := nc.Close(); err != nil {
		l.logger.Debug("closing a refused connection", "err", err)
	}
	return limit
}

// start serves c on its own goroutine, or with a wait closes it after that long: its address opens connections faster than it may
// (KIP-612). The caller holds l.mu.
func (l *Listener) start(c *conn, wait time.Duration) {
	l.conns[c] = struct{}{}
	l.perIP[c.ip]++
	l.wg.Go(func() {
		if wait > 0 {
			c.holdUp(wait)
		} else {
			c.serve()
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
		if l.perIP[c.ip]--; l.perIP[c.ip] == 0 {
			delete(l.perIP, c.ip)
		}
	})
}

// Connections returns how many connections are open.
func (l *Listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// Shutdown stops accepting and reading, lets what has been received be answered (long polls at once, with what there
// is), and closes the connections. When ctx ends first, they are cut, and its error is returned. No goroutine of the
// listener is left when it returns.
func (l *Listener) Shutdown(ctx context.Context) error {
	l.mu.Lock()
	l.draining = true
	for ln := range l.sockets {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			l.logger.Warn("closing a listening socket failed", "err", err)
		}
	}
	for c := range l.conns {
		c.drain()
	}
	l.mu.Unlock()

	done := make(chan struct{})
	go func() {
		l.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("connections were cut: %w", ctx.Err())
		l.mu.Lock()
		for c := range l.conns {
			c.cut()
		}
		l.mu.Unlock()
		<-done
	}
	l.cancel()
	return err
}
