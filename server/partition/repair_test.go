package partition

import (
	"errors"
	"testing"

	"balsa/raft"
	"balsa/server/cluster"
)

// place makes an image of a later version in which the fixture's topic, if replicas are given, has them.
func (f *fixture) place(p cluster.Partition) {
	f.t.Helper()
	next := cluster.NewImage()
	next.Version = f.image.Version + 1
	if len(p.Replicas) > 0 {
		topic := &cluster.Topic{ID: topicID, Name: "t", Partitions: []cluster.Partition{p}}
		next.Topics[topicID], next.TopicsByName["t"] = topic, topic
	}
	f.image = next
	f.manager.Sync(next)
}

func (f *fixture) onDisk() []string {
	f.t.Helper()
	names, err := f.fs.ReadDir("data/logs")
	if err != nil {
		f.t.Fatal(err)
	}
	return names
}

func (f *fixture) group() *raft.Group {
	groups := f.manager.Groups()
	if len(groups) != 1 {
		f.t.Fatalf("%d replicas, want one", len(groups))
	}
	return groups[0]
}

// A node that gave a replica away and gets it back has forgotten what it promised: it joins, whatever the metadata says, also after a
// restart.
func TestReplicaThatReturnsJoins(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "x")); err != nil {
		t.Fatal(err)
	}
	if err := f.manager.RemoveOrphans(f.image); err != nil {
		t.Fatal(err)
	}
	f.place(cluster.Partition{Replicas: []raft.NodeID{2}, Epoch: 1})
	if names := f.onDisk(); len(names) > 0 {
		t.Errorf("left on disk: %v", names)
	}
	f.place(cluster.Partition{Replicas: []raft.NodeID{1, 2}, Epoch: 2})
	if !f.group().Joining() || len(f.group().Members()) > 0 {
		t.Errorf("joining %v, members %v", f.group().Joining(), f.group().Members())
	}
	if out := f.manager.OutOfService(); len(out) != 1 {
		t.Errorf("out of service: %v", out)
	}
	f.stop()
	f.start()
	if !f.group().Joining() {
		t.Error("a restart made it a member")
	}
	if err := f.manager.ForgetDeleted(f.image); err != nil {
		t.Fatal(err)
	}
	if known, err := f.host.Known(); err != nil || len(known) != 1 {
		t.Errorf("the term store knows %v, %v", known, err)
	}
	f.manager.current = true
	f.place(cluster.Partition{}) // the topic is deleted
	if known, err := f.host.Known(); err != nil || len(known) != 0 {
		t.Errorf("of a deleted topic the term store knows %v, %v", known, err)
	}
}

// What is being added joins; what was there at the beginning founds.
func TestAddedReplicaJoins(t *testing.T) {
	f := newFixture(t, nil)
	if f.group().Joining() {
		t.Error("the first replica joins")
	}
	f.stop()
	other := cluster.TopicID{8}
	topic := &cluster.Topic{ID: other, Name: "u", Partitions: []cluster.Partition{
		{Replicas: []raft.NodeID{1, 2}, Adding: []raft.NodeID{1}, Removing: []raft.NodeID{2}, Epoch: 1},
	}}
	image := cluster.NewImage()
	image.Topics[other], image.TopicsByName["u"] = topic, topic
	f.image = image
	f.start()
	if !f.group().Joining() {
		t.Error("a replica that is added founds its group")
	}
}

// A starting node replays images from before its start: by one of them no data may be deleted, because a later one may have
// brought the replica back.
func TestReplayedImageDeletesNothing(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "kept")); err != nil {
		t.Fatal(err)
	}
	f.place(cluster.Partition{Replicas: []raft.NodeID{2}, Epoch: 1})
	f.place(cluster.Partition{Replicas: []raft.NodeID{1}, Epoch: 3})
	if f.group().Joining() {
		t.Error("it joins although its data is there")
	}
	if got := f.values(0); len(got) != 1 || got[0] != "kept" {
		t.Errorf("values %v", got)
	}
	f.place(cluster.Partition{Replicas: []raft.NodeID{2}, Epoch: 4})
	if err := f.manager.RemoveOrphans(f.image); err != nil { // current now
		t.Fatal(err)
	}
	if names := f.onDisk(); len(names) > 0 {
		t.Errorf("left on disk: %v", names)
	}
}

// A replica that is open begins anew when its leader says so, and only in the life that the leader means.
func TestRebuildOpenReplica(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "x")); err != nil {
		t.Fatal(err)
	}
	id, life := raft.GroupID{Topic: topicID}, f.group().Life()
	if err := f.manager.Rebuild(t.Context(), id, life+2); err == nil || f.group().Joining() {
		t.Errorf("obeyed an order for another life: %v", err)
	}
	if err := f.manager.Rebuild(t.Context(), id, life); err != nil {
		t.Fatal(err)
	}
	p, err := f.manager.Get(topicID, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, end := p.Offsets(); !f.group().Joining() || end != 0 {
		t.Errorf("joining %v, log end %d", f.group().Joining(), end)
	}
	if err := f.manager.Rebuild(t.Context(), id, life); err == nil {
		t.Error("obeyed an order that came late")
	}
	f.stop()
	f.start()
	if !f.group().Joining() {
		t.Error("a restart made it a member")
	}
}

// An order to rebuild is for one occurrence of damage only.
func TestRebuildOnlyWhatIsDamaged(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := f.produce(records(t, -1, -1, -1, "x")); err != nil {
		t.Fatal(err)
	}
	id := raft.GroupID{Topic: topicID}
	if n, aside := f.manager.Damaged(id); n != 0 || aside {
		t.Errorf("damaged: %d, %v", n, aside)
	}
	if err := f.manager.Rebuild(t.Context(), id, 0); err == nil {
		t.Error("rebuilt a replica that is well")
	}
	f.stop()
	if err := f.fs.RemoveAll("data/logs/" + id.String()); err != nil {
		t.Fatal(err)
	}
	f.start()
	n, _ := f.manager.Damaged(id)
	if n == 0 {
		t.Fatal("a replica whose log is gone is not damaged")
	}
	if err := f.manager.Rebuild(t.Context(), id, n+2); err == nil {
		t.Error("rebuilt for another occurrence")
	}
	if err := f.manager.Rebuild(t.Context(), id, n); err != nil {
		t.Fatal(err)
	}
	if n, aside := f.manager.Damaged(id); n != 0 || aside || !f.group().Joining() {
		t.Errorf("damaged %d, %v, joining %v", n, aside, f.group().Joining())
	}
	f.manager.aside[id] = setAside{errors.New("too many open files"), 9}
	if n, aside := f.manager.Damaged(id); n != 0 || !aside {
		t.Errorf("a replica that could not be opened: damaged %d, %v", n, aside)
	}
	delete(f.manager.aside, id)
}
