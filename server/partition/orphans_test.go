package partition

import (
	"log/slog"
	"path"
	"testing"

	"balsa/log/vfs"
	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/config"
)

// TestOrphansAreJudgedByTheNewestImage covers a data loss: at a start the metadata was current, but the image that the
// manager had synced last was not, and replicas that this one did not know yet were deleted.
func TestOrphansAreJudgedByTheNewestImage(t *testing.T) {
	const node = raft.NodeID(1)
	topic := &cluster.Topic{
		ID: cluster.TopicID{7}, Name: "kept", Partitions: []cluster.Partition{{Replicas: []raft.NodeID{node}}},
	}
	older, newer := cluster.NewImage(), cluster.NewImage()
	older.Version, newer.Version = 3, 4
	newer.Topics[topic.ID] = topic
	for name, c := range map[string]struct{ synced, given *cluster.Image }{
		"synced lags behind": {older, newer},
		"given lags behind":  {newer, older},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			if err := fs.MkdirAll("data"); err != nil {
				t.Fatal(err)
			}
			m, err := NewManager(ManagerConfig{Node: node, Dir: "data", FS: fs, Resolver: defaults(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			dir := path.Join(m.logsDir, raft.GroupID{Topic: topic.ID}.String())
			if err := fs.MkdirAll(dir); err != nil {
				t.Fatal(err)
			}
			m.image.Store(c.synced)
			if err := m.RemoveOrphans(c.given); err != nil {
				t.Fatal(err)
			}
			if kept, err := fs.Exists(dir); err != nil || !kept {
				t.Errorf("the replica's directory exists: %v, %v", kept, err)
			}
		})
	}
}

func TestSyncIgnoresAnOlderImage(t *testing.T) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	m, err := NewManager(ManagerConfig{Node: 1, Dir: "data", FS: fs, Resolver: defaults(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	older, newer := cluster.NewImage(), cluster.NewImage()
	older.Version, newer.Version = 3, 4
	m.Sync(newer)
	m.Sync(older)
	if got := m.image.Load(); got != newer {
		t.Errorf("version %d is in force, want %d", got.Version, newer.Version)
	}
}

func defaults() *cluster.Resolver {
	c := config.Default()
	return cluster.NewResolver(&c)
}
