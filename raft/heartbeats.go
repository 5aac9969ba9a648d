package raft

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
)

// heartbeats coalesces the heartbeats of all groups to one peer: one frame every beatInterval carries those of all groups
// that are due, instead of a request per group.
type heartbeats struct {
	peer *peer

	mu     sync.Mutex
	queued []*beat

	// lastAnswer is when the peer last answered a frame of heartbeats, in Unix nanoseconds; 0 while the link is down.
	lastAnswer atomic.Int64
	draining   atomic.Bool   // the peer said that it is stopping
	space      atomic.Uint32 // the Space that the peer said it has; see setSpace
}

// beat is one group's heartbeat on its way.
type beat struct {
	group GroupID
	term  uint64
	due   time.Time       // not to be sent before
	done  chan beatAnswer // capacity 1
}

type beatAnswer struct {
	resp hraft.AppendEntriesResponse
	err  error
}

const (
	// beatInterval is how long a group's heartbeat that is due waits for company.
	beatInterval = 100 * time.Millisecond
	// idleBeats is after how many intervals without any group's heartbeat an empty frame is sent, to know that the
	// node lives.
	idleBeats = 5
	beatLen   = groupIDLen + 8
)

// send queues a group's heartbeat for the time when it is due and waits for its answer, as long as session s lives. It sets
// no timer: with thousands of idle groups, timers that fire one by one are what costs.
func (h *heartbeats) send(ctx context.Context, s *session, g GroupID, term uint64, due time.Time,
) (hraft.AppendEntriesResponse, error) {
	b := &beat{group: g, term: term, due: due, done: make(chan beatAnswer, 1)}
	h.mu.Lock()
	h.queued = append(h.queued, b)
	h.mu.Unlock()
	select {
	case a := <-b.done:
		return a.resp, a.err
	case <-s.done:
		return hraft.AppendEntriesResponse{}, ErrUnreachable
	case <-ctx.Done():
		return hraft.AppendEntriesResponse{}, ErrClosed
	}
}

// take removes and returns the heartbeats that are due.
func (h *heartbeats) take(now time.Time) []*beat {
	h.mu.Lock()
	defer h.mu.Unlock()
	var due []*beat
	early := h.queued[:0]
	for _, b := range h.queued {
		if b.due.After(now) {
			early = append(early, b)
		} else {
			due = append(due, b)
		}
	}
	clear(h.queued[len(early):])
	h.queued = early
	return due
}

// run sends due heartbeats over one session until stop. A peer that does not answer for a while loses the session: its
// connections may hang without ever breaking.
func (h *heartbeats) run(s *session, stop <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h.lastAnswer.Store(time.Now().UnixNano())
	defer h.lastAnswer.Store(0)
	h.draining.Store(false)
	defer h.setSpace(SpaceAmple)
	ticker := time.NewTicker(beatInterval)
	defer ticker.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer h.fail()
	silent := false
	for idle := 0; ; {
		var due []*beat
		select {
		case <-stop:
			cancel()
			return
		case now := <-ticker.C:
			due = h.take(now)
		}
		if len(due) == 0 {
			if idle++; idle < idleBeats {
				continue
			}
		}
		idle = 0
		if !silent && time.Since(time.Unix(0, h.lastAnswer.Load())) > h.peer.host.timing.silence() {
			silent = true
			s.conns[classControl].close()
			h.lastAnswer.Store(0)
			h.peer.host.peerDied(h.peer.node, "it does not answer")
		}
		wg.Go(func() { h.exchange(ctx, s, due) })
	}
}

// fail answers what is still queued when the link went down.
func (h *heartbeats) fail() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.queued {
		b.done <- beatAnswer{err: ErrUnreachable}
	}
	h.queued = nil
}

func (h *heartbeats) exchange(ctx context.Context, s *session, due []*beat) {
	body := make([]byte, 0, len(due)*beatLen)
	for _, b := range due {
		body = b.group.appendTo(body)
		body = binary.BigEndian.AppendUint64(body, b.term)
	}
	answer, err := s.conns[classControl].request(ctx, frameHeartbeats, body, nil)
	if err == nil {
		h.lastAnswer.Store(time.Now().UnixNano())
	}
	r := &reader{b: answer}
	if err == nil {
		status := r.nodeStatus()
		h.draining.Store(status.draining)
		h.setSpace(status.space)
	}
	for _, b := range due {
		a := beatAnswer{err: err}
		if err == nil {
			if known := r.bool(); known {
				a.resp = r.appendResponse(h.peer.node)
			} else {
				a.err = ErrUnknownGroup
			}
			if r.err != nil {
				a.err = r.err
			}
		}
		b.done <- a
	}
	h.peer.host.pool.Put(answer)
}
