package main

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

const pageSize = 4096

// graveyard keeps, below the root, what was unlinked while the directory is not synced yet.
const graveyard = ".lossyfs"

// journal knows how to take back everything that was not fsynced. File contents are durable as of the file's last
// fsync, names as of their directory's. It works on the backing directory, so that it can be tested without FUSE.
type journal struct {
	mu      sync.Mutex
	root    string
	files   map[uint64]*fileUndo // by inode number
	dirs    map[uint64][]nameOp  // by the directory's inode number, oldest first
	buried  int
	crashed bool
}

// fileUndo is how a file looked at its last fsync, as far as it changed since.
type fileUndo struct {
	size  int64            // then
	pages map[int64][]byte // by page number: content then, shorter than a page at the end of the file
}

// nameOp is a change of a directory that is not durable yet.
type nameOp struct {
	name   string
	undo   nameUndo
	from   uint64 // renamed: the directory it came from
	old    string // renamed: the name it had there
	buried string // removed, replaced: where the file waits in the graveyard
}

type nameUndo int

const (
	created nameUndo = iota
	removed
	renamed
)

func newJournal(root string) (*journal, error) {
	if err := os.MkdirAll(filepath.Join(root, graveyard), 0o700); err != nil {
		return nil, fmt.Errorf("make graveyard: %w", err)
	}
	return &journal{root: root, files: map[uint64]*fileUndo{}, dirs: map[uint64][]nameOp{}}, nil
}

func inodeOf(path string) (uint64, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return 0, err
	}
	return st.Ino, nil
}

// opened returns the record of a file, whose present state counts as durable when it is new to the journal.
func (j *journal) opened(f *os.File) (*fileUndo, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	u := j.files[st.Ino]
	if u == nil {
		u = &fileUndo{size: st.Size, pages: map[int64][]byte{}}
		j.files[st.Ino] = u
	}
	return u, nil
}

// beforeWrite saves the durable content of the pages that a write of n bytes at off is about to change.
func (j *journal) beforeWrite(f *os.File, off, n int64) error {
	u, err := j.opened(f)
	if err != nil {
		return err
	}
	for p := off / pageSize; p*pageSize < off+n; p++ {
		if _, saved := u.pages[p]; saved {
			continue
		}
		old := make([]byte, max(0, min(pageSize, u.size-p*pageSize)))
		if _, err := f.ReadAt(old, p*pageSize); err != nil && len(old) > 0 {
			return fmt.Errorf("save page %d of %s: %w", p, f.Name(), err)
		}
		u.pages[p] = old
	}
	return nil
}

// beforeTruncate saves what a change of size is about to cut off.
func (j *journal) beforeTruncate(f *os.File, size int64) error {
	u, err := j.opened(f)
	if err != nil || size >= u.size {
		return err
	}
	return j.beforeWrite(f, size, u.size-size)
}

// synced makes a file's present content durable.
func (j *journal) synced(f *os.File) error {
	var st syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	j.files[st.Ino] = &fileUndo{size: st.Size, pages: map[int64][]byte{}}
	return nil
}

// dirSynced makes a directory's present names durable.
func (j *journal) dirSynced(dir string) error {
	ino, err := inodeOf(dir)
	if err != nil {
		return err
	}
	for _, op := range j.dirs[ino] {
		if op.buried != "" {
			os.RemoveAll(op.buried)
		}
	}
	delete(j.dirs, ino)
	return nil
}

// create notes that a name came into being. A file that is new has nothing durable in it.
func (j *journal) create(dir, name string) error {
	if ino, err := inodeOf(filepath.Join(dir, name)); err == nil {
		j.files[ino] = &fileUndo{pages: map[int64][]byte{}}
	}
	return j.note(dir, nameOp{name: name, undo: created})
}

func (j *journal) note(dir string, op nameOp) error {
	ino, err := inodeOf(dir)
	if err != nil {
		return err
	}
	j.dirs[ino] = append(j.dirs[ino], op)
	return nil
}

// bury moves a file or directory out of sight instead of removing it.
func (j *journal) bury(path string) (string, error) {
	j.buried++
	to := filepath.Join(j.root, graveyard, fmt.Sprint(j.buried))
	return to, os.Rename(path, to)
}

