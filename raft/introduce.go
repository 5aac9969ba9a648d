package raft

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Introduce calls a service on a node of which only the address is known, for node, over nc, a fresh connection to its peer listener,
// and returns who answered and what. nc is good for nothing else and left open.
func Introduce(ctx context.Context, nc net.Conn, node NodeID, service uint8, payload []byte) (NodeID, []byte, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(greetTimeout)
	}
	if err := nc.SetDeadline(deadline); err != nil {
		return NoNode, nil, err
	}
	var pool buffers
	c := newConn(nc, &pool)
	if err := c.write(frameHello, 0, hello{from: node, to: NoNode, class: classControl, incarnation: 1}.appendTo(nil), nil); err != nil {
		return NoNode, nil, fmt.Errorf("greet %s: %w", nc.RemoteAddr(), err)
	}
	body, err := c.answer(frameHello)
	if err != nil {
		return NoNode, nil, fmt.Errorf("greet %s: %w", nc.RemoteAddr(), err)
	}
	who, err := decodeHello(body)
	if err != nil {
		return NoNode, nil, fmt.Errorf("greet %s: %w", nc.RemoteAddr(), err)
	}
	if err := c.write(frameCall, 1, append([]byte{service}, payload...), nil); err != nil {
		return who.from, nil, fmt.Errorf("call node %d: %w", who.from, err)
	}
	body, err = c.answer(frameCall)
	return who.from, body, err
}

// answer reads the next frame as the response to a request, on a connection that nobody else reads.
func (c *conn) answer(request frameType) ([]byte, error) {
	f, err := readFrame(c.nc, c.pool)
	if err != nil {
		return nil, err
	}
	return responseBody(f, request)
}
