package vfs

import (
	"io"
	"os"
	"sync"
	"syscall"
)

// ErrNoSpace is what a full disk answers.
var ErrNoSpace error = syscall.ENOSPC

// OpKind is a kind of file-system operation.
type OpKind int

// The kinds of operations that a Fault sees.
const (
	OpOpen OpKind = iota
	OpRead
	OpWrite
	OpSync
	OpTruncate
	OpSize
	OpClose
	OpRename
	OpRemove
	OpMkdir
	OpSyncDir
	OpReadDir
	OpLock
	opKinds
)

// String names the kind.
func (k OpKind) String() string {
	return [...]string{
		"open", "read", "write", "sync", "truncate", "size", "close", "rename", "remove", "mkdir", "syncdir", "readdir", "lock",
	}[k]
}

// Op is an operation about to be done.
type Op struct {
	Kind  OpKind
	Path  string
	Off   int64
	Bytes int // to be read or written
}

// Verdict says what a rule wants done with an operation. The zero Verdict lets it pass.
type Verdict struct {
	Err error
	// Written is how many bytes of a write land before Err is returned.
	Written int
}

// Rule decides about each operation. It may be called concurrently, and may do anything, such as crash the disk.
type Rule func(Op) Verdict

// Count is how often something was done, and with how many bytes.
type Count struct{ Ops, Bytes int64 }

// Fault wraps a file system to make operations fail and to count them. Counts include failed operations.
type Fault struct {
	fs FS

	mu     sync.Mutex
	rule   Rule
	counts [opKinds]Count
	match  func(Op) bool
}

var _ FS = (*Fault)(nil)

// NewFault wraps fs. A nil rule lets everything pass.
func NewFault(fs FS, rule Rule) *Fault { return &Fault{fs: fs, rule: rule} }

// SetRule replaces the rule; nil lets everything pass.
func (f *Fault) SetRule(rule Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rule = rule
}

// Reset sets the counts to zero and counts from now on only what match accepts (nil: everything).
func (f *Fault) Reset(match func(Op) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts = [opKinds]Count{}
	f.match = match
}

// Count returns what was counted of a kind.
func (f *Fault) Count(k OpKind) Count {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[k]
}

func (f *Fault) judge(op Op) Verdict {
	f.mu.Lock()
	rule := f.rule
	if f.match == nil || f.match(op) {
		f.counts[op.Kind].Ops++
		f.counts[op.Kind].Bytes += int64(op.Bytes)
	}
	f.mu.Unlock()
	if rule == nil {
		return Verdict{}
	}
	return rule(op)
}

func (f *Fault) check(kind OpKind, path string) error { return f.judge(Op{Kind: kind, Path: path}).Err }

// OpenFile opens a file whose operations are judged too.
func (f *Fault) OpenFile(path string, create bool) (File, error) {
	if err := f.check(OpOpen, path); err != nil {
		return nil, err
	}
	file, err := f.fs.OpenFile(path, create)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fault: f}, nil
}

// Rename is judged by its target path.
func (f *Fault) Rename(from, to string) error {
	if err := f.check(OpRename, to); err != nil {
		return err
	}
	return f.fs.Rename(from, to)
}

// Remove deletes a file.
func (f *Fault) Remove(path string) error {
	if err := f.check(OpRemove, path); err != nil {
		return err
	}
	return f.fs.Remove(path)
}

// RemoveAll deletes a tree.
func (f *Fault) RemoveAll(path string) error {
	if err := f.check(OpRemove, path); err != nil {
		return err
	}
	return f.fs.RemoveAll(path)
}

// MkdirAll creates a directory.
func (f *Fault) MkdirAll(path string) error {
	if err := f.check(OpMkdir, path); err != nil {
		return err
	}
	return f.fs.MkdirAll(path)
}

// SyncDir syncs a directory.
func (f *Fault) SyncDir(path string) error {
	if err := f.check(OpSyncDir, path); err != nil {
		return err
	}
	return f.fs.SyncDir(path)
}

// ReadDir lists a directory.
func (f *Fault) ReadDir(path string) ([]string, error) {
	if err := f.check(OpReadDir, path); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(path)
}

// ReadFile is counted as one read of the file's size.
func (f *Fault) ReadFile(path string) ([]byte, error) {
	b, err := f.fs.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if v := f.judge(Op{Kind: OpRead, Path: path, Bytes: len(b)}); v.Err != nil {
		return nil, v.Err
	}
	return b, nil
}

// Exists is not judged.
func (f *Fault) Exists(path string) (bool, error) { return f.fs.Exists(path) }

// Lock takes a lock.
func (f *Fault) Lock(path string) (io.Closer, error) {
	if err := f.check(OpLock, path); err != nil {
		return nil, err
	}
	return f.fs.Lock(path)
}

type faultFile struct {
	File
	fault *Fault
}

// OSFile lets sendfile through: what it reads is not judged.
func (f *faultFile) OSFile() *os.File { return OSFile(f.File) }

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if v := f.fault.judge(Op{Kind: OpRead, Path: f.Name(), Off: off, Bytes: len(p)}); v.Err != nil {
		return 0, v.Err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) { return f.WritevAt([][]byte{p}, off) }

func (f *faultFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		total += len(b)
	}
	v := f.fault.judge(Op{Kind: OpWrite, Path: f.Name(), Off: off, Bytes: total})
	if v.Err == nil {
		return f.File.WritevAt(bufs, off)
	}
	var joined []byte
	for _, b := range bufs {
		joined = append(joined, b...)
	}
	n := min(v.Written, total)
	if n > 0 {
		if _, err := f.File.WriteAt(joined[:n], off); err != nil {
			return 0, err
		}
	}
	return n, v.Err
}

func (f *faultFile) Sync() error {
	if err := f.fault.check(OpSync, f.Name()); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *faultFile) Truncate(size int64) error {
	if v := f.fault.judge(Op{Kind: OpTruncate, Path: f.Name(), Off: size}); v.Err != nil {
		return v.Err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.fault.check(OpSize, f.Name()); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *faultFile) Close() error {
	if err := f.fault.check(OpClose, f.Name()); err != nil {
		return err
	}
	return f.File.Close()
}
