package main

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is a file or directory; it passes operations on to the backing directory and tells the journal before.
type node struct {
	fs.LoopbackNode

	j *journal
}

func (n *node) path(names ...string) string {
	return filepath.Join(append([]string{n.j.root, n.Path(n.Root())}, names...)...)
}

// locked runs an operation alone and refuses it after the crash.
func (n *node) locked(f func() syscall.Errno) syscall.Errno { return n.j.locked(f) }

func (j *journal) locked(f func() syscall.Errno) syscall.Errno {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.crashed {
		return syscall.EIO
	}
	return f()
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	var h fs.FileHandle
	var fuseFlags uint32
	errno := n.locked(func() syscall.Errno {
		if flags&syscall.O_TRUNC != 0 {
			if errno := n.truncating(0); errno != 0 {
				return errno
			}
		}
		var errno syscall.Errno
		h, fuseFlags, errno = n.LoopbackNode.Open(ctx, flags&^syscall.O_APPEND)
		return errno
	})
	if errno != 0 {
		return nil, 0, errno
	}
	return n.wrap(h, n.path(), fuseFlags)
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (
	child *fs.Inode, h fs.FileHandle, fuseFlags uint32, errno syscall.Errno,
) {
	errno = n.locked(func() syscall.Errno {
		child, h, fuseFlags, errno = n.LoopbackNode.Create(ctx, name, flags&^syscall.O_APPEND, mode, out)
		if errno != 0 {
			return errno
		}
		return fs.ToErrno(n.j.create(n.path(), name))
	})
	if errno != 0 {
		return nil, nil, 0, errno
	}
	h, fuseFlags, errno = n.wrap(h, n.path(name), fuseFlags)
	return child, h, fuseFlags, errno
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (child *fs.Inode, errno syscall.Errno) {
	errno = n.locked(func() syscall.Errno {
		child, errno = n.LoopbackNode.Mkdir(ctx, name, mode, out)
		if errno != 0 {
			return errno
		}
		return fs.ToErrno(n.j.create(n.path(), name))
	})
	return child, errno
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	return n.locked(func() syscall.Errno { return fs.ToErrno(n.j.remove(n.path(), name)) })
}

func (n *node) Rmdir(_ context.Context, name string) syscall.Errno {
	return n.locked(func() syscall.Errno {
		entries, err := os.ReadDir(n.path(name))
		if err != nil {
			return fs.ToErrno(err)
		}
		if len(entries) > 0 {
			return syscall.ENOTEMPTY
		}
		return fs.ToErrno(n.j.remove(n.path(), name))
	})
}

func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	if flags != 0 {
		return syscall.ENOTSUP
	}
	to := filepath.Join(n.j.root, parent.EmbeddedInode().Path(n.Root()))
	return n.locked(func() syscall.Errno { return fs.ToErrno(n.j.rename(n.path(), name, to, newName)) })
}

// Link and Symlink are not needed by a broker; what is not modelled is refused.
func (n *node) Link(context.Context, fs.InodeEmbedder, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (n *node) Symlink(context.Context, string, string, *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return nil, syscall.ENOTSUP
}

func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}

// truncating prepares the journal for a change of this file's size.
func (n *node) truncating(size int64) syscall.Errno {
	f, err := os.Open(n.path())
	if err != nil {
		return fs.ToErrno(err)
	}
	defer f.Close()
	return fs.ToErrno(n.j.beforeTruncate(f, size))
}

func (n *node) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if w, ok := h.(*handle); ok {
		h = w.LoopbackFile
	}
	return n.locked(func() syscall.Errno {
		if size, ok := in.GetSize(); ok {
			if errno := n.truncating(int64(size)); errno != 0 {
				return errno
			}
		}
		return n.LoopbackNode.Setattr(ctx, h, in, out)
	})
}

func (n *node) Getattr(ctx context.Context, h fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if w, ok := h.(*handle); ok {
		h = w.LoopbackFile
	}
	return n.LoopbackNode.Getattr(ctx, h, out)
}

// Fsync serves files and directories.
func (n *node) Fsync(_ context.Context, h fs.FileHandle, _ uint32) syscall.Errno {
	return n.locked(func() syscall.Errno {
		if w, ok := h.(*handle); ok {
			return fs.ToErrno(n.j.synced(w.shadow))
		}
		return fs.ToErrno(n.j.dirSynced(n.path()))
	})
}

// handle is an open file. The shadow is the journal's own descriptor of it, which also works once it is unlinked.
type handle struct {
	*fs.LoopbackFile

	j      *journal
	shadow *os.File
}

func (n *node) wrap(h fs.FileHandle, path string, fuseFlags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	shadow, err := os.Open(path)
	if err != nil {
		return nil, 0, fs.ToErrno(err)
	}
	return &handle{h.(*fs.LoopbackFile), n.j, shadow}, fuseFlags, 0
}

func (h *handle) Write(ctx context.Context, data []byte, off int64) (written uint32, errno syscall.Errno) {
	errno = h.j.locked(func() syscall.Errno {
		if err := h.j.beforeWrite(h.shadow, off, int64(len(data))); err != nil {
			return fs.ToErrno(err)
		}
		written, errno = h.LoopbackFile.Write(ctx, data, off)
		return errno
	})
	return written, errno
}

func (h *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	return h.j.locked(func() syscall.Errno {
		if _, err := h.j.opened(h.shadow); err != nil {
			return fs.ToErrno(err)
		}
		return h.LoopbackFile.Allocate(ctx, off, size, mode)
	})
}

func (h *handle) Release(ctx context.Context) syscall.Errno {
	h.shadow.Close()
	return h.LoopbackFile.Release(ctx)
}

// PassthroughFd keeps the kernel from writing to the backing file by itself.
func (h *handle) PassthroughFd() (int, bool) { return -1, false }

// OpendirHandle wraps directories so that they can be fsynced.
func (n *node) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, fuseFlags, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return h, fuseFlags, errno
	}
	return &dirHandle{h, n}, fuseFlags, 0
}

type dirHandle struct {
	fs.FileHandle

	n *node
}

func (d *dirHandle) Fsyncdir(ctx context.Context, flags uint32) syscall.Errno {
	return d.n.Fsync(ctx, nil, flags)
}

func (d *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	return d.FileHandle.(fs.FileReaddirenter).Readdirent(ctx)
}

func (d *dirHandle) Seekdir(ctx context.Context, off uint64) syscall.Errno {
	return d.FileHandle.(fs.FileSeekdirer).Seekdir(ctx, off)
}

func (d *dirHandle) Releasedir(ctx context.Context, flags uint32) {
	d.FileHandle.(fs.FileReleasedirer).Releasedir(ctx, flags)
}
