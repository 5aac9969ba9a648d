package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
)

// memInode is a file's content, apart from its names.
type memInode struct {
	mu      sync.RWMutex
	data    []byte
	durable []byte      // content as of the last Sync
	pending []memChange // what happened to it since
}

// memChange is a write (data at off) or a truncation (data nil, off the new size).
type memChange struct {
	off  int64
	data []byte
}

func (n *memInode) change(c memChange) {
	n.data = applyChange(n.data, c)
	n.pending = append(n.pending, c)
}

func applyChange(content []byte, c memChange) []byte {
	if c.data == nil {
		return resize(content, c.off)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[c.off:], c.data)
	return content
}

// resize cuts content or extends it with zeros, which also a reused capacity must hold.
func resize(content []byte, size int64) []byte {
	if size <= int64(len(content)) {
		return content[:size]
	}
	if size <= int64(cap(content)) {
		old := len(content)
		content = content[:size]
		clear(content[old:])
		return content
	}
	grown := make([]byte, size, max(size, 2*int64(cap(content))))
	copy(grown, content)
	return grown
}

// memFile is an open file of a Mem.
type memFile struct {
	inode  *memInode
	name   string
	closed atomic.Bool
}

func (f *memFile) check(op string) error {
	if f.closed.Load() {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("read %s: negative offset", f.name)
	}
	f.inode.mu.RLock()
	defer f.inode.mu.RUnlock()
	if off >= int64(len(f.inode.data)) {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	n := copy(p, f.inode.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) { return f.WritevAt([][]byte{p}, off) }

func (f *memFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	if err := f.check("write"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, fmt.Errorf("write %s: negative offset", f.name)
	}
	joined := []byte{}
	for _, b := range bufs {
		joined = append(joined, b...)
	}
	if len(joined) == 0 {
		return 0, nil
	}
	f.inode.mu.Lock()
	defer f.inode.mu.Unlock()
	f.inode.change(memChange{off: off, data: joined})
	return len(joined), nil
}

func (f *memFile) Sync() error {
	if err := f.check("sync"); err != nil {
		return err
	}
	f.inode.mu.Lock()
	defer f.inode.mu.Unlock()
	for _, c := range f.inode.pending {
		f.inode.durable = applyChange(f.inode.durable, c)
	}
	f.inode.pending = nil
	return nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.check("truncate"); err != nil {
		return err
	}
	if size < 0 {
		return fmt.Errorf("truncate %s: negative size", f.name)
	}
	f.inode.mu.Lock()
	defer f.inode.mu.Unlock()
	f.inode.change(memChange{off: size})
	return nil
}

func (f *memFile) Size() (int64, error) {
	if err := f.check("stat"); err != nil {
		return 0, err
	}
	f.inode.mu.RLock()
	defer f.inode.mu.RUnlock()
	return int64(len(f.inode.data)), nil
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}
