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
