// Package vfs is the only door to the disk. Its interfaces are small so that tests can fail every operation and
// crash at any moment.
package vfs

import (
	"errors"
	"io"
)

// ErrLocked means that another process (or another Lock of this one) holds the lock.
var ErrLocked = errors.New("locked by another process")

// File is an open file. ReadAt may be called concurrently with everything; writers are one at a time.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// WritevAt writes the buffers one after another at off with as few system calls as possible. It returns the
	// bytes written, which with an error are a prefix of the buffers.
	WritevAt(bufs [][]byte, off int64) (int, error)
	// Sync is fdatasync: on return the file's data and the size needed to read it are durable.
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
	Name() string
}

// FS is a file system. Paths are slash-separated; all methods may be called concurrently. A missing file is reported as
// an error that is fs.ErrNotExist.
type FS interface {
	// OpenFile opens for reading and writing, creating when create is set (0600).
	OpenFile(path string, create bool) (File, error)
	Rename(from, to string) error // durable only after SyncDir
	Remove(path string) error
	RemoveAll(path string) error // nil when there is nothing
	MkdirAll(path string) error
	SyncDir(path string) error
	ReadDir(path string) ([]string, error) // base names, sorted
	ReadFile(path string) ([]byte, error)
	Exists(path string) (bool, error)
	// Lock takes an exclusive lock of the process on path; ErrLocked when another process holds it.
	Lock(path string) (io.Closer, error)
}
