package log

import (
	"sync"
	"sync/atomic"

	"balsa/log/vfs"
)

// handle is an open file that closes when the last of its users lets go.
type handle struct {
	vfs.File
	users atomic.Int32
}

func (h *handle) release() {
	if h.users.Add(-1) == 0 {
		_ = h.Close() // nothing unwritten is left: writers check their fsyncs
	}
}

// lazyFile is a file that is opened when it is needed.
type lazyFile struct {
	fs   vfs.FS
	path string

	mu      sync.Mutex
	h       *handle
	used    bool  // since the last call of closeIdle
	retired error // why it cannot be opened any more
}

// acquire returns the open file; the caller releases it.
func (f *lazyFile) acquire() (*handle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h == nil {
		if f.retired != nil {
			return nil, f.retired
		}
		file, err := f.fs.OpenFile(f.path, false)
		if err != nil {
			return nil, err
		}
		f.adopt(file)
	}
	f.used = true
	f.h.users.Add(1)
	return f.h, nil
}

// adopt keeps file open. The caller holds mu, or is alone.
func (f *lazyFile) adopt(file vfs.File) {
	f.h = &handle{File: file}
	f.h.users.Store(1)
}

// replace makes file what acquire returns.
func (f *lazyFile) replace(file vfs.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h != nil {
		f.h.release()
	}
	f.adopt(file)
}

// closeIdle closes the file if it was not used since the last call.
func (f *lazyFile) closeIdle() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h != nil && !f.used {
		f.h.release()
		f.h = nil
	}
	f.used = false
}

// closeNow closes the file, once its users have let go; it is opened again when it is needed.
func (f *lazyFile) closeNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h != nil {
		f.h.release()
		f.h = nil
	}
}

// retire closes the file for good, once its users have let go: acquire answers why.
func (f *lazyFile) retire(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.h != nil {
		f.h.release()
		f.h = nil
	}
	f.retired = why
}
