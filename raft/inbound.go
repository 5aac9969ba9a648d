package raft

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// inbound is one accepted connection: requests of one peer, answered in any order.
type inbound struct {
	host *Host
	nc   net.Conn
	from NodeID
	wmu  sync.Mutex // guards writing

	handlers sync.WaitGroup
}

const (
	// greetTimeout cuts callers that do not say who they are.
	greetTimeout = 5 * time.Second
	// openGrace is how long a request waits for a group that this node is about to open: replicas of a new topic open at
	// slightly different times, and a vote refused then costs an election timeout.
	openGrace = time.Second
	// beatGrace is how long one group may hold up the answers of the others in a frame of heartbeats.
	beatGrace = 250 * time.Millisecond
)

// serve runs until the connection breaks or ctx ends.
func (in *inbound) serve(ctx context.Context) error {
	defer in.handlers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = in.nc.Close() }) // unblocks the read below
	defer stop()
	r := bufio.NewReaderSize(in.nc, 64<<10)
	if err := in.greet(r); err != nil {
		return err
	}
	for {
		f, err := readFrame(r, &in.host.pool)
		if err != nil {
			if errors.Is(err, io.EOF) || ctx.Err() != nil {
				return nil
			}
			return err
		}
		in.dispatch(ctx, f)
	}
}

func (in *inbound) greet(r io.Reader) error {
	if err := in.nc.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return err
	}
	f, err := readFrame(io.LimitReader(r, 1<<10), &in.host.pool)
	if err != nil {
		return fmt.Errorf("read hello: %w", err)
	}
	if f.typ != frameHello {
		return fmt.Errorf("%w: want hello, got type %#x", errFrame, f.typ)
	}
	h, err := decodeHello(f.body)
	if err != nil {
		return err
	}
	if h.to != in.host.node && h.to != NoNode { // NoNode: see Introduce
		err = fmt.Errorf("caller wants node %d, this is node %d", h.to, in.host.node)
		in.respond(f, nil, err)
		return err
	}
	in.from = h.from
	answer := hello{from: in.host.node, to: h.from, class: h.class, incarnation: in.host.incarnation}
	in.respond(f, answer.appendTo(nil), nil)
	return in.nc.SetDeadline(time.Time{})
}

// respond answers a request and gives its memory back.
func (in *inbound) respond(f frame, body []byte, err error) {
	typ := f.typ | frameResponse
	if err != nil {
		typ, body = frameError, encodeError(err)
	}
	buf := in.host.pool.Get(frameHeaderLen + len(body))
	defer in.host.pool.Put(buf)
	putFrameHeader(buf, typ, f.id, len(body))
	copy(buf[frameHeaderLen:], body)
	in.host.pool.Put(f.body) // not before: an answer may share the request's memory
	in.wmu.Lock()
	defer in.wmu.Unlock()
	err = in.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = in.nc.Write(buf)
	}
	if err != nil {
		_ = in.nc.Close() // the reader ends with the reason
	}
}

// dispatch starts a request. Everything that may block runs on a goroutine of its own: one slow group, disk or service
// must not hold up the others that share the connection.
func (in *inbound) dispatch(ctx context.Context, f frame) {
	switch f.typ {
	case frameHeartbeats:
		in.handlers.Go(func() { in.heartbeats(f) })
	case frameAppend:
		in.handlers.Go(func() { in.append(ctx, f) })
	case frameVote, framePreVote, frameTimeoutNow:
		in.handlers.Go(func() { in.election(ctx, f) })
	case frameSnapshot:
		in.handlers.Go(func() { in.snapshot(ctx, f) })
	case frameCall:
		in.handlers.Go(func() { in.call(ctx, f) })
	default:
		in.respond(f, nil, fmt.Errorf("%w: type %#x", errFrame, f.typ))
	}
}

func (in *inbound) append(ctx context.Context, f frame) {
	g, req, err := decodeAppend(in.from, f.body)
	if err != nil {
		in.host.logger.Error("refused entries from peer", "peer", in.from, "group", g, "err", err)
		in.respond(f, nil, err)
		return
	}
	resp, err := in.deliver(ctx, g, hraft.RPC{Command: req})
	if err != nil {
		if errors.Is(err, ErrClosed) {
			f.body = nil // the library may still be writing these very bytes: not for reuse
		}
		in.respond(f, nil, err)
		return
	}
	r, ok := resp.(*hraft.AppendEntriesResponse)
	if !ok {
		in.respond(f, nil, fmt.Errorf("append answered with %T", resp))
		return
	}
	if err := in.host.ownDurable(g, req, r); err != nil {
		in.respond(f, nil, err)
		return
	}
	in.respond(f, encodeAppendResponse(nil, r), nil)
}

// ownDurable returns when what this replica wrote itself of entries that it is about to acknowledge, when it led, is durable: the library
// does not store again what it has.
func (h *Host) ownDurable(id GroupID, req *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	g := h.lookup(id)
	if g == nil {
		return ErrClosed
	}
	return g.trans.awaitDurable(req, resp)
}

