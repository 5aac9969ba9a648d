package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sort"
)

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// OpenFile opens path for reading and writing.
func (OS) OpenFile(path string, create bool) (File, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, fileMode)
	if err != nil {
		return nil, err
	}
	return newOSFile(f)
}

// Rename replaces to by from.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file or an empty directory.
func (OS) Remove(path string) error { return os.Remove(path) }

// RemoveAll deletes a tree.
func (OS) RemoveAll(path string) error { return os.RemoveAll(path) }

// MkdirAll creates a directory and its parents (0700).
func (OS) MkdirAll(path string) error { return os.MkdirAll(path, dirMode) }

// SyncDir makes creations, renames and removals in the directory durable.
func (OS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}

// ReadDir lists the base names in a directory, sorted.
func (OS) ReadDir(path string) ([]string, error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	names, err := d.Readdirnames(-1)
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", path, err)
	}
	sort.Strings(names)
	return names, nil
}

// ReadFile returns a whole file.
func (OS) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// Exists says whether something is at path.
func (OS) Exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Lock takes an exclusive lock on the file at path, creating it. The file stays when the lock goes: removing it
// would let two processes hold locks on two files of one name.
func (OS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// OSFile returns the *os.File under f, or nil when f is not the operating system's.
func OSFile(f any) *os.File {
	if o, ok := f.(interface{ OSFile() *os.File }); ok {
		return o.OSFile()
	}
	return nil
}
