package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/partition"
)

// identityFile says whose data directory it is. A replica's votes and acknowledgements bind the node that gave them, so
// another node must not take over its directory.
const identityFile = "node.json"

type identity struct {
	Version int         `json:"version"`
	NodeID  raft.NodeID `json:"node_id"`
	// Joining says that the directory was new when the node joined a cluster that may know it from before, and that it does not
	// have the cluster's metadata yet: whatever is assigned to it by then has to join, too.
	Joining bool `json:"joining,omitempty"`
}

const identityVersion = 1

// claimDataDir makes dir this node's, or refuses it: when it is another node's, or when its parts do not belong together. joins says
// whether a new directory is one of a node that joins a cluster. It returns whether the node is still joining. For a new
// directory that does not join, mayFound is asked first.
func claimDataDir(fs vfs.FS, dir string, node raft.NodeID, joins bool, mayFound func() error) (joining bool, err error) {
	path := filepath.Join(dir, identityFile)
	b, err := fs.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := checkComplete(fs, dir); err != nil {
			return false, err
		}
		hasMetadata, err := fs.Exists(filepath.Join(dir, metadataDir, raft.MetadataFile))
		if err != nil {
			return false, fmt.Errorf("read data directory: %w", err)
		}
		joins = joins && !hasMetadata // a directory of an early version has data, and no name
		if !joins && !hasMetadata {
			if err := mayFound(); err != nil {
				return false, err
			}
		}
		return joins, writeIdentity(fs, dir, identity{Version: identityVersion, NodeID: node, Joining: joins})
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil || id.Version != identityVersion {
		return false, fmt.Errorf("%s is not readable by this version (%q): %w", path, b, err)
	}
	if id.NodeID != node {
		return false, fmt.Errorf("data directory %s belongs to node %d, this is node %d: use --node-id %d or another --data-dir",
			dir, id.NodeID, node, id.NodeID)
	}
	return id.Joining, checkComplete(fs, dir)
}

// joined takes note that the node has the cluster's metadata, and that all that it was assigned has been marked as joining.
func joined(fs vfs.FS, dir string, node raft.NodeID) error {
	return writeIdentity(fs, dir, identity{Version: identityVersion, NodeID: node})
}

func writeIdentity(fs vfs.FS, dir string, id identity) error {
	path := filepath.Join(dir, identityFile)
	b, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	temporary := path + ".tmp"
	f, err := fs.OpenFile(temporary, true)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(temporary, path)
	}
	if err == nil {
		err = fs.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// checkComplete refuses a data directory that has partition logs but lost what goes with them: with the metadata gone
// every log would be an orphan, and without the terms and votes a replica might vote twice.
func checkComplete(fs vfs.FS, dir string) error {
	metadata, stable := filepath.Join(dir, metadataDir, raft.MetadataFile), filepath.Join(dir, raft.StableFile)
	hasMetadata, err := fs.Exists(metadata)
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	hasStable, err := fs.Exists(stable) // the older of the two
	if err != nil {
		return fmt.Errorf("read data directory: %w", err)
	}
	if hasMetadata && !hasStable {
		return fmt.Errorf("data directory %s has metadata but no %s: restore it, or start with an empty directory and --join", dir, stable)
	}
	logs, err := fs.ReadDir(filepath.Join(dir, partition.LogsDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read data directory: %w", err)
	}
	if len(logs) == 0 {
		return nil
	}
	for part, exists := range map[string]bool{metadata: hasMetadata, stable: hasStable} {
		if !exists {
			return fmt.Errorf("data directory %s has %d partition logs but no %s: restore it, or start with an empty directory and --join",
				dir, len(logs), part)
		}
	}
	return nil
}
