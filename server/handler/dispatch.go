package handler

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/log"
	"balsa/protocol"
	"balsa/server/quota"
)

// ErrUnsupportedVersion means that a request's version is not served. Like Kafka we close the connection: the layout of
// an answer is not known.
var ErrUnsupportedVersion = errors.New("API version not supported")

// Request is one decoded request.
type Request struct {
	Client Client
	Header protocol.RequestHeader
	Body   kmsg.Request
	// Waiting ends when it is no use to wait any longer: the client has gone, or the broker is shutting down.
	Waiting context.Context
	Size    int // of the request in bytes, without its length

	session *Session // of the connection
	work    stopwatch
	charged bool // the handler had the client pay already
}

// Reply is the answer to a request. Release it when it has been written, or will not be.
type Reply struct {
	Message kmsg.Response // nil when the answer is Frame, or when there is none (Produce with acks=0)
	// Frame is an encoded response whose records are missing: Records[i] goes in at Frame position Cuts[i].
	Frame   []byte
	Cuts    []int
	Records []log.Slice
	// Close says why the connection has to be closed instead of being answered.
	Close error
	// Throttle is how long the connection is not to be read from after the answer, because the client is over a quota.
	Throttle time.Duration
}

// Release lets go of the files that r refers to.
func (r *Reply) Release() {
	for i := range r.Records {
		r.Records[i].Release()
	}
	r.Records = nil
}

// Dispatcher finds the handler of each request.
type Dispatcher struct {
	broker *Broker
	byKey  map[int16]api
}

// NewDispatcher serves b. There is one Dispatcher per broker.
func NewDispatcher(b *Broker) *Dispatcher {
	b.sessions = newFetchSessions(defaultFetchSessionLimits(b.FetchSessions))
	b.shares = newShareSessions(defaultShareSessionLimits(b.ShareSessions))
	b.limiter = quota.NewLimiter(time.Now)
	d := &Dispatcher{broker: b, byKey: make(map[int16]api)}
	for _, a := range apis() {
		d.byKey[int16(a.key)] = a
	}
	return d
}

// Software is what a client says it is (KIP-511).
type Software struct{ Name, Version string }

// Session is one connection as the handlers see it. Start is called by one goroutine; the rest is safe for concurrent use.
type Session struct {
	dispatcher *Dispatcher
	host       string
	software   atomic.Pointer[Software]
	shares     map[*shareSession]struct{} // those that it opened and that are not over; shareSessions.mu guards it
}

// NewSession starts a session for a client at host (/127.0.0.1).
func (d *Dispatcher) NewSession(host string) *Session {
	return &Session{dispatcher: d, host: host}
}

// Close ends what a client has only as long as its connection: its share sessions. Once, when the last request has been answered.
func (s *Session) Close() { s.dispatcher.broker.closeShares(s) }

// Software returns what the client said it is; empty until it did.
func (s *Session) Software() Software {
	if v := s.software.Load(); v != nil {
		return *v
	}
	return Software{}
}

// Pending is a request that has been started.
type Pending struct {
	Header  protocol.RequestHeader
	frame   *protocol.Frame
	finish  finisher
	settled func() bool // whether nothing uses the frame's bytes any more; nil: nothing ever does
}

// Start decodes a request and begins it. waiting is Request.Waiting. An error means that the connection cannot go on.
func (s *Session) Start(waiting context.Context, frame *protocol.Frame) (*Pending, error) {
	var work stopwatch
	work.resume()
	h, body, err := protocol.ParseRequestHeader(frame.Bytes())
	if err != nil {
		return nil, fmt.Errorf("parse request header: %w", err)
	}
	p := &Pending{Header: h, frame: frame}
	a, ok := s.dispatcher.byKey[h.Key]
	if !ok {
		return nil, fmt.Errorf("%w: %s (key %d) v%d", protocol.ErrUnknownAPI, kmsg.NameForKey(h.Key), h.Key, h.Version)
	}
	if h.Version < a.min || h.Version > a.max {
		if h.Key != int16(kmsg.ApiVersions) {
			return nil, fmt.Errorf("%w: %s v%d", ErrUnsupportedVersion, kmsg.NameForKey(h.Key), h.Version)
		}
		p.finish = func(context.Context) Reply { return Reply{Message: unsupportedApiVersions(a)} }
		return p, nil
	}
	req, err := protocol.DecodeRequest(h, body)
	if err != nil {
		return nil, err
	}
	r := &Request{Client: Client{ID: h.ClientID, Host: s.host}, Header: h, Body: req, Waiting: waiting, Size: len(frame.Bytes()), session: s}
	r.work = work
	if v, ok := req.(*kmsg.ApiVersionsRequest); ok && v.ClientSoftwareName != "" {
		s.software.Store(&Software{Name: v.ClientSoftwareName, Version: v.ClientSoftwareVersion})
	}
	b := s.dispatcher.broker
	p.finish = func(ctx context.Context) Reply {
		r.work.resume()
		return a.answer(b, timed(ctx, &r.work), r)
	}
	if a.start != nil {
		p.finish, p.settled = a.start(b, r)
	}
	r.work.pause()
	answered := p.finish
	p.finish = func(ctx context.Context) Reply {
		reply := answered(ctx)
		b.charge(r, &reply)
		return reply
	}
	return p, nil
}

// Finish waits for the outcome and returns the answer, which is the caller's to release. Once only.
func (p *Pending) Finish(ctx context.Context) Reply { return p.finish(ctx) }

// Release gives the request's buffer back if nothing can use it any more. Once only, after Finish and after the reply
// has been released.
func (p *Pending) Release() {
	if p.settled == nil || p.settled() {
		p.frame.Release()
	}
}
