//go:build !linux

package vfs

import (
	"fmt"
	"os"
)

// osFile is the portable variant: one write call per buffer, and fsync for fdatasync.
type osFile struct{ *os.File }

func newOSFile(f *os.File) (File, error) { return &osFile{f}, nil }

// OSFile gives the file to sendfile.
func (f *osFile) OSFile() *os.File { return f.File }

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	written := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(written))
		written += n
		if err != nil {
			return written, fmt.Errorf("write %s: %w", f.Name(), err)
		}
	}
	return written, nil
}

// lockFile does nothing: without flock two processes on one directory are not told apart here.
func lockFile(*os.File) error { return nil }
