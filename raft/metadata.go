package raft

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"balsa/log"
	"balsa/log/batch"
)

// MetadataGroup is the id of the cluster-metadata group.
var MetadataGroup = GroupID{}

// MetadataFile is the name of the metadata group's log in its directory.
const MetadataFile = "raft.db"

// retainedSnapshots is how many snapshots of the metadata stay on disk.
const retainedSnapshots = 2

// Metadata is the replica of the cluster-metadata group.
type Metadata struct {
	*Group
	bolt *raftboltdb.BoltStore // its log, term and vote
}

// OpenMetadata starts the node's replica of the cluster-metadata group: small, so the library's own way serves it, with
// its log in raft-boltdb and whole snapshots in files. dir exists. members is the initial membership, the same on every
// node; the first MetadataVoters of them vote, the others follow. A node without members joins, if it has nothing of the group.
func (h *Host) OpenMetadata(dir string, members []NodeID, machine StateMachine) (*Metadata, error) {
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, MetadataFile)})
	if err != nil {
		return nil, fmt.Errorf("open metadata log: %w", err)
	}
	if err := syncNames(dir); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	g := h.newGroup(MetadataGroup, machine)
	g.fsm = &metadataState{machine: machine}
	stable, err := h.stable.group(MetadataGroup)
	if err == nil {
		err = g.joiner.load(stable)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open metadata group: %w", err), bolt.Close())
	}
	m := &Metadata{Group: g, bolt: bolt}
	if err := h.startMetadata(m, dir, members); err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	return m, nil
}

func (h *Host) startMetadata(m *Metadata, dir string, members []NodeID) error {
	logger := newHclog(m.logger)
	snaps, err := hraft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshots, logger)
	if err != nil {
		return fmt.Errorf("open metadata snapshots: %w", err)
	}
	conf := h.timing.config(true)
	conf.LocalID, conf.Logger = hraft.ServerID(h.node.server()), logger
	exists, err := hraft.HasExistingState(m.bolt, m.bolt, snaps)
	if err != nil {
		return fmt.Errorf("read metadata log: %w", err)
	}
	switch {
	case exists || m.Joining():
	case len(members) == 0:
		if err := m.joiner.begin(); err != nil {
			return fmt.Errorf("join metadata group: %w", err)
		}
	default:
		trans := newGroupTransport(h, MetadataGroup, nil, nil)
		err := hraft.BootstrapCluster(conf, m.bolt, m.bolt, snaps, trans, metadataConfiguration(members))
		if err != nil {
			return fmt.Errorf("bootstrap metadata group: %w", err)
		}
	}
	return h.startGroup(m.Group, conf, m.bolt, m.bolt, snaps)
}

// MetadataVoters is how many brokers vote on the metadata: enough to lose two.
const MetadataVoters = 5

func metadataConfiguration(members []NodeID) hraft.Configuration {
	c := voterConfiguration(members[:min(len(members), MetadataVoters)])
	for _, n := range members[len(c.Servers):] {
		c.Servers = append(c.Servers, server(n, hraft.Nonvoter))
	}
	return c
}

// Close stops the replica and closes its log.
func (m *Metadata) Close() error {
	return errors.Join(m.Group.Close(), m.bolt.Close())
}

// metadataState is hraft.FSM over the metadata's StateMachine.
type metadataState struct {
	mu      sync.Mutex // Snapshot may run beside Apply
	machine StateMachine
}

func (f *metadataState) Apply(l *hraft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machine.Apply([]Entry{{
		Index: log.Index(l.Index), Epoch: log.Epoch(l.Term), Kind: batch.KindData, Payload: l.Data,
	}})
	return nil
}

func (f *metadataState) Snapshot() (hraft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return metadataSnapshot(f.machine.Snapshot()), nil
}

func (f *metadataState) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read metadata snapshot: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.machine.Restore(b)
}

type metadataSnapshot []byte

func (s metadataSnapshot) Persist(sink hraft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s metadataSnapshot) Release() {}
