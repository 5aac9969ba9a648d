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

// Copy sends n bytes of f from pos to w, by sendfile(2) when w is a TCP or Unix connection, else through a buffer. It does not
// use the file's own position, so any number of Copies of one file may run at the same time. It returns the number of
// bytes sent; io.ErrUnexpectedEOF when the file is shorter than said. Write deadlines of w are honoured.
func Copy(w io.Writer, f *os.File, pos, n int64) (int64, error) {
	sc, ok := w.(syscall.Conn)
	if !ok {
		return buffered(w, f, pos, n)
	}
	switch w.(type) {
	case *net.TCPConn, *net.UnixConn:
	default:
		return buffered(w, f, pos, n)
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
			switch {
			case err == nil && k == 0:
				opErr = io.ErrUnexpectedEOF
				return true
			case err == nil:
				sent += int64(k)
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

func buffered(w io.Writer, f io.ReaderAt, pos, n int64) (int64, error) {
	sent, err := io.Copy(w, io.NewSectionReader(f, pos, n))
	if err == nil && sent < n {
		err = io.ErrUnexpectedEOF
	}
	return sent, err
}
