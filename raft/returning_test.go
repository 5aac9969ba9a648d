package raft

import (
	"context"
	"maps"
	"testing"
	"time"

	"balsa/log/batch"
)

// putOne writes one record; a nil value is a tombstone.
func (c *keyedCluster) putOne(key string, value []byte) {
	c.t.Helper()
	for {
		b, err := batch.BuildRecords([]batch.Record{{Timestamp: 1, Key: []byte(key), Value: value}}, batch.BuildOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		if c.leader().group.Propose(batch.KindData, b).Wait(context.Background()) == nil {
			break
		}
	}
	if c.latest[key] = string(value); value == nil {
		delete(c.latest, key)
	}
}

// dropTombstones compacts the nodes' logs as partitions do: first all of them, then once more without the tombstones.
func (c *keyedCluster) dropTombstones(nodes ...*testNode) {
	c.t.Helper()
	for range 2 {
		for _, n := range nodes {
			c.caughtUp(n)
			n.compactBelow(n.plog.NextOffset(), n.plog.CleanedTo())
		}
		c.put(500, 3)
	}
	for _, n := range nodes {
		c.caughtUp(n)
		n.machine.compacted.Store(true)
	}
}

// known returns what a reader of the node's log from offset 0 knows in the end.
func (n *testNode) known() map[string]string {
	n.c.t.Helper()
	seen := map[string]string{}
	for i := n.plog.FirstIndex(); i <= n.plog.LastIndex(); i++ {
		b, err := n.plog.Entry(i)
		if err != nil {
			n.c.t.Fatal(err)
		}
		if b.IsInternal() {
			continue
		}
		for r := b.Records(1 << 20); r.Next(); {
			if rec := r.Record(); rec.Value == nil {
				delete(seen, string(rec.Key))
			} else {
				seen[string(rec.Key)] = string(rec.Value)
			}
		}
	}
	return seen
}

// A replica that was removed while its node was down, and is wanted back, has records whose tombstones are gone: nobody asked it, as it
// was no member. It must not go on where its log ends, or they come back.
func TestReturningReplicaBringsNothingBack(t *testing.T) {
	for name, target := range map[string][]NodeID{"moved": {1, 2, 4}, "shrunk": {1, 2}} {
		t.Run(name, func(t *testing.T) {
			c := newKeyedCluster(t, 4, 3, 7)
			c.putOne("deleted", []byte("value"))
			c.put(1000, 3)
			returning := c.nodes[2]
			c.caughtUp(returning)
			returning.stop()
			c.drive(target...)
			c.putOne("deleted", nil)
			c.put(1000, 3)
			var others []*testNode
			for _, id := range target {
				others = append(others, c.nodes[id-1])
			}
			c.dropTombstones(others...)
			returning.start()
			c.drive(1, 2, 3)
			c.caughtUp(returning)
			if got := returning.known(); !maps.Equal(got, c.latest) {
				t.Errorf("a reader knows\n%v, want\n%v", got, c.latest)
			}
			if returning.group.Joining() {
				t.Error("it still joins")
			}
			c.put(10, 3)
			returning.stop()
			returning.start()
			c.agreeFinally()
		})
	}
}

// agreeFinally checks what readers of all running members know in the end.
func (c *keyedCluster) agreeFinally() {
	c.t.Helper()
	for _, m := range c.leader().group.Members() {
		n := c.nodes[m.Node-1]
		c.caughtUp(n)
		if got := n.known(); !maps.Equal(got, c.latest) {
			c.t.Errorf("a reader of node %d knows\n%v, want\n%v", n.id, got, c.latest)
		}
	}
}

// The log of a group that never lost an entry is gone on with.
func TestReturningReplicaGoesOn(t *testing.T) {
	c := newKeyedCluster(t, 4, 3, 8)
	c.put(500, 500)
	c.drive(1, 2, 4)
	life := c.nodes[2].group.joiner.life
	c.drive(1, 2, 3)
	if got := c.nodes[2].group.joiner.life; got != life || life == 0 {
		t.Errorf("life %016x, was %016x", got, life)
	}
	c.agreeFinally()
}

// An order to begin anew is for one life only: one that comes late must not hit a member.
func TestRebuildIsForOneLife(t *testing.T) {
	c := newKeyedCluster(t, 3, 3, 9)
	c.put(10, 3)
	leader, other := c.leader(), c.follower()
	c.caughtUp(other)
	ask := func(life uint64) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := leader.host.Call(ctx, other.id, memberService, memberRequest(memberRebuild, c.id, life))
		return err
	}
	if ask(other.group.joiner.life+2) == nil {
		t.Error("a replica obeyed an order that was for another life")
	}
	if other.plog.LastIndex() == 0 {
		t.Error("its log is gone")
	}
	if err := leader.group.rebuild(t.Context(), step{kind: stepRebuild, node: other.id, life: other.group.joiner.life}); err == nil {
		t.Error("a leader had a voter rebuilt")
	}
	stopped := other.group.joiner.life
	other.stop()
	other.start()
	if ask(stopped) == nil {
		t.Error("a replica obeyed an order from before its restart")
	}
}

// Damaged implements Repairer: nothing is.
func (n *testNode) Damaged(GroupID) (uint64, bool) { return 0, false }

// Rebuild implements Repairer.
func (n *testNode) Rebuild(_ context.Context, id GroupID, life uint64) error {
	if err := n.group.Close(); err != nil {
		return err
	}
	if err := n.plog.Close(); err != nil {
		return err
	}
	if err := n.fs.RemoveAll("log"); err != nil {
		return err
	}
	if err := n.host.Leave(id); err != nil {
		return err
	}
	n.open()
	return nil
}
