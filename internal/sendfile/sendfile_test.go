package sendfile

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// pair returns two connected sockets.
func pair(t *testing.T, network, address string) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return near, far
}

// content has no two equal ranges of some length.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8*31 ^ i>>16*17)
	}
	return b
}

func store(t *testing.T, b []byte) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCopy sends more than fits a socket's buffers, and more than one system call takes, over every kind of way.
func TestCopy(t *testing.T) {
	const pos, n = 12345, 2*maxChunk + 678
	want := content(3 * maxChunk)
	file := store(t, want)
	tcpNear, tcpFar := pair(t, "tcp", "127.0.0.1:0")
	unixNear, unixFar := pair(t, "unix", filepath.Join(t.TempDir(), "s"))
	pipeNear, pipeFar := net.Pipe()
	for _, c := range []struct {
		name string
		src  io.ReaderAt
		w    io.Writer
		far  io.Reader
	}{
		{"file to TCP", file, tcpNear, tcpFar},
		{"file to Unix", file, unixNear, unixFar},
		{"file to pipe", file, pipeNear, pipeFar},
		{"memory to TCP", Bytes(want), tcpNear, tcpFar},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make([]byte, n)
			var wg sync.WaitGroup
			var readErr error
			wg.Go(func() { _, readErr = io.ReadFull(c.far, got) })
			sent, err := Copy(c.w, c.src, pos, n)
			if sent != n || err != nil {
				t.Fatalf("sent %d, %v", sent, err)
			}
			wg.Wait()
			if readErr != nil || !bytes.Equal(got, want[pos:pos+n]) {
				t.Errorf("other bytes arrived (%v)", readErr)
			}
		})
	}
}

func TestCopyBeyondTheEnd(t *testing.T) {
	b := content(100)
	near, far := pair(t, "tcp", "127.0.0.1:0")
	for name, src := range map[string]io.ReaderAt{"file": store(t, b), "memory": Bytes(b)} {
		sent, err := Copy(near, src, 60, 50)
		if sent != 40 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: sent %d, %v", name, sent, err)
		}
		got := make([]byte, 40)
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, b[60:]) {
			t.Errorf("%s: %v arrived, %v", name, got, err)
		}
	}
}

// TestCopyToNobody ends with an error when the other side is gone.
func TestCopyToNobody(t *testing.T) {
	near, far := pair(t, "tcp", "127.0.0.1:0")
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	file := store(t, nil)
	if err := file.Truncate(64 * maxChunk); err != nil {
		t.Fatal(err)
	}
	if sent, err := Copy(near, file, 0, 64*maxChunk); err == nil {
		t.Errorf("sent %d bytes to a closed connection", sent)
	}
}
