package controller

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/raft"
	"balsa/server/cluster"
)

// Service is the number under which Serve is registered with raft.Host.Handle.
const Service uint8 = 1

// A forwarded request is: version 1, API key (2 bytes), API version (2), milliseconds left (4), the request's body as Kafka encodes it.
// Its answer is: version 1, status (1), version of the image (8), the response's body. Numbers are big endian.
const (
	forwardVersion = 1
	requestHeader  = 1 + 2 + 2 + 4
	answerHeader   = 1 + 1 + 8
)

const (
	statusOK        = 0
	statusNotLeader = 1 // certainly no effect
	statusUnsettled = 2 // perhaps an effect
	statusRefused   = 3 // the whole request is refused; the body is a Kafka error code (2 bytes)
)

var (
	errMalformed = errors.New("malformed controller message")
	// errForwarded means that a request went to another node, and it is not known what became of it.
	errForwarded = errors.New("forwarded request unanswered")
)

// forward asks the leader. It gives up when the leader changes, because one that hangs may never answer.
func (c *Controller) forward(ctx context.Context, leader raft.NodeID, changed <-chan struct{}, req kmsg.Request) (answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	payload, err := c.Call(ctx, leader, Service, encodeRequest(ctx, req))
	if err != nil {
		return answer{}, fmt.Errorf("%w by node %d: %w", errForwarded, leader, err)
	}
	return decodeAnswer(payload, req)
}

func encodeRequest(ctx context.Context, req kmsg.Request) []byte {
	left := uint32(defaultTimeout.Milliseconds())
	if deadline, ok := ctx.Deadline(); ok {
		left = uint32(max(time.Until(deadline).Milliseconds(), 0))
	}
	b := []byte{forwardVersion}
	b = binary.BigEndian.AppendUint16(b, uint16(req.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(req.GetVersion()))
	b = binary.BigEndian.AppendUint32(b, left)
	return req.AppendTo(b)
}

func decodeRequest(b []byte) (req kmsg.Request, left time.Duration, err error) {
	if len(b) < requestHeader || b[0] != forwardVersion {
		return nil, 0, fmt.Errorf("%w: request of %d bytes", errMalformed, len(b))
	}
	key, version := int16(binary.BigEndian.Uint16(b[1:])), int16(binary.BigEndian.Uint16(b[3:]))
	left = time.Duration(binary.BigEndian.Uint32(b[5:])) * time.Millisecond
	if !cluster.Served(key) {
		return nil, 0, fmt.Errorf("%w: %w: key %d", errMalformed, cluster.ErrNotServed, key)
	}
	// kmsg alone would take the word of a lying count for what to allocate, or how long to loop.
	req, err = protocol.DecodeRequest(protocol.RequestHeader{Key: key, Version: version}, b[requestHeader:])
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return req, left, nil
}

func encodeAnswer(status byte, a answer) []byte {
	b := binary.BigEndian.AppendUint64([]byte{forwardVersion, status}, a.version)
	if status == statusOK {
		b = a.response.AppendTo(b)
	}
	return b
}

// decodeAnswer trusts the leader, a broker of our own, for the counts in its response.
func decodeAnswer(b []byte, req kmsg.Request) (answer, error) {
	if len(b) < answerHeader || b[0] != forwardVersion {
		return answer{}, fmt.Errorf("%w: %w: answer of %d bytes", errForwarded, errMalformed, len(b))
	}
	switch b[1] {
	case statusOK:
	case statusNotLeader:
		return answer{}, fmt.Errorf("forwarded request: %w", raft.ErrNotLeader)
	case statusRefused:
		if len(b) == answerHeader+2 {
			return answer{}, &refused{kerr.ErrorForCode(int16(binary.BigEndian.Uint16(b[answerHeader:])))}
		}
		return answer{}, fmt.Errorf("%w: %w: refusal of %d bytes", errForwarded, errMalformed, len(b))
	default:
		return answer{}, fmt.Errorf("%w: the leader lost its leadership meanwhile", errForwarded)
	}
	a := answer{response: req.ResponseKind(), version: binary.BigEndian.Uint64(b[2:])}
	if err := a.response.ReadFrom(b[answerHeader:]); err != nil {
		return answer{}, fmt.Errorf("%w: %w: %s: %w", errForwarded, errMalformed, kmsg.NameForKey(req.Key()), err)
	}
	return a, nil
}

// Serve answers a request that another node forwarded; its signature is that of raft.Host.Handle. It never forwards again: a
// node that does not lead says so, and the asker looks for the leader anew.
func (c *Controller) Serve(ctx context.Context, _ raft.NodeID, payload []byte) ([]byte, error) {
	req, left, err := decodeRequest(payload)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, min(left, c.Timeout))
	defer cancel()
	if l, _ := c.Machine.WatchLeadership(); l.Leader != c.Broker.ID || !l.Ready {
		return encodeAnswer(statusNotLeader, answer{}), nil
	}
	a, err := c.decide(ctx, c.answering(req))
	var u *unsettled
	var known *kerr.Error
	switch {
	case errors.As(err, &u):
		c.Machine.Forget(u.nonce)
		return encodeAnswer(statusUnsettled, answer{}), nil
	case errors.As(err, &known):
		return binary.BigEndian.AppendUint16(encodeAnswer(statusRefused, answer{}), uint16(known.Code)), nil
	case err != nil:
		return encodeAnswer(statusNotLeader, answer{}), nil
	}
	return encodeAnswer(statusOK, a), nil
}
