package raft

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"balsa/log"
	"balsa/log/batch"
)

// keyedCluster is a group whose log has records with keys, so that it can be compacted.
type keyedCluster struct {
	*testCluster
	rnd    *rand.Rand
	latest map[string]string // of each key, as it was acknowledged
}

func newKeyedCluster(t *testing.T, size, founders int, seed uint64) *keyedCluster {
	t.Helper()
	conf := log.Config{SegmentBytes: 20_000, IndexIntervalBytes: 1000, FlushEveryAppend: true}
	return &keyedCluster{newGrowingCluster(t, size, founders, conf), rand.New(rand.NewPCG(seed, 1)), map[string]string{}}
}

// put writes records of so many keys, many at a time.
func (c *keyedCluster) put(count, keys int) {
	c.t.Helper()
	for count > 0 {
		names := make([]string, min(count, 500))
		for i := range names {
			names[i] = fmt.Sprint("key-", c.rnd.IntN(keys))
		}
		for !c.putAll(names) { // what became of each record is not known: later ones supersede them
		}
		count -= len(names)
	}
}

// putAll writes a record of each key; false when leadership went meanwhile.
func (c *keyedCluster) putAll(keys []string) bool {
	c.t.Helper()
	leader := c.leader()
	var all []*Proposal
	written := maps.Clone(c.latest)
	for _, key := range keys {
		value := fmt.Sprint("value-", c.rnd.Uint64())
		b, err := batch.BuildRecords([]batch.Record{{Timestamp: 1, Key: []byte(key), Value: []byte(value)}}, batch.BuildOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
		written[key] = value
		all = append(all, leader.group.Propose(batch.KindData, b))
	}
	for _, p := range all {
		if err := p.Wait(context.Background()); err != nil {
			c.t.Logf("write again: %v", err)
			return false
		}
	}
	c.latest = written
	return true
}

// compact compacts a node's log as far as it is committed, or up to an earlier offset.
func (n *testNode) compact(to log.Offset) log.Compacted { return n.compactBelow(to, 0) }

// compactBelow compacts up to an offset, and drops tombstones below another one.
func (n *testNode) compactBelow(to, dropTo log.Offset) log.Compacted {
	n.c.t.Helper()
	if err := n.group.Checkpoint(); err != nil {
		n.c.t.Fatal(err)
	}
	args := log.CompactArgs{To: to, DropTo: dropTo, Buffer: 1 << 20}
	done, err := n.plog.Compact(context.Background(), args)
	if err != nil {
		// What compaction rolled off the active segment has a checkpoint now.
		if err := n.group.Checkpoint(); err != nil {
			n.c.t.Fatal(err)
		}
		if done, err = n.plog.Compact(context.Background(), args); err != nil {
			n.c.t.Fatalf("node %d: %v", n.id, err)
		}
	}
	return done
}

// caughtUp waits until a node has and has applied what the leader has.
func (c *keyedCluster) caughtUp(n *testNode) {
	c.t.Helper()
	leader := c.leader()
	eventually(c.t, fmt.Sprintf("node %d has caught up", n.id), func() bool {
		return n.plog.LastIndex() == leader.plog.LastIndex() &&
			n.group.state.store.applied.Load() >= leader.group.state.store.applied.Load()
	})
}

// agree checks that all running nodes tell a reader the same in the end, that each entry has one term and one place among the
// offsets on all of them, and that no node applied an entry twice or out of order.
func (c *keyedCluster) agree() {
	c.t.Helper()
	type place struct {
		epoch log.Epoch
		base  log.Offset
		next  log.Offset
	}
	places := map[log.Index]place{}
	epochs := map[log.Index]log.Epoch{}
	leader := c.leader()
	for _, n := range c.nodes {
		if n.host == nil {
			continue
		}
		c.caughtUp(n)
		if n.plog.NextOffset() != leader.plog.NextOffset() {
			c.t.Fatalf("node %d ends at offset %d, the leader at %d", n.id, n.plog.NextOffset(), leader.plog.NextOffset())
		}
		seen := map[string]string{}
		for i := n.plog.FirstIndex(); i <= n.plog.LastIndex(); i++ {
			b, err := n.plog.Entry(i)
			if err != nil {
				c.t.Fatalf("node %d, entry %d: %v", n.id, i, err)
			}
			h := b.Header()
			if e, ok := epochs[i]; ok && e != h.Epoch {
				c.t.Fatalf("entry %d has epoch %d on node %d, and %d elsewhere", i, h.Epoch, n.id, e)
			}
			epochs[i] = h.Epoch
			if h.Kind == batch.KindGap {
				continue
			}
			p := place{h.Epoch, h.BaseOffset, h.NextOffset()}
			if q, ok := places[i]; ok && p != q {
				c.t.Fatalf("entry %d is %+v on node %d, and %+v elsewhere", i, p, n.id, q)
			}
			places[i] = p
			for r := b.Records(1 << 20); r.Next(); {
				rec := r.Record()
				seen[string(rec.Key)] = string(rec.Value)
			}
		}
		if !maps.Equal(seen, c.latest) {
			c.t.Fatalf("node %d: a reader knows %d keys, want %d:\n%v\n%v", n.id, len(seen), len(c.latest), seen, c.latest)
		}
		n.machine.inOrder(c.t)
	}
}

// inOrder checks what was applied: offsets never fall, and no entry but gaps comes twice.
func (r *recorder) inOrder(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var last appliedEntry
	for _, e := range r.applied {
		if e.kind != batch.KindGap && (e.index <= last.index || e.base < last.next && e.kind == batch.KindData) {
			t.Fatalf("applied %+v after %+v", e, last)
		}
		if e.kind != batch.KindGap {
			last = e
		}
	}
}

func (c *keyedCluster) transfer(to *testNode) {
	c.t.Helper()
	for c.leader() != to {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := c.leader().group.TransferLeadership(ctx, to.id); err != nil {
			c.t.Logf("transfer: %v", err)
		}
		cancel()
		eventually(c.t, "somebody leads", func() bool { return c.leader() != nil })
	}
}

// TestFollowerCatchesUpThroughGaps compacts the logs of two nodes while the third is down, in a different way each: what it lacks
// is then in gaps, the first of which began before it stopped, and one of which is larger than a request.
func TestFollowerCatchesUpThroughGaps(t *testing.T) {
	c := newKeyedCluster(t, 3, 3, 1)
	c.put(700, 300)
	late := c.follower()
	c.caughtUp(late)
	late.stop()
	c.put(2000, 150)
	c.put(6000, 5) // a run that is gone but for its end
	c.put(500, 150)
	leader := c.leader()
	for _, n := range c.nodes {
		if n != late {
			c.caughtUp(n)
			to := n.plog.NextOffset()
			if n != leader {
				to -= 4000
			}
			if done := n.compact(to); done.BytesAfter*2 > done.BytesBefore {
				t.Errorf("node %d: compacted %d bytes to %d", n.id, done.BytesBefore, done.BytesAfter)
			}
		}
	}
	late.start()
	c.agree()
	c.put(100, 20)
	c.agree()
	late.compact(late.plog.NextOffset())
	c.agree()
	c.transfer(late) // what it got in gaps it can pass on
	c.put(100, 20)
	c.agree()
	for _, n := range c.nodes {
		n.stop()
		n.start()
	}
	c.agree()
}

// TestRestartsAmongGaps stops a follower again and again while it catches up, and moves the leadership to a node whose gaps are others.
func TestRestartsAmongGaps(t *testing.T) {
	for seed := range uint64(3) {
		c := newKeyedCluster(t, 3, 3, seed)
		c.put(300, 100)
		late := c.follower()
		c.caughtUp(late)
		late.stop()
		c.put(5000, 40)
		c.put(100, 100)
		for k, n := range c.nodes {
			if n != late {
				c.caughtUp(n)
				n.compact(n.plog.NextOffset() - log.Offset(k*1500))
			}
		}
		for round := range 6 {
			late.start()
			at, want := late.plog.LastIndex(), log.Index(c.rnd.IntN(1500))
			eventually(t, "some entries have come", func() bool {
				return late.plog.LastIndex() >= min(at+want, c.leader().plog.LastIndex())
			})
			late.stop()
			if round == 2 {
				for _, n := range c.nodes {
					if n != late && n != c.leader() {
						c.transfer(n)
						break
					}
				}
			}
		}
		late.start()
		c.agree()
		c.put(50, 20)
		c.agree()
		for _, n := range c.nodes {
			n.stop()
		}
	}
}

// TestJoinFromCompactedLog has a node join whose leader has compacted its whole log, configurations of the group among it, and
// lets it lead.
func TestJoinFromCompactedLog(t *testing.T) {
	c := newKeyedCluster(t, 4, 3, 4)
	c.put(3000, 30)
	for _, n := range c.nodes[:3] {
		c.caughtUp(n)
		n.compact(n.plog.NextOffset())
	}
	c.drive(1, 2, 4)
	c.nodes[2].stop()
	c.put(1000, 10)
	for _, n := range []*testNode{c.nodes[0], c.nodes[1], c.nodes[3]} {
		c.caughtUp(n)
		n.compact(n.plog.NextOffset())
	}
	c.agree()
	c.transfer(c.nodes[3])
	c.put(100, 10)
	c.nodes[3].stop()
	c.nodes[3].start()
	c.members(1, 2, 4)
	c.agree()
}
