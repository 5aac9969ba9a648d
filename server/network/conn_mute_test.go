package network

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/server/cluster"
	"balsa/server/quota"
)

func TestMute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting, leave := context.WithCancel(t.Context())
		c := &conn{waiting: waiting}
		begin := time.Now()
		if err := c.unmuted(); err != nil || time.Since(begin) != 0 {
			t.Errorf("never muted: %v after %v", err, time.Since(begin))
		}
		c.mute.extend(time.Second)
		c.mute.extend(time.Millisecond) // shorter than what is left
		c.mute.extend(0)
		time.AfterFunc(500*time.Millisecond, func() { c.mute.extend(2 * time.Second) })
		if err := c.unmuted(); err != nil || time.Since(begin) != 2500*time.Millisecond {
			t.Errorf("%v after %v, want 2.5 s", err, time.Since(begin))
		}
		c.mute.extend(time.Hour)
		time.AfterFunc(time.Second, leave)
		if err := c.unmuted(); !errors.Is(err, context.Canceled) || time.Since(begin) != 3500*time.Millisecond {
			t.Errorf("%v after %v, want to be told to leave after 3.5 s", err, time.Since(begin))
		}
	})
}

// TestThrottledConnection: the client is told how long to wait, and one that does not wait is not read from for as long.
func TestThrottledConnection(t *testing.T) {
	b := newFakeBroker()
	e := cluster.QuotaEntity{User: cluster.QuotaName{Match: cluster.QuotaNamed, Name: "ANONYMOUS"}}
	req := produceRequest(-1, 10)
	size := float64(len(encode(req, 1)) - 4)
	b.image.Quotas[e] = map[string]float64{cluster.QuotaProduceRate: size / 10.1}
	_, address, _ := serve(t, b, nil)
	c := dial(t, address)
	c.send(1, req)
	_, body := c.receive()
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	if resp.IsFlexible() {
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	if resp.ThrottleMillis < 50 || resp.ThrottleMillis > 101 {
		t.Fatalf("throttled for %d ms, want about 100", resp.ThrottleMillis)
	}
	begin := time.Now()
	c.send(2, versionsRequest())
	c.receive()
	if d := time.Since(begin); d < time.Duration(resp.ThrottleMillis-20)*time.Millisecond {
		t.Errorf("answered after %v although muted for %d ms", d, resp.ThrottleMillis)
	}
}

// TestChangedLimits: limits of connections count as soon as they change.
func TestChangedLimits(t *testing.T) {
	var limits atomic.Pointer[ConnectionLimits]
	limits.Store(&ConnectionLimits{All: 1, PerIP: 10, PerSecond: 1000})
	l, address, _ := serve(t, newFakeBroker(), func(c *ListenerConfig) {
		c.Limits = func() ConnectionLimits { return *limits.Load() }
	})
	answered := func() bool {
		c := dial(t, address)
		c.send(1, versionsRequest())
		_, _, err := receive(c)
		return err == nil
	}
	if !answered() || answered() {
		t.Error("one connection is allowed")
	}
	limits.Store(&ConnectionLimits{All: 2, PerIP: 10, PerSecond: 1000})
	if !answered() || answered() {
		t.Error("two connections are allowed")
	}
	limits.Store(&ConnectionLimits{All: 10, PerIP: 2, PerSecond: 1000})
	if answered() {
		t.Error("two connections of an address are allowed")
	}
	until(func() bool { return l.Connections() == 2 })
}

// TestPace: connections beyond the rate are accepted later, not refused.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Listener{accepted: quota.NewLimiter(time.Now)}
		var cancel context.CancelFunc
		l.ctx, cancel = context.WithCancel(t.Context())
		begin := time.Now()
		for range 120 { // 100 at once, and the others one every 100 ms
			if !l.pace(10) {
				t.Fatal("closed")
			}
		}
		if d := time.Since(begin); d.Round(time.Millisecond) != 2*time.Second {
			t.Errorf("120 connections in %v at 10 per second", d)
		}
		if l.pace(math.Inf(1)); time.Since(begin).Round(time.Millisecond) != 2*time.Second {
			t.Error("waited without a limit")
		}
		time.AfterFunc(time.Millisecond, cancel)
		if l.pace(0.001) {
			t.Error("goes on although the listener closed")
		}
	})
}

// TestTooManyConnections: what an address opens beyond its quota is closed without an answer.
func TestTooManyConnections(t *testing.T) {
	b := newFakeBroker()
	e := cluster.QuotaEntity{IP: cluster.QuotaName{Match: cluster.QuotaDefault}}
	b.image.Quotas[e] = map[string]float64{cluster.QuotaConnectionRate: 0.2} // 2 at once; the third overdraws
	l, address, _ := serve(t, b, nil)
	for i := range 3 {
		c := dial(t, address)
		c.send(1, versionsRequest())
		if _, _, err := receive(c); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	c := dial(t, address)
	if _, _, err := receive(c); err == nil {
		t.Error("a connection beyond the quota was answered")
	}
	until(func() bool { return l.Connections() <= 3 })
}
