package raft

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"

	"balsa/log"
	"balsa/log/batch"
	"balsa/log/vfs"
)

// withFaults puts a Fault under the logs of a new cluster's nodes.
func withFaults(t *testing.T, size int, conf log.Config) (*testCluster, []*vfs.Fault) {
	t.Helper()
	c := newTestCluster(t, size, conf)
	var faults []*vfs.Fault
	for _, n := range c.nodes {
		n.stop()
		f := vfs.NewFault(n.fs, nil)
		n.fs = f
		faults = append(faults, f)
	}
	for _, n := range c.nodes {
		n.start()
	}
	return c, faults
}

// Every byte of a record is written once per node, to one file: the log is its own Raft log.
func TestRecordsAreWrittenOncePerNode(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	type written struct{ segments, other int64 }
	var mu sync.Mutex
	counts := make([]written, len(faults))
	for i, f := range faults {
		f.SetRule(func(op vfs.Op) vfs.Verdict {
			if op.Kind == vfs.OpWrite {
				mu.Lock()
				defer mu.Unlock()
				if strings.HasSuffix(op.Path, ".log") {
					counts[i].segments += int64(op.Bytes)
				} else {
					counts[i].other += int64(op.Bytes)
				}
			}
			return vfs.Verdict{}
		})
	}
	before := make([]int64, len(c.nodes))
	for i, n := range c.nodes {
		before[i] = n.plog.Size()
	}
	value := make([]byte, 16<<10)
	for range 200 {
		b := batch.Build([][]byte{value}, 1)
		if err := c.leader().group.Propose(batch.KindData, b).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	leader := c.leader()
	for i, n := range c.nodes {
		eventually(t, "the follower caught up", func() bool { return n.plog.LastIndex() == leader.plog.LastIndex() })
		mu.Lock()
		if got, want := counts[i].segments, n.plog.Size()-before[i]; got != want {
			t.Errorf("node %d: %d bytes written to segments for %d bytes of log", n.id, got, want)
		}
		if got, most := counts[i].other, n.plog.Size()/20; got > most {
			t.Errorf("node %d: %d bytes written beside the segments", n.id, got)
		}
		mu.Unlock()
	}
}

// After a failed fsync the kernel may have dropped what it could not write, and the next fsync may succeed all the same:
// the replica must never acknowledge again, and the others go on.
func TestFailedFsyncTakesTheReplicaOut(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	want := c.write("a", 10)
	victim := c.leader()
	var once sync.Once
	faults[victim.id-1].SetRule(func(op vfs.Op) vfs.Verdict {
		var v vfs.Verdict
		if op.Kind == vfs.OpSync && strings.HasSuffix(op.Path, ".log") {
			once.Do(func() { v.Err = syscall.EIO })
		}
		return v
	})
	err := victim.group.Propose(batch.KindData, batch.Build([][]byte{[]byte("maybe")}, 1)).Wait(context.Background())
	if err == nil {
		t.Error("an append whose fsync failed was acknowledged")
	}
	if victim.plog.Failed() == nil {
		t.Fatal("the fault did not fire")
	}
	eventually(t, "the replica stopped", func() bool { return victim.group.Leadership().Leader == NoNode })
	err = victim.group.Propose(batch.KindData, batch.Build([][]byte{[]byte("no")}, 1)).Wait(context.Background())
	if err == nil {
		t.Error("the failed replica took another entry")
	}
	want = append(want, c.write("b", 10)...)
	_, values := c.leader().content()
	if len(values) < len(want) || values[len(values)-1] != "b-9" {
		t.Errorf("the others have %d values, want at least %d", len(values), len(want))
	}
}

// On a full disk nothing is written in part, the error tells, and writing resumes when space is back.
func TestFullDiskOnTheLeader(t *testing.T) {
	c, faults := withFaults(t, 1, everyAppend)
	want := c.write("a", 5)
	var full sync.Map
	full.Store("full", true)
	fired := 0
	var mu sync.Mutex
	faults[0].SetRule(func(op vfs.Op) vfs.Verdict {
		if isFull, _ := full.Load("full"); isFull == true && op.Kind == vfs.OpWrite && strings.HasSuffix(op.Path, ".log") {
			mu.Lock()
			fired++
			mu.Unlock()
			return vfs.Verdict{Err: vfs.ErrNoSpace, Written: op.Bytes / 2}
		}
		return vfs.Verdict{}
	})
	leader := c.leader()
	err := leader.group.Propose(batch.KindData, batch.Build([][]byte{[]byte("x")}, 1)).Wait(context.Background())
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("err = %v, want ENOSPC", err)
	}
	err = leader.group.Propose(batch.KindData, batch.Build([][]byte{[]byte("y")}, 1)).Wait(context.Background())
	if err == nil {
		t.Error("a write succeeded on a full disk")
	}
	mu.Lock()
	if fired == 0 {
		t.Fatal("the fault did not fire")
	}
	mu.Unlock()
	full.Store("full", false)
	want = append(want, c.write("b", 5)...)
	if _, values := c.leader().content(); len(values) != len(want) {
		t.Errorf("got %v, want %v", values, want)
	}
}

// A bit that flips on the way between two nodes, or in the leader's page cache, must not reach the follower's disk.
func TestDamagedEntriesAreNotTaken(t *testing.T) {
	c, faults := withFaults(t, 3, everyAppend)
	want := c.write("a", 3)
	c.same(want)
	leader := c.leader()
	segment := path.Join("log", "00000000000000000000.log")
	f, err := faults[leader.id-1].OpenFile(segment, false)
	if err != nil {
		t.Fatal(err)
	}
	var behind *testNode
	for _, n := range c.nodes {
		if n != leader {
			behind = n
		}
	}
	behind.stop()
	position := leader.plog.Size()
	lost := c.write("b", 1)
	if c.leader() != leader {
		t.Skip("leadership moved by itself: nothing to look at")
	}
	flip := make([]byte, 1)
	if _, err := f.ReadAt(flip, position+batch.HeaderLen+8); err != nil {
		t.Fatal(err)
	}
	flip[0] ^= 4
	if _, err := f.WriteAt(flip, position+batch.HeaderLen+8); err != nil {
		t.Fatal(err)
	}
	behind.start()
	c.write("c", 1)
	if _, values := behind.content(); len(values) > len(want) {
		t.Errorf("the follower took %v after %v was damaged", values[len(want):], lost)
	}
	flip[0] ^= 4 // healed, the follower catches up
	if _, err := f.WriteAt(flip, position+batch.HeaderLen+8); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the follower caught up", func() bool { return behind.plog.LastIndex() == c.leader().plog.LastIndex() })
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
