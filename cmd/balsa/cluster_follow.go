package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// followInterval is how often a command that waits looks how far the moves are.
	followInterval = 250 * time.Millisecond
	// followSilence is after how long it says so even when nothing changed.
	followSilence = 10 * time.Second
	// followPatience is for how long it asks in vain before it gives up: longer than the election of a leader.
	followPatience = time.Minute
)

// movesGoOn tells whoever stops a command that this stops nothing else.
const movesGoOn = "the moves go on: watch them with `balsa cluster status`, cancel them with `balsa topic reassign --cancel`"

// follow returns when all that the report lists has moved, and says how far it is on the way.
func (m *mover) follow(ctx context.Context, started time.Time) error {
	left := make(map[partitionKey]int64, len(m.report.Moves))
	for _, move := range m.report.Moves {
		left[partitionKey{move.Topic, move.Partition}] = move.Bytes
	}
	var said moveProgress
	answered := time.Now()
	for len(left) > 0 {
		moving, err := m.listed(ctx)
		switch {
		case ctx.Err() != nil:
			m.say("%s", movesGoOn)
			return ctx.Err()
		case err != nil && time.Since(answered) > followPatience:
			return failf(movesGoOn, "cannot follow the moves any more: %w", err)
		case err == nil:
			answered = time.Now()
			for key := range left {
				if _, on := moving[key]; !on {
					delete(left, key)
				}
			}
		}
		m.tell(&said, left, started)
		if len(left) == 0 {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(followInterval):
		}
	}
	return m.verify(ctx)
}

// listed returns all partitions that are moving.
func (m *mover) listed(ctx context.Context) (map[partitionKey]movingPartition, error) {
	ctx, cancel := m.limited(ctx)
	defer cancel()
	return listMoves(ctx, m.client)
}

// moveProgress is what was said last, and when.
type moveProgress struct {
	left int
	at   time.Time
}

// tell prints how far the moves are: at most once a second, when something changed or it was silent for long.
func (m *mover) tell(said *moveProgress, left map[partitionKey]int64, started time.Time) {
	now := time.Now()
	changed, since := said.at.IsZero() || said.left != len(left), now.Sub(said.at)
	if len(left) > 0 && (since < time.Second || !changed && since < followSilence) || !changed && len(left) == 0 {
		return
	}
	said.left, said.at = len(left), now
	missing := int64(0)
	for _, bytes := range left {
		missing += bytes
	}
	m.say("%6.1f s  %d of %s moved, %s of %s", now.Sub(started).Seconds(), m.report.Partitions-len(left),
		plural(int64(m.report.Partitions), "partition"), byteSize(m.report.Bytes-missing), byteSize(m.report.Bytes))
}

// verifyPatience is how long a broker may be behind the one that said that the moves are done.
const verifyPatience = 5 * time.Second

// verify fails if partitions are elsewhere than the plan wanted them: somebody else canceled or changed their moves. It waits a little for
// the last new replicas to be known as in sync, so that the cluster does not look worse than it is to who asks next.
func (m *mover) verify(ctx context.Context) error {
	for started := time.Now(); ; {
		inSync, err := m.astray(ctx)
		if err == nil && inSync || ctx.Err() != nil || time.Since(started) > verifyPatience {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(followInterval):
		}
	}
}

// astray says which partitions are not where they should be, and whether the replicas of the others are all in sync.
func (m *mover) astray(ctx context.Context) (inSync bool, astray error) {
	view, err := m.view(ctx)
	if err != nil {
		return false, err
	}
	want := make(map[partitionKey][]int32, len(m.report.Moves))
	for _, move := range m.report.Moves {
		want[partitionKey{move.Topic, move.Partition}] = move.To
	}
	inSync = true
	for _, p := range view.partitions {
		key := partitionKey{p.Topic, p.Number}
		to, ok := want[key]
		inSync = inSync && (!ok || view.inSync[key] >= len(to))
		if ok && !sameNodes(to, p.Replicas) {
			astray = errors.Join(astray, fmt.Errorf("%s is on %s, not on %s: its move was canceled or changed",
				key, nodeList(p.Replicas), nodeList(to)))
		}
	}
	return inSync, astray
}
