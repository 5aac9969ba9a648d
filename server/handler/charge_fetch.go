package handler

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/protocol"
	"balsa/server/quota"
)

// fetchShare returns how long a client has to wait until it may fetch again, and how many bytes it may fetch at once.
//
// Kafka takes no fetch that would go beyond the quota. Here one may, and pays afterwards: a batch that is larger than the
// quota allows at once gets through, and nothing is read twice.
func (b *Broker) fetchShare(r *Request) (wait time.Duration, most int) {
	img := b.Metadata.Image()
	most = b.FetchMaxBytes
	if len(img.Quotas) == 0 {
		return 0, most
	}
	key, rate, ok := b.share(img, quota.Fetch, r.Client)
	if !ok {
		return 0, most
	}
	if burst := quota.Burst(rate); burst < float64(most) {
		most = int(burst)
	}
	return b.limiter.Wait(key, rate), most
}

// chargeFetch makes the client pay for a fetch of so many bytes of records, and returns how long it has to wait then.
func (b *Broker) chargeFetch(r *Request, bytes int64) time.Duration {
	r.charged = true
	img := b.Metadata.Image()
	if len(img.Quotas) == 0 {
		return 0
	}
	return max(b.use(img, quota.Fetch, r.Client, float64(bytes)), b.useTime(img, r))
}

// throttledFetch answers a fetch that has to wait with no records at all. As in Kafka, a client that wanted to open a session is
// answered without one, because the answer to that would have to name all of its partitions.
func (b *Broker) throttledFetch(r *Request, fc *fetchContext, wait time.Duration) Reply {
	req, _ := r.Body.(*kmsg.FetchRequest)
	resp := protocol.FetchResponse{Version: req.Version, SessionID: fc.id}
	if fc.full {
		fc.abandon()
		resp.SessionID = noSession
	}
	wait = max(wait, b.chargeFetch(r, 0))
	resp.ThrottleMillis = millis(wait)
	frame, _, _ := protocol.AppendFetchResponse(nil, r.Header.CorrelationID, &resp)
	return Reply{Frame: frame, Throttle: wait}
}

// abandon forgets the session that was opened with c.
func (c *fetchContext) abandon() {
	if c.id == noSession {
		return
	}
	c.cache.mu.Lock()
	defer c.cache.mu.Unlock()
	c.cache.drop(c.cache.sessions[c.id])
}
