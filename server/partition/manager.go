package partition

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/cluster"
)

// Shards makes the state machines of coordinator shards; see package coordinator.
type Shards interface {
	Machine(shard int32) raft.StateMachine
	Attach(shard int32, g *raft.Group)
	Detach(shard int32)
}

// ManagerConfig is what a Manager works with. All fields but QueueSegmentBytes and OnLeadership are required.
type ManagerConfig struct {
	Node           raft.NodeID
	Dir            string // the data directory
	FS             vfs.FS
	Syncer         log.Syncer
	Host           *raft.Host
	Resolver       *cluster.Resolver
	Shards         Shards
	DeadLetters    DeadLetters
	Logger         *slog.Logger
	Now            func() time.Time
	RetentionCheck time.Duration // log.retention.check.interval.ms
	// Rejoining says that this node starts with nothing in a cluster that may know it: it lost its data, or it is new. Every
	// replica that is assigned to it joins its group, until Settle.
	Rejoining bool
	// QueueSegmentBytes bounds the segments of queues further than maxQueueSegmentBytes; 0: it does not.
	QueueSegmentBytes int64
	// OnLeadership is told about every leadership change of a local replica, in order per replica; it must not block.
	OnLeadership func(raft.GroupID, raft.Leadership)
}

// Manager holds the replicas of one node and keeps them in step with the cluster's metadata. Safe for concurrent use.
type Manager struct {
	ManagerConfig
	logsDir string
	cleaner *cleaner
	slots   chan struct{} // see Partition.slots
	reads   *log.Memory   // for reads of compacted logs
	image   atomic.Pointer[cluster.Image]

	syncing sync.Mutex // one Sync at a time; guards the next two
	// current says that the images are no longer those from before this start, which the metadata's log replays: by such an image
	// no data may be deleted, because a later one may have brought the replica back.
	current bool
	// rejoining says that this node lost its data, so that whatever was assigned to it has to join.
	rejoining bool

	mu       sync.RWMutex // guards replicas and aside
	replicas map[raft.GroupID]*replica
	aside    map[raft.GroupID]setAside // replicas that could not be opened, and why
	asides   uint64                    // how often one was set aside, plus where the count began
}

const (
	// openConcurrency is how many replicas are opened at once.
	openConcurrency = 16
	// readMemory bounds what reads of compacted logs hold in memory on this node; beyond it they are sent piece by piece.
	readMemory = 64 << 20
	// tickInterval is how often replicas look at the clock, besides retention.
	tickInterval = 5 * time.Second
)

// NewManager returns a Manager without replicas.
func NewManager(c ManagerConfig) (*Manager, error) {
	m := &Manager{
		ManagerConfig: c, logsDir: path.Join(c.Dir, LogsDir), replicas: map[raft.GroupID]*replica{},
		slots: make(chan struct{}, runtime.GOMAXPROCS(0)), reads: log.NewMemory(readMemory),
		aside: map[raft.GroupID]setAside{}, asides: rand.Uint64() | 1, rejoining: c.Rejoining,
	}
	m.cleaner = newCleaner(m)
	m.image.Store(cluster.NewImage())
	if err := c.FS.MkdirAll(m.logsDir); err != nil {
		return nil, fmt.Errorf("create %s: %w", m.logsDir, err)
	}
	if err := c.FS.SyncDir(c.Dir); err != nil {
		return nil, fmt.Errorf("create %s: %w", m.logsDir, err)
	}
	return m, nil
}

// Get returns the local replica of a partition. Errors: UNKNOWN_TOPIC_OR_PARTITION when there is no such partition,
// NOT_LEADER_OR_FOLLOWER when it is not on this node, KAFKA_STORAGE_ERROR when its log could not be opened.
func (m *Manager) Get(topic cluster.TopicID, partition int32) (*Partition, error) {
	id := raft.GroupID{Topic: topic, Partition: partition}
	m.mu.RLock()
	r, reason := m.replicas[id], m.aside[id].reason
	m.mu.RUnlock()
	switch {
	case r != nil && r.partition != nil:
		return r.partition, nil
	case reason != nil:
		return nil, fmt.Errorf("%w: %w", kerr.KafkaStorageError, reason)
	}
	t := m.image.Load().Topics[topic]
	if t == nil || topic == cluster.CoordinatorTopic || partition < 0 || int(partition) >= len(t.Partitions) {
		return nil, kerr.UnknownTopicOrPartition
	}
	return nil, kerr.NotLeaderForPartition
}

// Size returns the bytes on disk of the local replica of a partition or coordinator shard; ok is false when there is none.
func (m *Manager) Size(topic cluster.TopicID, partition int32) (bytes int64, ok bool) {
	r := m.lookup(raft.GroupID{Topic: topic, Partition: partition})
	if r == nil {
		return 0, false
	}
	return r.plog.Size(), true
}

func (m *Manager) lookup(id raft.GroupID) *replica {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.replicas[id]
}

