package raft

import (
	"errors"
	"fmt"
	"io"
	"sync"

	hraft "github.com/hashicorp/raft"

	"balsa/internal/invariant"
	"balsa/log"
	"balsa/log/batch"
)

// replicaState is hashicorp/raft's FSM over a StateMachine. It keeps what a position is made of.
type replicaState struct {
	plog        *log.Log
	store       *entryStore
	machine     StateMachine
	needPayload bool

	mu          sync.Mutex // guards what follows, and the state machine
	applied     log.Index  // the last entry given to the machine
	config      hraft.Configuration
	configIndex uint64
	entries     []Entry // scratch
}

// ApplyBatch gives committed entries to the state machine (hraft.BatchingFSM).
func (f *replicaState) ApplyBatch(logs []*hraft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	entries := f.entries[:0]
	var covered []Entry
	for _, l := range logs {
		if l.Type == hraft.LogConfiguration {
			f.config, f.configIndex = hraft.DecodeConfiguration(l.Data), l.Index
			continue
		}
		switch i := log.Index(l.Index); {
		case i < f.plog.FirstIndex(): // a position that is about to be restored covers it: the log was reset to that
		case i <= f.applied: // a shipped position covers it
			covered = f.appendEntry(covered, l)
		default:
			entries = f.appendEntry(entries, l)
		}
	}
	if r, ok := f.machine.(Reindexer); ok && len(covered) > 0 {
		r.Reindex(covered)
	}
	if len(entries) > 0 {
		f.machine.Apply(entries)
	}
	clear(entries)
	f.entries = entries
	if last := log.Index(logs[len(logs)-1].Index); last > f.applied {
		f.applied = last
	}
	f.store.applied.Store(logs[len(logs)-1].Index)
	return make([]any, len(logs))
}

// appendEntry appends an entry, and a gap but once.
func (f *replicaState) appendEntry(entries []Entry, l *hraft.Log) []Entry {
	if k := len(entries); k > 0 && isGap(l) && entries[k-1].Kind == batch.KindGap &&
		log.Index(l.Index) < entries[k-1].Index+log.Index(entries[k-1].Header.Entries()) {
		return entries
	}
	return append(entries, f.entry(l))
}

func (f *replicaState) entry(l *hraft.Log) Entry {
	info, err := f.plog.Info(log.Index(l.Index))
	invariant.Check(err == nil, "committed entry %d cannot be read: %v", l.Index, err)
	e := Entry{Index: info.First, Epoch: info.Header.Epoch, Kind: info.Header.Kind, Header: info.Header}
	switch {
	case e.Kind == batch.KindGap:
	case e.Kind != batch.KindData:
		e.Payload = l.Data
	case !f.needPayload && !e.Header.IsControl():
	case l.Data != nil:
		e.Payload = l.Data
	default:
		b, err := f.plog.Entry(e.Index)
		invariant.Check(err == nil, "committed entry %d cannot be read: %v", l.Index, err)
		e.Payload = b
	}
	return e
}

// Apply is never called: ApplyBatch is.
func (f *replicaState) Apply(l *hraft.Log) any { return f.ApplyBatch([]*hraft.Log{l})[0] }

// StoreConfiguration is part of hraft.ConfigurationStore, whose presence makes the library send configurations to
// ApplyBatch.
func (f *replicaState) StoreConfiguration(index uint64, c hraft.Configuration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.config, f.configIndex = c, index
}

// Snapshot declines: a log that is the data is never compacted into a snapshot.
func (f *replicaState) Snapshot() (hraft.FSMSnapshot, error) {
	return nil, hraft.ErrNothingNewToSnapshot
}

// Restore takes a position that a leader shipped; the log was already reset to it.
func (f *replicaState) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("read position: %w", err)
	}
	p, err := decodePosition(b)
	if err != nil {
		return err
	}
	return f.restore(p)
}

func (f *replicaState) restore(p position) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.machine.Restore(p.machine); err != nil {
		return fmt.Errorf("restore state machine: %w", err)
	}
	f.applied, f.config, f.configIndex = p.machineIndex, p.config, p.configIndex
	f.store.applied.Store(uint64(p.index))
	return nil
}

// capture returns the position after the last applied entry.
func (f *replicaState) capture() position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return position{
		index:        log.Index(f.store.applied.Load()),
		machineIndex: f.applied, config: f.config, configIndex: f.configIndex, machine: f.machine.Snapshot(),
	}
}
