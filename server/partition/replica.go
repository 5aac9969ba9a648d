package partition

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// replica is a local replica with what it stands on: a partition, or a coordinator shard.
type replica struct {
	id        raft.GroupID
	dir       string
	plog      *log.Log
	group     *raft.Group
	partition *Partition // nil for a coordinator shard
	shard     int32
}

// shardConfig is the configuration of the coordinator shards' logs: small segments, because a shard's state is saved with
// its position and the log before it deleted.
var shardConfig = log.Config{
	SegmentBytes: 16 << 20, SegmentAge: 7 * 24 * time.Hour, IndexIntervalBytes: 4096, FlushEveryAppend: true,
}

const (
	deletedSuffix = ".deleted"
	// LogsDir is the directory of the replicas' logs in the data directory.
	LogsDir = "logs"
)

// open opens the log and starts the Raft group of one replica.
func (m *Manager) open(id raft.GroupID, t *cluster.Topic) (*replica, error) {
	r := &replica{id: id, dir: path.Join(m.logsDir, id.String()), shard: id.Partition}
	config := shardConfig
	var topic cluster.TopicConfig
	if t.ID != cluster.CoordinatorTopic {
		topic = m.Resolver.TopicConfig(m.image.Load(), t)
		config = logConfig(topic, m.queueSegment())
	}
	plog, checkpoint, err := log.Open(r.dir, log.Options{FS: m.FS, Syncer: m.Syncer, Config: config, Now: m.Now, Memory: m.reads})
	if err != nil {
		return nil, fmt.Errorf("open log of %s-%d: %w", t.Name, id.Partition, err)
	}
	if done := plog.Recovery(); done.CutBytes > 0 || done.RebuiltIndexes > 0 {
		m.Logger.Info("log recovered after a crash", "topic", t.Name, "partition", id.Partition,
			"cut", done.CutBytes, "rebuilt indexes", done.RebuiltIndexes)
	}
	r.plog = plog
	if err := m.start(r, t, topic, checkpoint); err != nil {
		return nil, errors.Join(err, plog.Close())
	}
	return r, nil
}

func (m *Manager) start(r *replica, t *cluster.Topic, config cluster.TopicConfig, checkpoint log.Checkpoint) error {
	placed := t.Partitions[r.id.Partition]
	c := raft.GroupConfig{
		ID: r.id, Log: r.plog, Checkpoint: checkpoint, Voters: placed.Original(),
		Joins: m.rejoining || slices.Contains(placed.Adding, m.Node),
	}
	if t.ID == cluster.CoordinatorTopic {
		c.Machine, c.NeedPayload, c.Disposable = m.Shards.Machine(r.shard), true, true
	} else {
		r.partition = m.newPartition(r, t, config)
		c.Machine, c.Appended = r.partition.machine, r.partition.appended
	}
	c.Machine = &observed{c.Machine, r.id, m.OnLeadership}
	g, err := m.Host.Open(c)
	if err != nil {
		return err
	}
	r.group = g
	if r.partition == nil {
		m.Shards.Attach(r.shard, g)
		return nil
	}
	g.SetLogStart(r.partition.logStartOffset())
	r.partition.group.Store(g)
	return nil
}

func (m *Manager) newPartition(r *replica, t *cluster.Topic, config cluster.TopicConfig) *Partition {
	p := &Partition{
		Topic: t.Name, ID: r.id, now: m.Now, queueSegment: m.queueSegment(),
		plog: r.plog, verifying: map[int64]*Verification{}, decisionApplied: m.cleaner.noticed, slots: m.slots,
		logger: m.Logger, image: m.image.Load, resolver: m.Resolver, letters: m.DeadLetters,
		shares: shareGroups{groups: map[string]*shareGroup{}, asked: map[string]askedShare{}},
	}
	p.life, p.end = context.WithCancel(context.Background())
	p.SetConfig(config)
	p.machine = newMachine(p)
	return p
}

// observed tells the node's leader table about leadership changes, before the machine.
type observed struct {
	raft.StateMachine
	id raft.GroupID
	on func(raft.GroupID, raft.Leadership)
}

// Reindex passes on what the machine may not know: see raft.Reindexer.
func (o *observed) Reindex(entries []raft.Entry) {
	if r, ok := o.StateMachine.(raft.Reindexer); ok {
		r.Reindex(entries)
	}
}

// Compacted passes on what the machine may not know: see raft.Compacted.
func (o *observed) Compacted() bool {
	c, ok := o.StateMachine.(raft.Compacted)
	return ok && c.Compacted()
}

func (o *observed) LeadershipChanged(l raft.Leadership) {
	if o.on != nil {
		o.on(o.id, l)
	}
	o.StateMachine.LeadershipChanged(l)
}

// close stops the replica and closes its log.
func (r *replica) close(shards Shards) error {
	if r.partition == nil {
		shards.Detach(r.shard)
	} else {
		r.partition.end()
	}
	err := r.group.Close()
	if r.partition != nil {
		r.partition.shares.mu.Lock()
		r.partition.dropShares()
		r.partition.shares.mu.Unlock()
		r.partition.background.Wait()
		r.partition.wakeAll()
	}
	return errors.Join(err, r.plog.Close())
}

// RemoveOrphans deletes the data of replicas that the metadata no longer knows, left by a crash or by deletions while this
// node was down. image must be current: with this start's registration in it.
func (m *Manager) RemoveOrphans(image *cluster.Image) error {
	m.syncing.Lock() // no replica is being opened meanwhile
	defer m.syncing.Unlock()
	m.current = true
	// Never by an image from before: what was synced last may lag behind the metadata, and what it does not know yet would
	// be deleted with all its records.
	if synced := m.image.Load(); synced.Version > image.Version {
		image = synced
	}
	names, err := m.FS.ReadDir(m.logsDir)
	if err != nil {
		return fmt.Errorf("list replicas: %w", err)
	}
	var errs error
	for _, name := range names {
		if strings.HasSuffix(name, deletedSuffix) {
			errs = errors.Join(errs, m.FS.RemoveAll(path.Join(m.logsDir, name)))
			continue
		}
		id, ok := raft.ParseGroupID(name)
		if !ok || m.lookup(id) != nil || assigned(image, id, m.Node) {
			continue
		}
		m.Logger.Info("removing a replica that is no longer assigned to this node", "group", id)
		errs = errors.Join(errs, m.discard(id, m.forgetting(image, id)))
	}
	return errs
}

func assigned(image *cluster.Image, id raft.GroupID, node raft.NodeID) bool {
	t := image.Topics[id.Topic]
	if t == nil || int(id.Partition) >= len(t.Partitions) {
		return false
	}
	return slices.Contains(t.Partitions[id.Partition].Replicas, node)
}