// Assigned returns the replicas that the latest image assigns to this node, without those that were set aside.
func (m *Manager) Assigned() iter.Seq[raft.GroupID] {
	return func(yield func(raft.GroupID) bool) {
		for _, t := range m.image.Load().Topics {
			for n, p := range t.Partitions {
				id := raft.GroupID{Topic: t.ID, Partition: int32(n)}
				if slices.Contains(p.Replicas, m.Node) && !m.setAside(id) && !yield(id) {
					return
				}
			}
		}
	}
}

// OutOfService returns the replicas that take no part although this node lives: set aside when they were opened, stopped
// because their log failed, or still joining.
func (m *Manager) OutOfService() []raft.GroupID {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var ids []raft.GroupID
	for id := range m.aside {
		ids = append(ids, id)
	}
	for id, r := range m.replicas {
		if r.plog.Failed() != nil || r.group.Joining() {
			ids = append(ids, id)
		}
	}
	return ids
}

// Groups returns the Raft groups of all local replicas.
func (m *Manager) Groups() []*raft.Group {
	m.mu.RLock()
	defer m.mu.RUnlock()
	groups := make([]*raft.Group, 0, len(m.replicas))
	for _, r := range m.replicas {
		groups = append(groups, r.group)
	}
	return groups
}

// Sync opens replicas that image assigns to this node, closes and deletes those that it no longer knows, and takes over
// changed topic configurations. An image older than the last one is ignored.
func (m *Manager) Sync(image *cluster.Image) {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	if image.Version < m.image.Load().Version {
		return // overtaken: an older image must not delete what a newer one brought
	}
	m.image.Store(image)
	m.cleaner.configure(m.Resolver.CleanerConfig(image))
	m.closeRemoved(image)
	var missing []raft.GroupID
	for id := range m.Assigned() {
		if r := m.lookup(id); r == nil {
			missing = append(missing, id)
		} else if r.partition != nil {
			r.partition.SetConfig(m.Resolver.TopicConfig(image, image.Topics[id.Topic]))
		}
	}
	m.openAll(image, missing)
}

func (m *Manager) setAside(id raft.GroupID) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.aside[id].reason != nil
}

// openAll opens replicas, a bounded number at a time.
func (m *Manager) openAll(image *cluster.Image, ids []raft.GroupID) {
	slots := make(chan struct{}, openConcurrency)
	var wg sync.WaitGroup
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r, err := m.open(id, image.Topics[id.Topic])
			m.mu.Lock()
			if err != nil {
				m.asides += 2 // stays odd: never 0
				m.aside[id] = setAside{err, m.asides}
			} else {
				m.replicas[id] = r
			}
			m.mu.Unlock()
			if err != nil {
				m.Logger.Error("replica set aside: it takes no part until it is repaired", "group", id, "err", err)
				return
			}
			r.group.CampaignIfLeaderless()
		})
	}
	wg.Wait()
}

// closeRemoved closes replicas that image does not assign to this node, and deletes their data if the image is current.
func (m *Manager) closeRemoved(image *cluster.Image) {
	var removed []*replica
	m.mu.Lock()
	for id, r := range m.replicas {
		if !assigned(image, id, m.Node) {
			removed = append(removed, r)
			delete(m.replicas, id)
		}
	}
	for id := range m.aside {
		if !assigned(image, id, m.Node) {
			delete(m.aside, id)
		}
	}
	m.mu.Unlock()
	for _, r := range removed {
		err := r.close(m.Shards)
		if m.current {
			err = errors.Join(err, m.discard(r.id, m.forgetting(image, r.id)))
		}
		if err != nil {
			m.Logger.Error("could not remove a replica", "group", r.id, "err", err)
		}
	}
}

// Run ticks the replicas until ctx ends.
func (m *Manager) Run(ctx context.Context) {
	interval := min(tickInterval, m.RetentionCheck)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	retained := m.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		retention := m.Now().Sub(retained) >= m.RetentionCheck
		if retention {
			retained = m.Now()
		}
		m.mu.RLock()
		replicas := slices.Collect(maps.Values(m.replicas))
		m.mu.RUnlock()
		expiry := int64(m.Resolver.ProducerIDExpiry(m.image.Load()) / interval)
		for _, r := range replicas {
			if err := m.tick(r, expiry, retention); err != nil && ctx.Err() == nil && !errors.Is(err, log.ErrClosed) {
				m.Logger.Error("housekeeping failed", "group", r.id, "err", err)
			}
		}
	}
}

// tick does a replica's housekeeping; expiry is after how many idle ticks producers are forgotten.
func (m *Manager) tick(r *replica, expiry int64, retention bool) error {
	if r.plog.Failed() != nil {
		return nil // said when it failed
	}
	if r.partition == nil {
		return r.plog.Tick(m.Now())
	}
	if err := r.partition.tick(m.Now(), expiry); err != nil || !retention {
		return err
	}
	r.partition.retain(m.Now())
	return nil
}

// Close closes all replicas; their data stays.
func (m *Manager) Close() error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	m.mu.Lock()
	replicas := m.replicas
	m.replicas = map[raft.GroupID]*replica{}
	m.mu.Unlock()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs error
	for _, r := range replicas {
		wg.Go(func() {
			if err := r.close(m.Shards); err != nil {
				mu.Lock()
				errs = errors.Join(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errs
}