// deliver hands a request to its group and waits for the answer.
func (in *inbound) deliver(ctx context.Context, id GroupID, rpc hraft.RPC) (any, error) {
	g, err := in.host.awaitGroup(ctx, id, openGrace)
	if err != nil {
		return nil, err
	}
	answer := make(chan hraft.RPCResponse, 1)
	rpc.RespChan = answer
	select {
	case g.trans.requests <- rpc:
	case <-g.trans.ctx.Done():
		return nil, ErrClosed
	}
	select {
	case a := <-answer:
		return a.Response, a.Error
	case <-g.trans.ctx.Done():
		// The library no longer reads its requests, or just answered.
		select {
		case a := <-answer:
			return a.Response, a.Error
		default:
			return nil, ErrClosed
		}
	}
}

func (in *inbound) election(ctx context.Context, f frame) {
	r := &reader{b: f.body}
	v := r.vote()
	if r.err != nil {
		in.respond(f, nil, r.err)
		return
	}
	if g := in.host.lookup(v.group); g != nil && g.Joining() {
		in.respond(f, nil, errJoining) // the term store would refuse the vote; this way no term is raised for nothing
		return
	}
	var cmd any
	switch f.typ {
	case frameVote:
		cmd = &hraft.RequestVoteRequest{
			RPCHeader: rpcHeader(in.from), Term: v.term, LastLogIndex: v.lastIndex, LastLogTerm: v.lastTerm,
			LeadershipTransfer: v.transfer,
		}
	case framePreVote:
		cmd = &hraft.RequestPreVoteRequest{
			RPCHeader: rpcHeader(in.from), Term: v.term, LastLogIndex: v.lastIndex, LastLogTerm: v.lastTerm,
		}
	default:
		if in.host.draining.Load() {
			in.respond(f, nil, errors.New("this node is stopping and takes no leadership"))
			return
		}
		cmd = &hraft.TimeoutNowRequest{RPCHeader: rpcHeader(in.from)}
	}
	resp, err := in.deliver(ctx, v.group, hraft.RPC{Command: cmd})
	if err != nil {
		in.respond(f, nil, err)
		return
	}
	var body []byte
	switch resp := resp.(type) {
	case *hraft.RequestVoteResponse:
		body = vote{term: resp.Term, transfer: resp.Granted}.appendTo(nil)
	case *hraft.RequestPreVoteResponse:
		body = vote{term: resp.Term, transfer: resp.Granted}.appendTo(nil)
	}
	in.respond(f, body, nil)
}

func (in *inbound) snapshot(ctx context.Context, f frame) {
	r := &reader{b: f.body}
	g, req := r.snapshotRequest(in.from)
	if r.err != nil {
		in.respond(f, nil, r.err)
		return
	}
	resp, err := in.deliver(ctx, g, hraft.RPC{Command: req, Reader: bytes.NewReader(r.b)})
	if err != nil {
		f.body = nil // see append
		in.respond(f, nil, err)
		return
	}
	s, ok := resp.(*hraft.InstallSnapshotResponse)
	if !ok {
		in.respond(f, nil, fmt.Errorf("snapshot answered with %T", resp))
		return
	}
	in.respond(f, encodeAppendResponse(nil, &hraft.AppendEntriesResponse{Term: s.Term, Success: s.Success}), nil)
}

func (in *inbound) call(ctx context.Context, f frame) {
	r := &reader{b: f.body}
	service := r.u8()
	if r.err != nil {
		in.respond(f, nil, r.err)
		return
	}
	answer, err := in.host.answer(ctx, in.from, service, r.b)
	in.respond(f, answer, err)
}

// heartbeats answers a frame of them. The library is quick unless it waits for the disk, so each group is given beatGrace.
func (in *inbound) heartbeats(f frame) {
	n := len(f.body) / beatLen
	answers := make([]chan hraft.RPCResponse, n)
	r := &reader{b: f.body}
	for i := range n {
		id, term := r.group(), r.u64()
		g := in.host.lookup(id)
		if g == nil {
			continue
		}
		answers[i] = make(chan hraft.RPCResponse, 1)
		g.trans.heartbeat(in.from, term, answers[i])
	}
	body := appendNodeStatus(make([]byte, 0, 1+n*(1+appendResponseLen)), in.host.status())
	deadline := time.NewTimer(beatGrace)
	defer deadline.Stop()
	late := false
	for _, ch := range answers {
		var resp *hraft.AppendEntriesResponse
		if ch != nil && !late {
			select {
			case a := <-ch:
				resp, _ = a.Response.(*hraft.AppendEntriesResponse)
			case <-deadline.C:
				late = true
			}
		}
		body = appendBool(body, resp != nil)
		if resp != nil {
			body = encodeAppendResponse(body, resp)
		}
	}
	in.respond(f, body, nil)
}
