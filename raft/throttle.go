package raft

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
)

// throttle bounds the bytes per second that all learners of a node's groups together are sent, so that moving replicas leaves disk
// and network to clients. Voters are never throttled: commits wait for them.
type throttle struct {
	rate atomic.Int64 // bytes per second; 0: no bound

	mu   sync.Mutex
	free time.Time // when what was let through so far has been paid for
}

// ThrottleLearners bounds how many bytes per second this node sends to replicas that are being added, all together; 0 or
// math.MaxInt64 means no bound (leader.replication.throttled.rate, which in Kafka is for the replicas that a topic config lists).
func (h *Host) ThrottleLearners(bytesPerSecond int64) {
	if bytesPerSecond == math.MaxInt64 {
		bytesPerSecond = 0
	}
	h.throttle.rate.Store(max(bytesPerSecond, 0))
}

// reserve takes n bytes and returns how long to wait before sending them.
func (t *throttle) reserve(now time.Time, n int64) time.Duration {
	rate := t.rate.Load()
	if rate == 0 || n == 0 {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free.Before(now) {
		t.free = now
	}
	wait := t.free.Sub(now)
	t.free = t.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return wait
}

// throttleTo waits as long as node, if it is a learner, must not be sent n more bytes.
func (t *groupTransport) throttleTo(ctx context.Context, node NodeID, n int64) {
	if t.host.throttle.rate.Load() == 0 || !t.isLearner(node) {
		return
	}
	if wait := t.host.throttle.reserve(time.Now(), n); wait > 0 {
		sleep(ctx, min(wait, throttleMost))
	}
}

// throttleMost bounds one wait, so that a replica that is promoted meanwhile is not held up, nor an entry larger than the rate.
const throttleMost = time.Second

func (t *groupTransport) isLearner(node NodeID) bool {
	r := t.started.Load()
	if r == nil {
		return false
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if parseNode(string(s.ID)) == node {
			return s.Suffrage != hraft.Voter
		}
	}
	return false
}
