package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
)

// Mem is a file system in memory that knows what would survive a power cut: file contents are durable only as of
// the file's last Sync, names only as of their directory's last SyncDir. Crash makes the state after a cut.
type Mem struct {
	mu    sync.Mutex
	root  *memDir
	locks map[string]bool
}

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system with a root directory, which is also the current one.
func NewMem() *Mem { return &Mem{root: newMemDir(), locks: map[string]bool{}} }

// memDir is a directory: what is there now, what was there at the last SyncDir, and the changes in between.
type memDir struct {
	now     map[string]any // *memInode or *memDir
	durable map[string]any
	pending []dirChange
}

// dirChange is one atomic change of a directory: it unbinds a name, binds another, or both (rename).
type dirChange struct {
	unbind string
	bind   string
	node   any
}

func newMemDir() *memDir { return &memDir{now: map[string]any{}, durable: map[string]any{}} }

func (c dirChange) applyTo(m map[string]any) {
	if c.unbind != "" {
		delete(m, c.unbind)
	}
	if c.bind != "" {
		m[c.bind] = c.node
	}
}

func (d *memDir) change(c dirChange) {
	c.applyTo(d.now)
	d.pending = append(d.pending, c)
}

func split(p string) []string {
	p = strings.Trim(path.Clean("/"+p), "/")
	if p == "" {
		return nil
	}
	return strings.Split(p, "/")
}

func notExist(op, p string) error { return &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist} }

// dir finds a directory; parts are its path.
func (m *Mem) dir(op, p string, parts []string) (*memDir, error) {
	d := m.root
	for _, part := range parts {
		next, ok := d.now[part].(*memDir)
		if !ok {
			return nil, notExist(op, p)
		}
		d = next
	}
	return d, nil
}

// parent finds the directory that holds p, and p's name in it.
func (m *Mem) parent(op, p string) (*memDir, string, error) {
	parts := split(p)
	if len(parts) == 0 {
		return nil, "", fmt.Errorf("%s %q: is the root directory", op, p)
	}
	d, err := m.dir(op, p, parts[:len(parts)-1])
	return d, parts[len(parts)-1], err
}

// OpenFile opens a file.
func (m *Mem) OpenFile(p string, create bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("open", p)
	if err != nil {
		return nil, err
	}
	switch node := d.now[name].(type) {
	case *memInode:
		return &memFile{inode: node, name: p}, nil
	case *memDir:
		return nil, fmt.Errorf("open %s: is a directory", p)
	}
	if !create {
		return nil, notExist("open", p)
	}
	node := &memInode{}
	d.change(dirChange{bind: name, node: node})
	return &memFile{inode: node, name: p}, nil
}

// Rename moves a file within its directory.
func (m *Mem) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	src, fromName, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	dst, toName, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	node, ok := src.now[fromName]
	if !ok {
		return notExist("rename", from)
	}
	if src == dst {
		src.change(dirChange{unbind: fromName, bind: toName, node: node})
		return nil
	}
	dst.change(dirChange{bind: toName, node: node})
	src.change(dirChange{unbind: fromName})
	return nil
}

// Remove deletes a file or an empty directory. Open files stay usable.
func (m *Mem) Remove(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("remove", p)
	if err != nil {
		return err
	}
	node, ok := d.now[name]
	if !ok {
		return notExist("remove", p)
	}
	if sub, ok := node.(*memDir); ok && len(sub.now) > 0 {
		return fmt.Errorf("remove %s: directory not empty", p)
	}
	d.change(dirChange{unbind: name})
	return nil
}

// RemoveAll deletes a tree.
func (m *Mem) RemoveAll(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, name, err := m.parent("remove", p)
	if err != nil || d.now[name] == nil {
		return nil
	}
	if sub, ok := d.now[name].(*memDir); ok {
		sub.clear()
	}
	d.change(dirChange{unbind: name})
	return nil
}

func (d *memDir) clear() {
	for _, name := range sortedKeys(d.now) {
		if sub, ok := d.now[name].(*memDir); ok {
			sub.clear()
		}
		d.change(dirChange{unbind: name})
	}
}

// MkdirAll creates a directory and its parents.
func (m *Mem) MkdirAll(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.root
	for _, part := range split(p) {
		switch node := d.now[part].(type) {
		case *memDir:
			d = node
		case nil:
			sub := newMemDir()
			d.change(dirChange{bind: part, node: sub})
			d = sub
		default:
			return fmt.Errorf("mkdir %s: %s is a file", p, part)
		}
	}
	return nil
}

// SyncDir makes the directory's names durable.
func (m *Mem) SyncDir(p string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir("sync", p, split(p))
	if err != nil {
		return err
	}
	for _, c := range d.pending {
		c.applyTo(d.durable)
	}
	d.pending = nil
	return nil
}

// ReadDir lists a directory.
func (m *Mem) ReadDir(p string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.dir("readdir", p, split(p))
	if err != nil {
		return nil, err
	}
	return sortedKeys(d.now), nil
}

func sortedKeys(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// ReadFile returns a whole file.
func (m *Mem) ReadFile(p string) ([]byte, error) {
	f, err := m.OpenFile(p, false)
	if err != nil {
		return nil, err
	}
	node := f.(*memFile).inode
	node.mu.RLock()
	defer node.mu.RUnlock()
	return append([]byte(nil), node.data...), nil
}

// Exists says whether something is at path.
func (m *Mem) Exists(p string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	parts := split(p)
	if len(parts) == 0 {
		return true, nil
	}
	d, err := m.dir("stat", p, parts[:len(parts)-1])
	if err != nil {
		return false, nil
	}
	return d.now[parts[len(parts)-1]] != nil, nil
}

// Lock takes a lock that lasts until closed, or until Crash.
func (m *Mem) Lock(p string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p = path.Clean(p)
	if m.locks[p] {
		return nil, fmt.Errorf("lock %s: %w", p, ErrLocked)
	}
	m.locks[p] = true
	return memLock{m, p}, nil
}

type memLock struct {
	m *Mem
	p string
}

func (l memLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locks, l.p)
	return nil
}
