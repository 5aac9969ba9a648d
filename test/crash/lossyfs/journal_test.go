package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// disk drives a journal as the FUSE layer does.
type disk struct {
	*testing.T
	*journal
}

func newDisk(t *testing.T) *disk {
	t.Helper()
	j, err := newJournal(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &disk{t, j}
}

func (d *disk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *disk) make(name string) *os.File {
	d.Helper()
	f, err := os.OpenFile(filepath.Join(d.root, name), os.O_CREATE|os.O_RDWR, 0o600)
	d.must(err)
	d.Cleanup(func() { f.Close() })
	d.must(d.create(filepath.Dir(f.Name()), filepath.Base(name)))
	return f
}

func (d *disk) mkdir(name string) {
	d.Helper()
	d.must(os.Mkdir(filepath.Join(d.root, name), 0o700))
	d.must(d.create(d.root, name))
}

func (d *disk) put(f *os.File, off int64, data []byte) {
	d.Helper()
	d.must(d.beforeWrite(f, off, int64(len(data))))
	_, err := f.WriteAt(data, off)
	d.must(err)
}

func (d *disk) cut(f *os.File, size int64) {
	d.Helper()
	d.must(d.beforeTruncate(f, size))
	d.must(f.Truncate(size))
}

func (d *disk) want(name string, data []byte) {
	d.Helper()
	got, err := os.ReadFile(filepath.Join(d.root, name))
	d.must(err)
	if !bytes.Equal(got, data) {
		d.Errorf("%s holds %d bytes %.20q, want %d bytes %.20q", name, len(got), got, len(data), data)
	}
}

func (d *disk) gone(name string) {
	d.Helper()
	if _, err := os.Lstat(filepath.Join(d.root, name)); !os.IsNotExist(err) {
		d.Errorf("%s is there (%v)", name, err)
	}
}

func (d *disk) powerCut(keep int) loss {
	d.Helper()
	l, err := d.crash(keep, rand.New(rand.NewPCG(1, 2)))
	d.must(err)
	d.gone(graveyard)
	return l
}

func TestOnlySyncedContentSurvives(t *testing.T) {
	d := newDisk(t)
	f := d.make("a")
	d.must(d.dirSynced(d.root))
	first := bytes.Repeat([]byte("first"), 2000) // more than two pages
	d.put(f, 0, first)
	d.must(d.synced(f))
	d.put(f, 5000, []byte("overwritten"))
	d.put(f, 9990, bytes.Repeat([]byte("tail"), 5000))
	if l := d.powerCut(0); l.PagesLost == 0 || l.PagesKept != 0 {
		t.Errorf("lost %+v", l)
	}
	d.want("a", first)
}

func TestTruncateIsTakenBack(t *testing.T) {
	d := newDisk(t)
	f := d.make("a")
	d.must(d.dirSynced(d.root))
	content := bytes.Repeat([]byte("0123456789"), 1000)
	d.put(f, 0, content)
	d.must(d.synced(f))
	d.cut(f, 10)
	d.put(f, 10, []byte("new"))
	d.powerCut(0)
	d.want("a", content)
}

func TestEverythingMaySurvive(t *testing.T) {
	d := newDisk(t)
	f := d.make("a")
	content := bytes.Repeat([]byte("0123456789"), 1000)
	d.put(f, 0, content)
	if l := d.powerCut(100); l.PagesKept != 3 || l.NamesKept != 1 {
		t.Errorf("lost %+v", l)
	}
	d.want("a", content)
}

func TestNamesNeedTheirDirectorySynced(t *testing.T) {
	d := newDisk(t)
	for _, name := range []string{"kept", "old", "target", "removed"} {
		f := d.make(name)
		d.put(f, 0, []byte(name))
		d.must(d.synced(f))
	}
	d.must(d.dirSynced(d.root))
	d.must(d.synced(d.make("new")))
	d.must(d.rename(d.root, "old", d.root, "target"))
	d.must(d.remove(d.root, "removed"))
	d.mkdir("dir")
	d.must(d.synced(d.make("dir/inside")))
	d.powerCut(0)
	for _, name := range []string{"kept", "old", "target", "removed"} {
		d.want(name, []byte(name))
	}
	d.gone("new")
	d.gone("dir")
}

func TestSyncedNamesStay(t *testing.T) {
	d := newDisk(t)
	f := d.make("temp")
	d.put(f, 0, []byte("content"))
	d.must(d.synced(f))
	other := d.make("target")
	d.put(other, 0, []byte("older"))
	d.must(d.synced(other))
	d.must(d.dirSynced(d.root))
	d.must(d.rename(d.root, "temp", d.root, "target"))
	d.must(d.dirSynced(d.root))
	d.powerCut(0)
	d.want("target", []byte("content"))
	d.gone("temp")
}
