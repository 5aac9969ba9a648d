package raft

import (
	"testing"
	"time"
)

// startMover is a state machine that moves the log start, as partitions do, while a checkpoint waits for it.
type startMover struct {
	recorder
	group *Group
	moved chan struct{}
}

func (m *startMover) Apply(entries []Entry) {
	m.recorder.Apply(entries)
	if m.group == nil {
		return
	}
	g := m.group
	m.group = nil
	go func() { _ = g.Checkpoint() }() // waits for this very call
	for g.checkpoint.mu.TryLock() {
		g.checkpoint.mu.Unlock()
		time.Sleep(time.Millisecond) // until the other goroutine has the lock
	}
	g.SetLogStart(1)
	close(m.moved)
}

// A checkpoint holds its lock while it waits for the state machine, which moves the log start: neither may wait for the other.
func TestLogStartMovesDuringCheckpoint(t *testing.T) {
	c := newTestCluster(t, 1, everyAppend)
	c.write("a", 1)
	g := c.nodes[0].group
	m := &startMover{group: g, moved: make(chan struct{})}
	g.state.mu.Lock()
	g.state.machine = m
	g.state.mu.Unlock()
	go c.write("b", 1)
	select {
	case <-m.moved:
	case <-time.After(20 * time.Second):
		panic("the state machine and the checkpoint wait for each other") // nothing of this group ends any more
	}
}

// What is below the log start is deleted soon, also from a log that does not grow, and with a state that is large beside it.
func TestCheckpointFreesSpace(t *testing.T) {
	conf := everyAppend
	conf.SegmentBytes = 200
	c := newTestCluster(t, 1, conf)
	c.write("a", 10)
	n := c.nodes[0]
	g := n.group
	if err := g.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	c.write("b", 1)
	g.checkpoint.mu.Lock()
	g.checkpoint.stateSize = 1 << 20
	g.checkpoint.mu.Unlock()
	now := time.Now()
	if g.checkpointDue(now.Add(checkpointAge + time.Second)) {
		t.Error("a large state is saved although next to nothing happened")
	}
	g.SetLogStart(8)
	if g.checkpointDue(now) || !g.checkpointDue(now.Add(checkpointAge+time.Second)) {
		t.Error("what is below the log start is not deleted in time")
	}
	n.space.Store(uint32(SpaceLow))
	if !g.checkpointDue(now.Add(2 * time.Second)) {
		t.Error("it is deleted no sooner when the disk is full")
	}
	if err := g.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if first := n.plog.FirstOffset(); first == 0 || g.checkpointDue(now.Add(checkpointAge+time.Second)) {
		t.Errorf("after a checkpoint the log begins at offset %d", first)
	}
}
