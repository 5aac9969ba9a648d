package server

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/config"
	"balsa/server/partition"
)

// runOnce starts a single node in dir, waits until it serves, and stops it.
func runOnce(t *testing.T, dir string, node int32) error {
	t.Helper()
	c := config.Default()
	c.NodeID, c.DataDir, c.Listen = node, dir, "127.0.0.1:0"
	s, err := New(c, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-done:
		cancel()
		return err
	}
	cancel()
	return <-done
}

func TestDataDirectoryOfAnotherNodeIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := runOnce(t, dir, 1); err != nil {
		t.Fatal(err)
	}
	err := runOnce(t, dir, 2)
	if err == nil || !strings.Contains(err.Error(), "belongs to node 1") || !strings.Contains(err.Error(), "--node-id 1") {
		t.Errorf("node 2 in node 1's directory: %v", err)
	}
	if err := runOnce(t, dir, 1); err != nil {
		t.Errorf("its own node: %v", err)
	}
}

// A broker whose metadata was lost took every log for an orphan, and deleted it.
func TestIncompleteDataDirectoryIsRefused(t *testing.T) {
	for _, lost := range []string{metadataDir, raft.StableFile} {
		t.Run(lost, func(t *testing.T) {
			dir := t.TempDir()
			if err := runOnce(t, dir, 1); err != nil {
				t.Fatal(err)
			}
			logs, err := os.ReadDir(filepath.Join(dir, partition.LogsDir))
			if err != nil || len(logs) == 0 {
				t.Fatalf("no logs to lose: %v", err)
			}
			if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
				t.Fatal(err)
			}
			if err := runOnce(t, dir, 1); err == nil || !strings.Contains(err.Error(), lost) {
				t.Errorf("without %s: %v", lost, err)
			}
			if after, err := os.ReadDir(filepath.Join(dir, partition.LogsDir)); err != nil || len(after) != len(logs) {
				t.Errorf("%d of %d logs are left (%v)", len(after), len(logs), err)
			}
		})
	}
}

func TestUnreadableIdentityIsRefused(t *testing.T) {
	for _, content := range []string{"", "{", `{"version":2,"node_id":1}`} {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("data"); err != nil {
			t.Fatal(err)
		}
		f, err := fs.OpenFile("data/"+identityFile, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte(content), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := claimDataDir(fs, "data", 1, false, func() error { return nil }); err == nil {
			t.Errorf("%q was accepted", content)
		}
	}
}
