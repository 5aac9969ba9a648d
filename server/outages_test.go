package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"balsa/log"
	"balsa/raft"
)

func TestOutagesSpreadAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := raft.GroupID{Topic: [16]byte{1}, Partition: 2}
		var broken atomic.Bool
		b := newOutages(2, func() []raft.GroupID { return nil }, slog.New(slog.DiscardHandler))
		start := func(own func() []raft.GroupID) (*outages, context.CancelFunc) {
			a := newOutages(1, own, slog.New(slog.DiscardHandler))
			ctx, cancel := context.WithCancel(context.Background())
			go a.run(ctx, func() []raft.NodeID { return []raft.NodeID{1, 2} },
				func(ctx context.Context, _ raft.NodeID, _ uint8, message []byte) ([]byte, error) {
					return b.serve(ctx, 1, message)
				})
			return a, cancel
		}
		a, stop := start(func() []raft.GroupID {
			if broken.Load() {
				return []raft.GroupID{bad}
			}
			return nil
		})
		time.Sleep(outagesInterval / 2)
		if b.has(1, bad) {
			t.Error("out of service before it is")
		}
		broken.Store(true)
		time.Sleep(outagesInterval)
		if !a.has(1, bad) || !b.has(1, bad) || b.has(2, bad) {
			t.Errorf("known to itself %v, to the other %v", a.has(1, bad), b.has(1, bad))
		}
		stop()
		_, stop = start(func() []raft.GroupID { return nil }) // the broker restarts, repaired
		time.Sleep(outagesInterval / 2)
		if b.has(1, bad) {
			t.Error("still out of service after the restart")
		}
		stop()
	})
}

// A broker that cannot be reached when there is news hears of it as soon as it can.
func TestOutagesReachWhoWasAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := raft.GroupID{Topic: [16]byte{1}, Partition: 2}
		var away atomic.Bool
		away.Store(true)
		b := newOutages(2, func() []raft.GroupID { return nil }, slog.New(slog.DiscardHandler))
		a := newOutages(1, func() []raft.GroupID { return []raft.GroupID{bad} }, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go a.run(ctx, func() []raft.NodeID { return []raft.NodeID{1, 2} },
			func(ctx context.Context, _ raft.NodeID, _ uint8, message []byte) ([]byte, error) {
				if away.Load() {
					return nil, raft.ErrUnreachable
				}
				return b.serve(ctx, 1, message)
			})
		time.Sleep(outagesInterval / 2)
		away.Store(false)
		time.Sleep(outagesInterval)
		if !b.has(1, bad) {
			t.Error("the broker that was away does not know yet")
		}
	})
}

// What a broker answered before it had news must not be taken for its news: the answer may be read after it.
func TestOutagesAnswerThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := raft.GroupID{Topic: [16]byte{1}, Partition: 2}
		var broken atomic.Bool
		broken.Store(true)
		nodes := map[raft.NodeID]*outages{}
		nodes[1] = newOutages(1, func() []raft.GroupID { return nil }, slog.New(slog.DiscardHandler))
		nodes[2] = newOutages(2, func() []raft.GroupID {
			if broken.Load() {
				return []raft.GroupID{bad}
			}
			return nil
		}, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		run := func(from raft.NodeID, late time.Duration) {
			go nodes[from].run(ctx, func() []raft.NodeID { return []raft.NodeID{1, 2} },
				func(ctx context.Context, to raft.NodeID, _ uint8, message []byte) ([]byte, error) {
					answer, err := nodes[to].serve(ctx, from, message)
					time.Sleep(late)
					return answer, err
				})
		}
		run(2, 0)
		time.Sleep(outagesInterval / 2)
		run(1, 3*outagesInterval) // it is told of the outage, and again of none before it reads the first answer
		time.Sleep(outagesInterval / 4)
		broken.Store(false)
		time.Sleep(10 * outagesInterval)
		if nodes[1].has(2, bad) {
			t.Error("still out of service when it is not any more")
		}
	})
}

// A broker that starts does not know the others yet: they hear from it when it does. One may have heard of an outage from its
// former process.
func TestOutagesReachWhoIsKnownLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := raft.GroupID{Topic: [16]byte{1}, Partition: 2}
		former := newOutages(1, nil, slog.New(slog.DiscardHandler))
		r, _ := former.report(map[raft.GroupID]log.Epoch{bad: 0})
		b := newOutages(2, func() []raft.GroupID { return nil }, slog.New(slog.DiscardHandler))
		if _, err := b.serve(t.Context(), 1, r.encode()); err != nil || !b.has(1, bad) {
			t.Fatal(err)
		}
		var known atomic.Bool
		a := newOutages(1, func() []raft.GroupID { return nil }, slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		calls := 0
		go a.run(ctx, func() []raft.NodeID {
			if known.Load() {
				return []raft.NodeID{1, 2}
			}
			return nil
		}, func(ctx context.Context, _ raft.NodeID, _ uint8, message []byte) ([]byte, error) {
			calls++
			return b.serve(ctx, 1, message)
		})
		time.Sleep(3 * outagesInterval)
		known.Store(true)
		time.Sleep(10 * outagesInterval)
		if b.has(1, bad) {
			t.Error("still out of service after the restart")
		}
		if calls != 1 {
			t.Errorf("told %d times, want once", calls)
		}
	})
}
