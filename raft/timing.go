package raft

import (
	"time"

	hraft "github.com/hashicorp/raft"
)

// Timing holds the timeouts of elections. Zero values mean the defaults.
type Timing struct {
	// Heartbeat is how long a follower hears nothing before it suspects its leader (it then waits for up to as long
	// again, at random). A node that is silent for two thirds of it counts as dead. Default 3 s. A process that died is
	// noticed at once, see peerDied; this is for machines that hang and cables that break.
	Heartbeat time.Duration
	// Election is how long a candidate waits for votes. Default 1 s.
	Election time.Duration
	// Lease is how long a leader may be without a majority before it steps down. Default 2.5 s.
	Lease time.Duration
	// Commit is how long a follower may wait to learn that an entry is committed when nothing follows it. Nobody reads
	// from followers of partitions, so it may be long; it is what idle groups cost. Default 2 s.
	Commit time.Duration
}

// beatEvery is how often a leader announces itself to a follower: with the library's own pause and the wait for company added,
// twice per heartbeat timeout, so that one frame may be lost.
func (t Timing) beatEvery() time.Duration { return t.Heartbeat / 3 }

// silence is how long a node may answer no heartbeats before its link counts as dead.
func (t Timing) silence() time.Duration { return t.Heartbeat * 2 / 3 }

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&t.Heartbeat, 3*time.Second)
	def(&t.Election, 1*time.Second)
	def(&t.Lease, 2500*time.Millisecond)
	def(&t.Commit, 2*time.Second)
	return t
}

// metadataCommit is short: every broker answers clients from its copy of the metadata.
const metadataCommit = 20 * time.Millisecond

// maxAppendEntries is how many entries the library ships at once.
const maxAppendEntries = 1024

func (t Timing) config(metadata bool) *hraft.Config {
	c := hraft.DefaultConfig()
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = t.Heartbeat, max(t.Election, t.Heartbeat), t.Lease
	c.CommitTimeout = t.Commit
	c.MaxAppendEntries = maxAppendEntries
	c.BatchApplyCh = true
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	if metadata {
		c.CommitTimeout = metadataCommit
		return c
	}
	// The log is the data and is trimmed by retention, never compacted into a snapshot by the library.
	c.SnapshotThreshold = 1<<64 - 1
	c.SnapshotInterval = 1000 * time.Hour
	c.TrailingLogs = 1<<64 - 1
	c.NoSnapshotRestoreOnStart = true
	return c
}
