package handler

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/quota"
)

// Client quotas, as Kafka has them since KIP-219: a request that takes more than its client's share is answered at once, tells the
// client how long it has to wait (throttle_time_ms), and the connection is not read from until then. Produce, fetch and time
// are measured by each broker for itself. So are changes of topics, which clients send to the controller.

// charge makes the client of r pay for it, once it is answered, and has the answer say how long the client has to wait.
func (b *Broker) charge(r *Request, reply *Reply) {
	img := b.Metadata.Image()
	if len(img.Quotas) == 0 || r.charged {
		return
	}
	wait := b.useTime(img, r)
	if r.Header.Key == int16(kmsg.Produce) {
		wait = max(wait, b.use(img, quota.Produce, r.Client, float64(r.Size)))
	}
	if m, ok := reply.Message.(kmsg.ThrottleResponse); ok {
		if before, _ := m.Throttle(); before > 0 { // by changes of topics
			wait = max(wait, time.Duration(before)*time.Millisecond)
		}
	}
	reply.Throttle = wait
	if m, ok := reply.Message.(kmsg.SetThrottleResponse); ok && wait > 0 {
		m.SetThrottle(millis(wait))
	}
}

// quotaName returns Kafka's name of a kind of quota.
func quotaName(k quota.Kind) string {
	switch k {
	case quota.Produce:
		return cluster.QuotaProduceRate
	case quota.Fetch:
		return cluster.QuotaFetchRate
	case quota.Request:
		return cluster.QuotaRequestTime
	case quota.Mutation:
		return cluster.QuotaMutationRate
	}
	return cluster.QuotaConnectionRate
}

// share returns a client's share, who uses it, and whether it is limited at all. The rate of quota.Request is in nanoseconds per
// second: request_percentage is in percent of one processor.
func (b *Broker) share(img *cluster.Image, kind quota.Kind, c Client) (key quota.Key, rate float64, ok bool) {
	s, ok := img.ClientQuota(quotaName(kind), anonymous, c.ID)
	if kind == quota.Request {
		s.Limit *= float64(time.Second) / 100
	}
	return quota.Key{Kind: kind, User: s.User, ClientID: s.ClientID}, s.Limit, ok
}

// use takes n from a client's share, and returns how long the client has to wait then.
func (b *Broker) use(img *cluster.Image, kind quota.Kind, c Client, n float64) time.Duration {
	if len(img.Quotas) == 0 {
		return 0
	}
	key, rate, ok := b.share(img, kind, c)
	if !ok {
		return 0
	}
	return b.limiter.Use(key, rate, n)
}

// longestForTime bounds how long a client waits because of the time that its requests took: the window over which Kafka measures
// that time.
const longestForTime = time.Second

// useTime takes the time that r kept this broker busy from its client's share.
func (b *Broker) useTime(img *cluster.Image, r *Request) time.Duration {
	r.work.pause()
	return min(b.use(img, quota.Request, r.Client, float64(r.work.total)), longestForTime)
}

// millis rounds up: a client that waits as long as it is told has paid.
func millis(d time.Duration) int32 {
	return int32((d + time.Millisecond - 1) / time.Millisecond)
}

// stopwatch measures how long a request keeps the broker busy, which is what the request quota is about (KIP-124). What the
// request waits for, records or other brokers, does not count. A stopwatch belongs to one goroutine at a time.
type stopwatch struct {
	since time.Time // zero while paused
	total time.Duration
}

func (s *stopwatch) resume() { s.since = time.Now() }

func (s *stopwatch) pause() {
	if !s.since.IsZero() {
		s.total += time.Since(s.since)
		s.since = time.Time{}
	}
}

// workKey is the context key of the stopwatch of a request that is being answered.
type workKey struct{}

// timed returns a context that idle finds the stopwatch in.
func timed(ctx context.Context, s *stopwatch) context.Context {
	return context.WithValue(ctx, workKey{}, s)
}

// idle is to be called before a handler waits for somebody else, and what it returns, after.
func idle(ctx context.Context) (busy func()) {
	s, ok := ctx.Value(workKey{}).(*stopwatch)
	if !ok {
		return func() {}
	}
	s.pause()
	return s.resume
}

// Connect counts a new connection from an address, and returns for how long it is not to be served: 0, or when more connections
// are opened from there than its quota allows, until they are not.
func (d *Dispatcher) Connect(ip string) time.Duration {
	img := d.broker.Metadata.Image()
	if len(img.Quotas) == 0 {
		return 0
	}
	rate, ok := img.ConnectionQuota(ip)
	if !ok {
		return 0
	}
	key := quota.Key{Kind: quota.Connections, ClientID: ip}
	if wait := d.broker.limiter.Wait(key, rate); wait > 0 {
		return wait // what is refused does not count, as in Kafka
	}
	d.broker.limiter.Use(key, rate, 1)
	return 0
}