func (j *journal) remove(dir, name string) error {
	grave, err := j.bury(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	return j.note(dir, nameOp{name: name, undo: removed, buried: grave})
}

// rename counts as a change of the directory that it goes to.
func (j *journal) rename(fromDir, old, toDir, name string) error {
	op := nameOp{name: name, undo: renamed, old: old}
	var err error
	if op.from, err = inodeOf(fromDir); err != nil {
		return err
	}
	to := filepath.Join(toDir, name)
	if _, err := os.Lstat(to); err == nil {
		if op.buried, err = j.bury(to); err != nil {
			return err
		}
	}
	if err := os.Rename(filepath.Join(fromDir, old), to); err != nil {
		return err
	}
	return j.note(toDir, op)
}

// loss counts what a crash took.
type loss struct {
	PagesLost, PagesKept, NamesLost, NamesKept int
}

// crash leaves in the backing directory what a disk would hold after a power cut: every unsynced page survives with a
// probability of keep percent, as the kernel may have written it back; of the unsynced changes of a directory an
// oldest part survives, since file systems journal them in order.
func (j *journal) crash(keep int, rng *rand.Rand) (loss, error) {
	j.crashed = true
	var l loss
	paths, err := j.paths()
	if err != nil {
		return l, err
	}
	for _, ino := range sortedKeys(j.files) {
		// A file that was unlinked for good has no path any more.
		if path, ok := paths[ino]; ok {
			if err := j.files[ino].takeBack(path, keep, rng, &l); err != nil {
				return l, err
			}
		}
	}
	for _, ino := range sortedKeys(j.dirs) {
		ops := j.dirs[ino]
		stay := 0
		for stay < len(ops) && rng.IntN(100) < keep {
			stay++
		}
		l.NamesKept += stay
		l.NamesLost += len(ops) - stay
		for _, op := range slices.Backward(ops[stay:]) {
			if err := j.undoName(ino, op); err != nil {
				return l, err
			}
		}
	}
	return l, os.RemoveAll(filepath.Join(j.root, graveyard))
}

func sortedKeys[V any](m map[uint64]V) []uint64 {
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// paths finds every inode below the root, also those in the graveyard.
func (j *journal) paths() (map[uint64]string, error) {
	found := map[uint64]string{}
	err := filepath.WalkDir(j.root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ino, err := inodeOf(path)
		found[ino] = path
		return err
	})
	return found, err
}

// undoName takes one change of a directory back. Directories may have moved by what was undone before: paths are
// looked up again. A directory that is gone takes its names with it.
func (j *journal) undoName(dir uint64, op nameOp) error {
	paths, err := j.paths()
	if err != nil {
		return err
	}
	at, ok := paths[dir]
	if !ok {
		return nil
	}
	path := filepath.Join(at, op.name)
	switch op.undo {
	case created:
		return os.RemoveAll(path)
	case removed:
		return os.Rename(op.buried, path)
	}
	if from, ok := paths[op.from]; ok {
		if err := os.Rename(path, filepath.Join(from, op.old)); err != nil {
			return err
		}
	} else if err := os.RemoveAll(path); err != nil {
		return err
	}
	if op.buried != "" {
		return os.Rename(op.buried, path)
	}
	return nil
}

// takeBack restores the durable content of the file at path, apart from pages that survive by chance.
func (u *fileUndo) takeBack(path string, keep int, rng *rand.Rand, l *loss) error {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() || (len(u.pages) == 0 && info.Size() == u.size) {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	size := u.size
	var lost []int64
	for p := range u.pages {
		lost = append(lost, p)
	}
	slices.Sort(lost)
	lost = slices.DeleteFunc(lost, func(p int64) bool {
		if rng.IntN(100) >= keep || p*pageSize >= info.Size() {
			return false
		}
		size = max(size, min(info.Size(), (p+1)*pageSize))
		l.PagesKept++
		return true
	})
	l.PagesLost += len(lost)
	for _, p := range lost {
		page := make([]byte, pageSize) // a hole reads as zeros
		copy(page, u.pages[p])
		if _, err := f.WriteAt(page, p*pageSize); err != nil {
			return err
		}
	}
	return f.Truncate(size)
}
