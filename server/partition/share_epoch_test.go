package partition

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/server/share"
)

// What a coordinator asked for, and what comes of it only when it has asked for something else since, or another coordinator has,
// changes nothing: neither is the state of a group lost that was made anew, nor does one come back that nobody remembers.
func TestShareRequestsOutOfOrder(t *testing.T) {
	f := newFixture(t, map[string]string{"cleanup.policy": "ack"})
	ctx := t.Context()
	epoch := func(term, number int64) share.Epoch { return share.Epoch{Shard: 3, Term: term, Number: number} }
	late := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, kerr.FencedStateEpoch) {
			t.Errorf("%s: %v, want FENCED_STATE_EPOCH", what, err)
		}
	}
	f.must(f.partition().ShareInitialize(ctx, group, epoch(1, 1)))
	f.must(f.partition().ShareDelete(ctx, group, epoch(1, 5)))
	for range 2 {
		late("an initialisation from before the deletion", f.partition().ShareInitialize(ctx, group, epoch(1, 4)))
		late("a reset from before the deletion", f.partition().ShareReset(ctx, group, epoch(1, 4), 0))
		if _, err := f.partition().ShareState(group, 0); !errors.Is(err, kerr.GroupIDNotFound) {
			t.Fatalf("the group has a state: %v", err)
		}
		f.must(f.partition().ShareDelete(ctx, group, epoch(1, 4))) // there is nothing to delete
		f.stop()
		f.start()
	}
	f.must(f.partition().ShareInitialize(ctx, group, epoch(2, 1))) // by the next coordinator
	f.enqueue(value("a"), value("b"))
	f.want("first", f.receive("m", 1), "a/1")
	f.must(f.acknowledge("m", share.Accept, 0, 0))
	for range 2 {
		late("a deletion of the former coordinator", f.partition().ShareDelete(ctx, group, epoch(1, 6)))
		late("a reset of the former coordinator", f.partition().ShareReset(ctx, group, epoch(1, 7), 0))
		f.must(f.partition().ShareInitialize(ctx, group, epoch(2, 1)))
		f.wantStart(1)
		f.must(f.manager.Close())
		f.must(f.host.Close())
		f.start()
	}
	f.must(f.partition().ShareReset(ctx, group, epoch(2, 3), 0))
	late("a reset from before another", f.partition().ShareReset(ctx, group, epoch(2, 2), 1))
	f.want("again", f.receive("m", 1), "a/1")
	f.must(f.partition().ShareInitialize(ctx, group, epoch(2, 5)))
	late("a deletion from before it was asked for again", f.partition().ShareDelete(ctx, group, epoch(2, 4)))
	f.must(f.partition().ShareDelete(ctx, group, share.Epoch{Shard: 4, Term: 1, Number: 1})) // shards have no order
}

// It counts what is on its way, too.
func TestShareRequestsAtOnce(t *testing.T) {
	f := newQueue(t, nil, nil)
	p := f.partition()
	epoch := func(number int64) share.Epoch { return share.Epoch{Shard: 3, Term: 1, Number: number} }
	for round := range int64(50) {
		done := make(chan error, 2)
		n := 10 * round
		go func() { done <- p.ShareDelete(context.Background(), group, epoch(n+1)) }()
		go func() { done <- p.ShareInitialize(context.Background(), group, epoch(n+2)) }()
		for range 2 {
			if err := <-done; err != nil && !errors.Is(err, kerr.FencedStateEpoch) {
				t.Fatal(err)
			}
		}
		f.wantStart(0)
		p.shares.mu.Lock()
		if len(p.shares.asked) > 1 {
			t.Errorf("%d are said to be on their way", len(p.shares.asked))
		}
		p.shares.mu.Unlock()
	}
}
