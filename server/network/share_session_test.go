package network

import (
	"context"
	"testing"
)

// What a member of a share group acquired is given back however its connection ends, and when nothing is in flight on it any more.
func TestShareSessionsEndWithTheConnection(t *testing.T) {
	for name, end := range map[string]func(l *Listener, c *client){
		"closed by the client": func(_ *Listener, c *client) { c.Close() },
		"reset": func(_ *Listener, c *client) {
			if err := c.SetLinger(0); err != nil {
				c.t.Error(err)
			}
			c.Close()
		},
		"closed for what it sent": func(_ *Listener, c *client) {
			if _, err := c.Write([]byte{0xff, 0xff, 0xff, 0xff}); err != nil {
				c.t.Error(err)
			}
		},
		"closed while it waits": func(_ *Listener, c *client) {
			again := shareFetchRequest("m", 1<<30)
			again.ShareSessionEpoch, again.Topics = 1, nil
			c.send(2, again)
			c.Close()
		},
		"shut down": func(l *Listener, c *client) {
			if err := l.Shutdown(context.Background()); err != nil {
				c.t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFakeBroker()
			b.onWatch = func() {}
			l, address, _ := serve(t, b, nil)
			c := dial(t, address)
			c.send(1, shareFetchRequest("m", 0))
			c.receive()
			select {
			case member := <-b.released:
				t.Fatalf("%s was released while connected", member)
			default:
			}
			end(l, c)
			if got := <-b.released; got != "m" {
				t.Errorf("released %q", got)
			}
		})
	}
}
