package handler

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/server/quota"
)

// mutations has one request that creates or deletes partitions pay for them (KIP-599): a token for each partition. With strict,
// which the latest versions of these requests ask for by being what they are, a client that has not paid yet for what it did
// before gets THROTTLING_QUOTA_EXCEEDED; otherwise it gets what it wants, and waits afterwards.
type mutations struct {
	broker  *Broker
	key     quota.Key
	rate    float64
	limited bool
	strict  bool
}

// mutations begins to account for a request. One that only validates is free.
func (b *Broker) mutations(c Client, strict, free bool) *mutations {
	m := &mutations{broker: b, strict: strict}
	if img := b.Metadata.Image(); !free && len(img.Quotas) > 0 {
		m.key, m.rate, m.limited = b.share(img, quota.Mutation, c)
	}
	return m
}

// admit takes the tokens for n partitions, or says that the client has to wait.
func (m *mutations) admit(n int) bool {
	switch {
	case !m.limited:
		return true
	case m.strict && m.broker.limiter.Wait(m.key, m.rate) > 0:
		return false
	}
	m.broker.limiter.Use(m.key, m.rate, float64(n))
	return true
}

// giveBack returns the tokens for n partitions that were not changed after all.
func (m *mutations) giveBack(n int) {
	if m.limited {
		m.broker.limiter.Use(m.key, m.rate, -float64(n))
	}
}

// throttle returns what the answer says about how long the client has to wait, in ms; at least atLeast, which is what others want.
func (m *mutations) throttle(atLeast int32) int32 {
	if !m.limited {
		return atLeast
	}
	return max(atLeast, millis(min(m.broker.limiter.Wait(m.key, m.rate), time.Hour)))
}

// overQuota is the answer for what was not admitted.
func overQuota() (code int16, message *string) {
	text := kerr.ThrottlingQuotaExceeded.Description
	return kerr.ThrottlingQuotaExceeded.Code, &text
}
