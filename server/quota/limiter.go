// Package quota measures what clients use of a broker, and says how long they have to wait when it is more than their share (KIP-13,
// KIP-124, KIP-599, KIP-612). What the shares are, and who shares one, is for others to know.
package quota

import (
	"math"
	"sync"
	"time"
)

// Kind is what is measured.
type Kind uint8

// The kinds of quota, with their rates.
const (
	Produce     Kind = iota // bytes of produce requests per second
	Fetch                   // bytes of fetched records per second
	Request                 // nanoseconds of work per second
	Mutation                // created and deleted partitions per second
	Connections             // new connections per second
)

// window is how long a client may save up what it does not use: so many seconds of its rate can be used at once. It corresponds to
// Kafka's window of 11 samples (quota.window.num), of which 10 are complete, of a second each (quota.window.size.seconds).
const window = 10 * time.Second

// longest bounds what Limiter answers, so that it fits where it goes: throttle_time_ms.
const longest = math.MaxInt32 * time.Millisecond

// Key is a share and who uses it: clients with the same Key use it together.
type Key struct {
	Kind           Kind
	User, ClientID string
}

// Limiter keeps a token bucket for each Key that has been used lately. A bucket may be overdrawn: whoever does so gets what he
// wants, and waits afterwards. Safe for concurrent use.
type Limiter struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[Key]*bucket
	sweepAt int // how many buckets are too many not to look which are full
}

// minSweep is how many buckets are kept without looking whether they are needed.
const minSweep = 128

// NewLimiter returns a Limiter that reads the time from now, which must be monotonic.
func NewLimiter(now func() time.Time) *Limiter {
	return &Limiter{now: now, buckets: make(map[Key]*bucket), sweepAt: minSweep}
}

// Use takes n from the share of k, which grows by rate per second, and returns how long k has to wait until it has paid for
// everything it used. A rate that is not positive allows nothing: the wait is the longest there is.
func (l *Limiter) Use(k Key, rate, n float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(k, rate)
	b.tokens -= n
	return b.wait()
}

// Wait returns how long k has to wait until it has paid for what it used so far.
func (l *Limiter) Wait(k Key, rate float64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(k, rate).wait()
}

// Burst returns how much a client may use at once if it saved up all it can.
func Burst(rate float64) float64 { return rate * window.Seconds() }

// bucket returns the bucket of k, filled up to now. With l.mu.
func (l *Limiter) bucket(k Key, rate float64) *bucket {
	now := l.now()
	b := l.buckets[k]
	if b == nil {
		if len(l.buckets) >= l.sweepAt {
			l.sweep(now)
		}
		b = &bucket{rate: rate, tokens: Burst(rate), at: now}
		l.buckets[k] = b
	}
	b.fill(now)
	if b.rate != rate {
		// As if the new rate had always been: what was used of the old one stays used.
		b.tokens += Burst(rate) - Burst(b.rate)
		b.rate = rate
	}
	return b
}

// sweep forgets the full buckets, which are like new ones. With l.mu.
func (l *Limiter) sweep(now time.Time) {
	for k, b := range l.buckets {
		if b.fill(now); b.tokens >= Burst(b.rate) {
			delete(l.buckets, k)
		}
	}
	l.sweepAt = max(minSweep, 2*len(l.buckets))
}

// bucket holds what may be used at once; negative when it is overdrawn.
type bucket struct {
	rate, tokens float64
	at           time.Time // when tokens was right
}

func (b *bucket) fill(now time.Time) {
	b.tokens = min(b.tokens+b.rate*now.Sub(b.at).Seconds(), Burst(b.rate))
	b.at = now
}

func (b *bucket) wait() time.Duration {
	if b.tokens >= 0 {
		return 0
	}
	seconds := -b.tokens / b.rate
	if !(seconds < longest.Seconds()) { // also when rate is 0
		return longest
	}
	return time.Duration(seconds * float64(time.Second))
}
