package raft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"balsa/log/batch"
)

// spaces gives the leader and its followers some space, and waits until the leader knows.
func (c *testCluster) spaces(leader *testNode, own Space, want Space, others ...Space) {
	c.t.Helper()
	leader.space.Store(uint32(own))
	i := 0
	for _, n := range c.nodes {
		if n != leader {
			n.space.Store(uint32(others[i]))
			i++
		}
	}
	eventually(c.t, fmt.Sprintf("the leader has space %v, the others %v: %v in all", own, others, want), func() bool {
		for _, n := range c.nodes {
			if n != leader && Space(leader.host.peer(n.id).beats.space.Load()) != Space(n.space.Load()) {
				return false
			}
		}
		return leader.group.Space() == want
	})
}

// try proposes an entry and returns what became of it, an error when that takes too long.
func (n *testNode) try(kind batch.Kind, payload []byte, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return n.group.Propose(kind, payload).Wait(ctx)
}

func oneRecord(value string) []byte { return batch.Build([][]byte{[]byte(value)}, 1) }

// What a group's leader may write depends on what a majority has room for, and what it lets pass gets through on every disk:
// an entry that followers refuse would hold up all behind it, also what frees space.
func TestFullDisks(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	want := c.write("a", 3)
	leader := c.leader()
	const soon, enough = 200 * time.Millisecond, 10 * time.Second

	c.spaces(leader, SpaceAmple, SpaceAmple, SpaceCritical, SpaceAmple) // one full disk does not keep the others from going on
	if err := leader.try(batch.KindData, oneRecord("b"), enough); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Space{SpaceLow, SpaceScarce} {
		for _, own := range []Space{s, SpaceAmple} {
			c.spaces(leader, own, s, s, s)
			if err := leader.try(batch.KindData, oneRecord("c"), enough); err != nil {
				t.Fatalf("dead letters and markers get through while space is %v: %v", s, err)
			}
		}
	}
	c.spaces(leader, SpaceAmple, SpaceCritical, SpaceCritical, SpaceCritical)
	start := binary.BigEndian.AppendUint64(nil, 1)
	if err := leader.try(batch.KindLogStart, start, enough); err != nil {
		t.Fatalf("internal entries get through on full disks: %v", err)
	}
	if err := leader.try(batch.KindData, oneRecord("d"), soon); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("records were replicated to full disks: %v", err)
	}
	c.spaces(leader, SpaceAmple, SpaceAmple, SpaceAmple, SpaceAmple)
	want = append(want, "b", "c", "c", "c", "c", "d")
	for _, n := range c.nodes {
		eventually(t, fmt.Sprintf("node %d has all", n.id), func() bool {
			_, values := n.content()
			return fmt.Sprint(values) == fmt.Sprint(want)
		})
	}
}

// A follower whose disk is full takes nothing while the others have room: it keeps its reserve.
func TestFullDiskOfOneFollower(t *testing.T) {
	c := newTestCluster(t, 3, everyAppend)
	c.write("a", 3)
	leader := c.leader()
	full := c.nodes[leader.id%3]
	eventually(t, "all have the beginning", func() bool { return full.plog.LastIndex() == leader.plog.LastIndex() })
	last := full.plog.LastIndex()
	for _, n := range c.nodes {
		if n == full {
			n.space.Store(uint32(SpaceLow))
		}
	}
	eventually(t, "the leader knows", func() bool { return leader.host.lowPeers.Load() == 1 })
	c.write("b", 3)
	if got := full.plog.LastIndex(); got != last || leader.group.Space() != SpaceAmple {
		t.Errorf("the full follower took entries %d to %d; the group's space is %v", last, got, leader.group.Space())
	}
	other := c.nodes[(leader.id+1)%3]
	other.stop() // now nothing is committed without the full one
	eventually(t, "the leader counts on the full one", func() bool { return leader.group.Space() == SpaceLow })
	if err := leader.try(batch.KindNoop, nil, 20*time.Second); err != nil {
		t.Error(err)
	}
}
