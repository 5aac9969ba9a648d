package raft

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	hraft "github.com/hashicorp/raft"

	"balsa/log"
)

const (
	startSnapshot   = "start"   // where this replica's own Raft starts from
	installSnapshot = "install" // what a follower behind the log start gets
)

// snapshotStore is hashicorp/raft's SnapshotStore. There are no snapshots of data: until the library has started it
// answers with the saved position near the end of the log, so that start-up does not read the log; afterwards with a
// tiny position at the log start, from where a follower that fell behind continues with ordinary entries.
type snapshotStore struct {
	plog    *log.Log
	state   *replicaState
	start   position
	started atomic.Bool
	// reset empties the log and saves the received position; see Group.install.
	reset func(position) error
}

// List returns the one snapshot that there is, or none.
func (s *snapshotStore) List() ([]*hraft.SnapshotMeta, error) {
	if !s.started.Load() {
		return []*hraft.SnapshotMeta{s.meta(startSnapshot, s.start, 0)}, nil
	}
	if s.plog.FirstIndex() <= 1 {
		return nil, nil
	}
	p, body := s.install()
	return []*hraft.SnapshotMeta{s.meta(installSnapshot, p, len(body))}, nil
}

func (s *snapshotStore) meta(id string, p position, size int) *hraft.SnapshotMeta {
	return &hraft.SnapshotMeta{
		Version: hraft.SnapshotVersionMax, ID: id, Index: uint64(p.index), Term: uint64(p.term),
		Configuration: p.config, ConfigurationIndex: p.configIndex, Size: int64(size),
	}
}

// install makes the position before the first entry kept.
func (s *snapshotStore) install() (position, []byte) {
	for {
		p := s.state.capture()
		p.index, p.term, p.baseOffset = s.plog.FirstIndex()-1, s.plog.PrevEpoch(), s.plog.FirstOffset()
		// Retention may trim the log meanwhile; what it trims is covered by the state, but not by one captured earlier.
		if s.plog.FirstIndex()-1 == p.index && p.machineIndex >= p.index {
			return p, p.encode()
		}
	}
}

// Open returns a snapshot to ship, or the one just received to restore.
func (s *snapshotStore) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	switch id {
	case installSnapshot:
		p, body := s.install()
		return s.meta(installSnapshot, p, len(body)), io.NopCloser(bytes.NewReader(body)), nil
	case startSnapshot:
		body := s.start.encode()
		return s.meta(startSnapshot, s.start, len(body)), io.NopCloser(bytes.NewReader(body)), nil
	}
	return nil, nil, fmt.Errorf("no snapshot %q", id)
}

// Create takes in a position that the leader ships.
func (s *snapshotStore) Create(_ hraft.SnapshotVersion, index, term uint64, c hraft.Configuration, configIndex uint64,
	_ hraft.Transport,
) (hraft.SnapshotSink, error) {
	return &positionSink{store: s, index: index, term: term, config: c, configIndex: configIndex}, nil
}

// positionSink receives a shipped position and, when whole, resets the log to it.
type positionSink struct {
	bytes.Buffer
	store       *snapshotStore
	index, term uint64
	config      hraft.Configuration
	configIndex uint64
}

// ID names what Open returns right after.
func (k *positionSink) ID() string { return startSnapshot }

// Cancel forgets what was received.
func (k *positionSink) Cancel() error { return nil }

// Close resets the log to the received position, durably.
func (k *positionSink) Close() error {
	p, err := decodePosition(k.Bytes())
	if err != nil {
		return err
	}
	if uint64(p.index) != k.index || uint64(p.term) != k.term {
		return errors.New("shipped position is not the one announced")
	}
	p.config, p.configIndex = k.config, k.configIndex
	p.machine = bytes.Clone(p.machine)
	if err := k.store.reset(p); err != nil {
		return fmt.Errorf("reset log to index %d: %w", p.index, err)
	}
	k.store.start = p
	return nil
}
