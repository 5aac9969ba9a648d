package partition

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// setAside is a replica that could not be opened.
type setAside struct {
	reason error
	// occurrence tells this time from others, so that an order to rebuild cannot hit a replica that was rebuilt since.
	occurrence uint64
}

var _ raft.Repairer = (*Manager)(nil)

// Damaged implements raft.Repairer. Only what is damaged for certain is given up, not what a lack of memory or file descriptors, or
// a later version's format, keeps from being opened.
func (m *Manager) Damaged(id raft.GroupID) (occurrence uint64, aside bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a, aside := m.aside[id]
	if !errors.Is(a.reason, log.ErrCorrupt) && !errors.Is(a.reason, raft.ErrLostLog) {
		return 0, aside
	}
	return a.occurrence, aside
}

// Rebuild implements raft.Repairer: it deletes what is left of a replica that was set aside, or all of one that is open, and opens it
// anew, to join its group. The group's leader orders it when the replica has no vote any more, and what it stored counts no more either.
func (m *Manager) Rebuild(_ context.Context, id raft.GroupID, occurrence uint64) error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	image := m.image.Load()
	if !assigned(image, id, m.Node) {
		return fmt.Errorf("replica %s is no longer assigned to this node", id)
	}
	if r := m.lookup(id); r != nil {
		if r.group.Life() != occurrence {
			return fmt.Errorf("replica %s was opened anew since", id)
		}
		m.Logger.Warn("rebuilding a replica from the others: it was no member for a while, and they have compacted their logs", "group", id)
		return m.reopen(r, image)
	}
	m.mu.RLock()
	a, isAside := m.aside[id]
	m.mu.RUnlock()
	if n, _ := m.Damaged(id); !isAside || n == 0 || n != occurrence {
		return fmt.Errorf("replica %s is not set aside, or not for this reason", id)
	}
	m.Logger.Warn("rebuilding a replica from the others", "group", id, "was", a.reason)
	if err := m.discard(id, m.Host.Leave); err != nil {
		return err
	}
	m.mu.Lock()
	delete(m.aside, id)
	m.mu.Unlock()
	m.openAll(image, []raft.GroupID{id})
	return nil
}

// reopen deletes an open replica, and opens it with nothing. If it cannot be deleted it is set aside. The caller holds syncing.
func (m *Manager) reopen(r *replica, image *cluster.Image) error {
	m.mu.Lock()
	delete(m.replicas, r.id)
	m.mu.Unlock()
	err := r.close(m.Shards)
	if again := m.discard(r.id, m.Host.Leave); again != nil {
		err = errors.Join(err, again)
		m.mu.Lock()
		m.asides += 2
		m.aside[r.id] = setAside{err, m.asides}
		m.mu.Unlock()
		return err
	}
	if err != nil {
		m.Logger.Warn("closing a replica that begins anew failed", "group", r.id, "err", err) // it is gone, with all that it had
	}
	m.openAll(image, []raft.GroupID{r.id})
	return nil
}

// Settle ends Rejoining: what is assigned to this node from now on is new. The image that Sync took last must be current. What could
// not be opened meanwhile is marked, so that it joins when it can.
func (m *Manager) Settle() error {
	m.syncing.Lock()
	defer m.syncing.Unlock()
	if !m.rejoining {
		return nil
	}
	m.mu.RLock()
	ids := slices.Collect(maps.Keys(m.aside))
	m.mu.RUnlock()
	for _, id := range ids {
		if err := m.Host.Leave(id); err != nil {
			return err
		}
	}
	m.rejoining = false
	return nil
}

// discard removes a closed replica's data: renamed first, so that a half-done removal is known for what it is. forget, Host.Leave or
// Host.Remove, is called between: a log without its votes would be worse than votes without their log.
func (m *Manager) discard(id raft.GroupID, forget func(raft.GroupID) error) error {
	dir := path.Join(m.logsDir, id.String())
	dead := dir + deletedSuffix
	exists, err := m.FS.Exists(dir)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if exists {
		if err := m.FS.RemoveAll(dead); err != nil {
			return fmt.Errorf("remove %s: %w", dead, err)
		}
		if err := m.FS.Rename(dir, dead); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
		if err := m.FS.SyncDir(m.logsDir); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	if err := forget(id); err != nil {
		return err
	}
	if err := m.FS.RemoveAll(dead); err != nil {
		return fmt.Errorf("remove %s: %w", dead, err)
	}
	return nil
}

// forgetting returns how to forget a replica that this node does not hold any more: a deleted topic's for good, because nobody will
// ever ask for it; one that moved elsewhere so that it joins if it comes back.
func (m *Manager) forgetting(image *cluster.Image, id raft.GroupID) func(raft.GroupID) error {
	if _, exists := image.Partition(id.Topic, id.Partition); exists {
		return m.Host.Leave
	}
	return m.Host.Remove
}

// ForgetDeleted drops what the term store keeps of topics that do not exist any more. image must be current.
func (m *Manager) ForgetDeleted(image *cluster.Image) error {
	m.syncing.Lock() // no replica is being opened meanwhile
	defer m.syncing.Unlock()
	if synced := m.image.Load(); synced.Version > image.Version {
		image = synced
	}
	known, err := m.Host.Known()
	if err != nil {
		return fmt.Errorf("list the groups of the term store: %w", err)
	}
	var errs error
	for _, id := range known {
		_, exists := image.Partition(id.Topic, id.Partition)
		if id != raft.MetadataGroup && !exists && m.lookup(id) == nil {
			errs = errors.Join(errs, m.Host.Remove(id))
		}
	}
	return errs
}
