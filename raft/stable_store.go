package raft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"balsa/log/vfs"
)

// errNotFound carries the text that hashicorp/raft compares with.
var errNotFound = errors.New("not found")

var (
	stableBucket = []byte("groups")
	lastVoteTerm = []byte("LastVoteTerm") // hashicorp/raft's keys
	lastVoteCand = []byte("LastVoteCand")
)

// StableFile is the name of the file of terms and votes in HostConfig.Dir.
const StableFile = "stable.db"

// stableDB keeps the terms and votes of all of a node's groups in one bbolt file, keyed by group. Writes of many
// groups share a transaction: an election storm of thousands of groups costs tens of fsyncs, not thousands.
type stableDB struct {
	db *bbolt.DB
}

func openStableDB(path string) (*stableDB, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open term store %s: %w", path, err)
	}
	// A lone vote should not wait long for company.
	db.MaxBatchDelay = 500 * time.Microsecond
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(stableBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare term store %s: %w", path, err), db.Close())
	}
	return &stableDB{db: db}, nil
}

func (d *stableDB) Close() error { return d.db.Close() }

// group loads one group's keys.
func (d *stableDB) group(id GroupID) (*stableStore, error) {
	s := &stableStore{db: d.db, prefix: id.appendTo(nil), values: map[string][]byte{}}
	err := d.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(stableBucket).Cursor()
		for k, v := c.Seek(s.prefix); k != nil && bytes.HasPrefix(k, s.prefix); k, v = c.Next() {
			s.values[string(k[len(s.prefix):])] = bytes.Clone(v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read terms of group %s: %w", id, err)
	}
	return s, nil
}

// remove forgets a deleted group.
func (d *stableDB) remove(id GroupID) error {
	prefix := id.appendTo(nil)
	return d.db.Batch(func(tx *bbolt.Tx) error { return deletePrefix(tx.Bucket(stableBucket), prefix) })
}

// rejoin replaces all that is known of groups by the mark of a joining replica.
func (d *stableDB) rejoin(ids []GroupID) error {
	lives := make([]uint64, len(ids))
	for i := range ids {
		var err error
		if lives[i], err = newLife(); err != nil {
			return err
		}
	}
	return d.db.Batch(func(tx *bbolt.Tx) error {
		b := tx.Bucket(stableBucket)
		for i, id := range ids {
			prefix := id.appendTo(nil)
			if err := deletePrefix(b, prefix); err != nil {
				return err
			}
			if err := b.Put(append(prefix, joiningKey...), binary.BigEndian.AppendUint64(nil, lives[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

// groups returns all groups that something is known of.
func (d *stableDB) groups() ([]GroupID, error) {
	var ids []GroupID
	err := d.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(stableBucket).Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			if len(k) < groupIDLen {
				return fmt.Errorf("term store: key of %d bytes", len(k))
			}
			if id := parseGroupID(k); len(ids) == 0 || ids[len(ids)-1] != id {
				ids = append(ids, id)
			}
		}
		return nil
	})
	return ids, err
}

func deletePrefix(b *bbolt.Bucket, prefix []byte) error {
	c := b.Cursor()
	for k, _ := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, _ = c.Seek(prefix) {
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// stableStore is one group's hraft.StableStore. Reads are answered from memory.
type stableStore struct {
	db     *bbolt.DB
	prefix []byte

	mu     sync.Mutex
	values map[string][]byte
	// voteTerm is a LastVoteTerm not yet written: hashicorp/raft always sets the candidate right after it
	// (persistVote), so both go into one transaction, which also keeps a crash from tearing them apart.
	voteTerm []byte
}

// used says whether the group ever took part in anything on this node.
func (s *stableStore) used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values) > 0
}

// unset removes a key durably.
func (s *stableStore) unset(key []byte) error {
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		return tx.Bucket(stableBucket).Delete(append(bytes.Clone(s.prefix), key...))
	})
	if err != nil {
		return fmt.Errorf("write term or vote: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, string(key))
	return nil
}

// Get returns the value of key, or an error with the text "not found".
func (s *stableStore) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return v, nil
}

// Set stores a value durably.
func (s *stableStore) Set(key, value []byte) error {
	writes := map[string][]byte{string(key): bytes.Clone(value)}
	s.mu.Lock()
	if bytes.Equal(key, lastVoteCand) && s.voteTerm != nil {
		writes[string(lastVoteTerm)] = s.voteTerm
		s.voteTerm = nil
	}
	s.mu.Unlock()
	return s.write(writes)
}

// SetUint64 stores a number durably, except LastVoteTerm, which becomes durable with the candidate.
func (s *stableStore) SetUint64(key []byte, v uint64) error {
	value := binary.BigEndian.AppendUint64(nil, v)
	if bytes.Equal(key, lastVoteTerm) {
		s.mu.Lock()
		s.voteTerm = value
		s.mu.Unlock()
		return nil
	}
	return s.write(map[string][]byte{string(key): value})
}

// GetUint64 returns the number stored under key, or 0 and an error with the text "not found".
func (s *stableStore) GetUint64(key []byte) (uint64, error) {
	v, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, fmt.Errorf("term store: %s has %d bytes, want 8", key, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}

func (s *stableStore) write(writes map[string][]byte) error {
	err := s.db.Batch(func(tx *bbolt.Tx) error {
		b := tx.Bucket(stableBucket)
		for k, v := range writes {
			if err := b.Put(append(bytes.Clone(s.prefix), k...), v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write term or vote: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.Copy(s.values, writes)
	return nil
}

// syncNames makes the names in dir, and dir's own, durable. bbolt syncs the files it creates but not their directory,
// so that a power cut could take the whole file: a node would forget its votes, and all nodes the topics.
func syncNames(dir string) error {
	for _, d := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err := (vfs.OS{}).SyncDir(d); err != nil {
			return fmt.Errorf("sync directory %s: %w", d, err)
		}
	}
	return nil
}
