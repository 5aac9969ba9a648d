package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxIovecs is the kernel's IOV_MAX: pwritev refuses more buffers in one call.
const maxIovecs = 1024

// osFile adds the system calls that package os does not have: pwritev and fdatasync.
type osFile struct {
	*os.File
	raw syscall.RawConn // keeps the descriptor from being closed during a call
}

func newOSFile(f *os.File) (File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &osFile{File: f, raw: raw}, nil
}

// OSFile gives the file to sendfile.
func (f *osFile) OSFile() *os.File { return f.File }

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Sync() error {
	err := f.control(func(fd int) error { return unix.Fdatasync(fd) })
	if err != nil {
		return fmt.Errorf("fdatasync %s: %w", f.Name(), err)
	}
	return nil
}

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	written := 0
	rest := bufs // replaced by a copy before it is changed: the slice is the caller's
	for {
		for len(rest) > 0 && len(rest[0]) == 0 {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return written, nil
		}
		n, err := f.pwritev(rest[:min(len(rest), maxIovecs)], off+int64(written))
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return written, fmt.Errorf("pwritev %s at %d: %w", f.Name(), off+int64(written), err)
		}
		written += n
		rest = advance(rest, n)
	}
}

// advance drops the first n bytes of bufs, without writing to the caller's slice.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	bufs = append([][]byte(nil), bufs...)
	bufs[0] = bufs[0][n:]
	return bufs
}

func (f *osFile) pwritev(bufs [][]byte, off int64) (n int, err error) {
	err = f.control(func(fd int) (err error) {
		if len(bufs) == 1 {
			n, err = unix.Pwrite(fd, bufs[0], off)
		} else {
			n, err = unix.Pwritev(fd, bufs, off)
		}
		return err
	})
	return max(n, 0), err
}

// control calls fn with the descriptor, again after each EINTR.
func (f *osFile) control(fn func(fd int) error) error {
	var err error
	if cerr := f.raw.Control(func(fd uintptr) {
		for {
			if err = fn(int(fd)); !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}); cerr != nil {
		return cerr
	}
	return err
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}
