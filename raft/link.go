package raft

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"balsa/log"
)

// A link's connections have classes, so that a vote or a heartbeat never waits behind a megabyte of records.
const (
	classControl = 0 // heartbeats and votes
	classData    = 1 // and above: appends and calls, spread by group
	linkClasses  = 3
)

const (
	// writeTimeout bounds one frame's way into the socket: a peer that takes nothing for so long is gone.
	writeTimeout = 10 * time.Second
	// copyBelow is the size below which file ranges are copied behind the frame header instead of sent by sendfile: one
	// system call less beats a copy saved.
	copyBelow = 32 << 10
)

// conn is one outgoing connection: any number of goroutines send requests, one reads the responses.
type conn struct {
	nc   net.Conn
	pool *buffers

	wmu sync.Mutex // guards writing

	mu      sync.Mutex
	pending map[uint64]chan frame // nil after the connection broke
	nextID  uint64
	done    chan struct{} // closed when the connection broke
}

func newConn(nc net.Conn, pool *buffers) *conn {
	return &conn{nc: nc, pool: pool, pending: map[uint64]chan frame{}, done: make(chan struct{})}
}

// readResponses runs until the connection breaks.
func (c *conn) readResponses() {
	r := bufio.NewReaderSize(c.nc, 64<<10)
	for {
		f, err := readFrame(r, c.pool)
		if err != nil {
			break
		}
		c.mu.Lock()
		ch := c.pending[f.id]
		delete(c.pending, f.id)
		c.mu.Unlock()
		if ch == nil {
			c.pool.Put(f.body)
			continue
		}
		ch <- f
	}
	c.close()
}

func (c *conn) close() {
	c.mu.Lock()
	waiting := c.pending
	c.pending = nil
	c.mu.Unlock()
	if waiting == nil {
		return
	}
	_ = c.nc.Close() // what it could tell, the broken read already did
	close(c.done)
}

// request sends a frame of body followed by the bytes of records, and waits for the response's body, which goes back to
// the pool. It ends early with ErrUnreachable when the connection breaks, and with ctx.
func (c *conn) request(ctx context.Context, typ frameType, body []byte, records *log.Slice) ([]byte, error) {
	ch := make(chan frame, 1)
	c.mu.Lock()
	if c.pending == nil {
		c.mu.Unlock()
		return nil, ErrUnreachable
	}
	c.nextID++
	id := c.nextID
	c.pending[id] = ch
	c.mu.Unlock()
	if err := c.write(typ, id, body, records); err != nil {
		c.close()
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	select {
	case f := <-ch:
		return responseBody(f, typ)
	case <-c.done:
		return nil, ErrUnreachable
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pending, id)
		c.mu.Unlock()
		return nil, ctx.Err()
	}
}

func (c *conn) write(typ frameType, id uint64, body []byte, records *log.Slice) error {
	size := frameHeaderLen + len(body)
	var tail int64
	if records != nil {
		tail = records.Bytes
	}
	inline := tail > 0 && tail < copyBelow
	buf := c.pool.Get(size + copyBelow)
	defer c.pool.Put(buf)
	putFrameHeader(buf, typ, id, len(body)+int(tail))
	copy(buf[frameHeaderLen:], body)
	buf = buf[:size]
	if inline {
		var err error
		if buf, err = records.AppendTo(buf); err != nil {
			return fmt.Errorf("read entries to replicate: %w", err)
		}
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := c.nc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := c.nc.Write(buf); err != nil {
		return err
	}
	if inline || tail == 0 {
		return nil
	}
	return records.Send(c.nc)
}

// Errors that cross the wire keep their identity: the first byte of an error's frame says which it is.
const (
	codeOther uint8 = iota
	codeUnknownGroup
	codeNotLeader
	codeClosed
)

// encodeError returns the body of a frameError: a code, then a text for people.
func encodeError(err error) []byte {
	code := codeOther
	switch {
	case errors.Is(err, ErrUnknownGroup):
		code = codeUnknownGroup
	case errors.Is(err, ErrNotLeader):
		code = codeNotLeader
	case errors.Is(err, ErrClosed):
		code = codeClosed
	}
	return append([]byte{code}, err.Error()...)
}

// RemoteError is an error that another node answered with and that has no meaning of its own here.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return "remote: " + e.Text }

func responseBody(f frame, request frameType) ([]byte, error) {
	switch {
	case f.typ == request|frameResponse:
		return f.body, nil
	case f.typ == frameError && len(f.body) > 0:
		switch f.body[0] {
		case codeUnknownGroup:
			return nil, ErrUnknownGroup
		case codeNotLeader:
			return nil, ErrNotLeader
		case codeClosed:
			return nil, ErrClosed
		}
		return nil, &RemoteError{Text: string(f.body[1:])}
	}
	return nil, fmt.Errorf("%w: response of type %#x", errFrame, f.typ)
}

// hello opens every connection: who calls, whom it believes to call, and which class.
type hello struct {
	from, to    NodeID
	class       uint8
	incarnation uint64 // a process's identity: new at every start
}

const helloMagic = 0x62616c31 // "bal1": protocol and version

func (h hello) appendTo(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, helloMagic)
	b = binary.BigEndian.AppendUint32(b, uint32(h.from))
	b = binary.BigEndian.AppendUint32(b, uint32(h.to))
	b = append(b, h.class)
	return binary.BigEndian.AppendUint64(b, h.incarnation)
}

func decodeHello(body []byte) (hello, error) {
	r := &reader{b: body}
	if magic := r.u32(); r.err == nil && magic != helloMagic {
		return hello{}, fmt.Errorf("%w: not a balsa peer", errFrame)
	}
	h := hello{from: NodeID(r.u32()), to: NodeID(r.u32()), class: r.u8(), incarnation: r.u64()}
	return h, r.err
}
