// Package sendfile copies byte ranges of files to network connections without passing them through this process.
package sendfile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxChunk bounds one sendfile call, so that a connection's deadline and other writers get their turn.
const maxChunk = 1 << 20

// Copy sends n bytes of src from pos to w: by sendfile(2) when src is an *os.File and w a TCP or Unix connection, else
// through a buffer. It does not use a file's own position, so any number of Copies of one file may run at the same time.
// It returns the number of bytes sent; io.ErrUnexpectedEOF when src is shorter than said. Write deadlines of w are honoured.
func Copy(w io.Writer, src io.ReaderAt, pos, n int64) (int64, error) {
	f, isFile := src.(*os.File)
	var sc syscall.Conn
	switch c := w.(type) {
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	}
	if !isFile || sc == nil {
		return buffered(w, src, pos, n)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("sendfile: %w", err)
	}
	in := int(f.Fd())
	var sent int64
	var opErr error
	err = rc.Write(func(out uintptr) bool {
		for sent < n {
			off := pos + sent
			k, err := unix.Sendfile(int(out), in, &off, int(min(n-sent, maxChunk)))
			sent += int64(max(k, 0)) // BSDs tell with EAGAIN and EINTR what went out before; Linux answers -1
			switch {
			case err == nil && k == 0:
				opErr = io.ErrUnexpectedEOF
				return true
			case err == nil:
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false
			default:
				opErr = os.NewSyscallError("sendfile", err)
				return true
			}
		}
		return true
	})
	if opErr != nil {
		err = opErr
	}
	return sent, err
}

// Bytes is a source in memory.
type Bytes []byte

// ReadAt implements io.ReaderAt.
func (b Bytes) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func buffered(w io.Writer, src io.ReaderAt, pos, n int64) (int64, error) {
	if b, ok := src.(Bytes); ok { // io.Copy would take a buffer of 32 KiB for the smallest piece
		if pos < 0 || n < 0 || pos > int64(len(b)) {
			return 0, io.ErrUnexpectedEOF
		}
		b = b[pos:]
		sent, err := w.Write(b[:min(n, int64(len(b)))])
		if err == nil && int64(sent) < n {
			err = io.ErrUnexpectedEOF
		}
		return int64(sent), err
	}
	sent, err := io.Copy(w, io.NewSectionReader(src, pos, n))
	if err == nil && sent < n {
		err = io.ErrUnexpectedEOF
	}
	return sent, err
}
