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
}

const identityVersion = 1

// claimDataDir makes dir this node's, or refuses it: when it is another node's, or when its parts do not belong together.
func claimDataDir(fs vfs.FS, dir string, node raft.NodeID) error {
	path := filepath.Join(dir, identityFile)
	b, err := fs.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := checkComplete(fs, dir); err != nil {
			return err
		}
		return writeIdentity(fs, dir, path, identity{Version: identityVersion, NodeID: node})
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	var id identity
	if err := json.Unmarshal(b, &id); err != nil || id.Version != identityVersion {
		return fmt.Errorf("%s is not readable by this version (%q): %w", path, b, err)
	}
	if id.NodeID != node {
		return fmt.Errorf("data directory %s belongs to node %d, this is node %d: use --node-id %d or another --data-dir",
			dir, id.NodeID, node, id.NodeID)
	}
	return checkComplete(fs, dir)
}

func writeIdentity(fs vfs.FS, dir, path string, id identity) error {
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
	logs, err := fs.ReadDir(filepath.Join(dir, partition.LogsDir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read data directory: %w", err)
	}
	if len(logs) == 0 {
		return nil
	}
	for _, part := range []string{filepath.Join(dir, metadataDir, raft.MetadataFile), filepath.Join(dir, raft.StableFile)} {
		exists, err := fs.Exists(part)
		if err != nil {
			return fmt.Errorf("read data directory: %w", err)
		}
		if !exists {
			return fmt.Errorf("data directory %s has %d partition logs but no %s: restore it, or start with an empty directory and another node id",
				dir, len(logs), part)
		}
	}
	return nil
}
