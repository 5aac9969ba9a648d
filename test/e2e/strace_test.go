//go:build linux

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"balsa/test/harness"
)

// traced are the system calls that move or sync bytes. A question mark: not every architecture has it.
const traced = "read,write,pread64,pwrite64,readv,writev,preadv,pwritev,?preadv2,?pwritev2,sendto,sendmsg,recvfrom,recvmsg," +
	"?sendfile,?sendfile64,splice,?copy_file_range,fsync,fdatasync,?sync_file_range,ftruncate,mmap,?io_uring_enter"

// call is a system call that succeeded.
type call struct {
	name  string
	files []string // what its descriptors name, in the order of the arguments: a path, or TCP:[local->remote]
	n     int64    // what it returned
}

// on says whether a descriptor of the call names a file of this kind: ".log", for example.
func (c *call) on(suffix string) bool {
	for _, f := range c.files {
		if strings.HasPrefix(f, "/") && strings.HasSuffix(f, suffix) {
			return true
		}
	}
	return false
}

// to says whether the call's first descriptor is a connection to a local address.
func (c *call) to(address string) bool {
	return len(c.files) > 0 && strings.HasPrefix(c.files[0], "TCP:["+address+"->")
}

func (c *call) isWrite() bool { return strings.Contains(c.name, "write") }

// sends says whether the call puts bytes of this process's memory into a socket or file.
func (c *call) sends() bool {
	return c.isWrite() || strings.HasPrefix(c.name, "sendto") || strings.HasPrefix(c.name, "sendmsg")
}

func (c *call) reads() bool {
	return strings.Contains(c.name, "read") || strings.HasPrefix(c.name, "recv")
}

func (c *call) String() string {
	return fmt.Sprintf("%s(%s) = %d", c.name, strings.Join(c.files, ", "), c.n)
}

// tracer is strace on one node.
type tracer struct {
	node *harness.Node
	cmd  *exec.Cmd
	dir  string
	done chan error
}

// trace attaches strace to every node, or skips the test where that is impossible. Both ends of the trace are known: it
// returns when all threads are attached, and tracer.stop when all are detached.
func trace(t *testing.T, c *harness.Cluster) []*tracer {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: apt-get install strace")
	}
	var all []*tracer
	for _, n := range c.Nodes {
		all = append(all, attach(t, n))
	}
	return all
}

func attach(t *testing.T, n *harness.Node) *tracer {
	t.Helper()
	for range 5 {
		tr := &tracer{node: n, dir: t.TempDir(), done: make(chan error, 1)}
		// -ff: a file per thread, in which no line is cut in two; -yy: paths and addresses; -s 0: no contents.
		tr.cmd = exec.Command("strace", "-ff", "-o", filepath.Join(tr.dir, "thread"), "-yy", "-s", "0", "-e", "signal=none",
			"-e", "trace="+traced, "-p", strconv.Itoa(n.PID()))
		tr.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
		stderr, err := tr.cmd.StderrPipe()
		must(t, err)
		must(t, tr.cmd.Start())
		t.Cleanup(func() { _ = tr.end() })
		said := bufio.NewReader(stderr)
		line, _ := said.ReadString('\n')
		go func() {
			_, _ = io.Copy(io.Discard, said)
			tr.done <- tr.cmd.Wait()
			close(tr.done)
		}()
		switch {
		case strings.Contains(line, "ermission denied"), strings.Contains(line, "not permitted"):
			t.Skipf("ptrace is refused here: %s", strings.TrimSpace(line))
		case !strings.Contains(line, "attached"):
			t.Fatalf("attach strace to %s: %q", n.Name, line)
		}
		if allTraced(t, n.PID()) {
			return tr
		}
		must(t, tr.end()) // a thread began meanwhile and was missed
	}
	t.Fatalf("%s begins threads faster than strace attaches to them", n.Name)
	return nil
}

// allTraced says whether a tracer has every thread of the process.
func allTraced(t *testing.T, pid int) bool {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	must(t, err)
	for _, name := range files {
		status, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		}
		must(t, err)
		if strings.Contains(string(status), "\nTracerPid:\t0\n") {
			return false
		}
	}
	return len(files) > 0
}

// end detaches. It may be called again.
func (tr *tracer) end() error {
	_ = tr.cmd.Process.Signal(syscall.SIGINT) // fails if strace has ended, which is as well
	select {
	case <-tr.done: // strace repeats the signal as its status
		return nil
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("strace of %s does not detach", tr.node.Name), tr.cmd.Process.Kill())
	}
}

// stop detaches and returns what the node did meanwhile, thread by thread.
func (tr *tracer) stop(t *testing.T) []call {
	t.Helper()
	must(t, tr.end())
	files, err := filepath.Glob(filepath.Join(tr.dir, "thread.*"))
	must(t, err)
	if len(files) == 0 {
		t.Fatalf("strace of %s wrote nothing", tr.node.Name)
	}
	var calls []call
	for _, name := range files {
		text, err := os.ReadFile(name)
		must(t, err)
		for line := range strings.Lines(string(text)) {
			c, ok, err := parseCall(strings.TrimSpace(line))
			must(t, err)
			if !ok {
				continue
			}
			for _, f := range c.files {
				if strings.HasPrefix(f, "socket:[") {
					t.Skip("strace cannot tell sockets apart here: the kernel has no sock_diag")
				}
			}
			calls = append(calls, c)
		}
	}
	return calls
}

var (
	callLine   = regexp.MustCompile(`^(\w+)\((.*)\)\s+= (0x[0-9a-f]+|-?\d+|\?)`)
	descriptor = regexp.MustCompile(`\b\d+<((?:->|[^<>])*)>`)
)

// parseCall reads a line of strace; false for a call that failed or that was cut off when strace attached or detached.
func parseCall(line string) (call, bool, error) {
	m := callLine.FindStringSubmatch(line)
	if m == nil {
		// At the ends of the trace: "<... futex resumed>)", "read(7<...>,  <detached ...>", "+++ exited with 0 +++".
		if line == "" || strings.HasPrefix(line, "<...") || strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "---") ||
			strings.HasSuffix(line, "<detached ...>") || strings.HasSuffix(line, "<unfinished ...>") {
			return call{}, false, nil
		}
		return call{}, false, fmt.Errorf("what does strace say with %q?", line)
	}
	c := call{name: m[1]}
	for _, d := range descriptor.FindAllStringSubmatch(m[2], -1) {
		c.files = append(c.files, d[1])
	}
	n, err := strconv.ParseInt(m[3], 0, 64)
	if err != nil && m[3] != "?" {
		return call{}, false, fmt.Errorf("strace's %q: %w", line, err)
	}
	c.n = n
	return c, err == nil && n >= 0, nil
}

func TestParseCall(t *testing.T) {
	for line, want := range map[string]string{
		`pwritev(12</d/0.log>, [{iov_base=""..., iov_len=61}, {iov_base=""..., iov_len=9}], 2, 4096) = 70`:     "pwritev(/d/0.log) = 70",
		`sendfile(9<TCP:[127.0.0.1:9092->127.0.0.1:4000]>, 12</d/0.log>, [0] => [262144], 262144) = 262144`:    "sendfile(TCP:[127.0.0.1:9092->127.0.0.1:4000], /d/0.log) = 262144",
		`fdatasync(12</d/0.log>)                 = 0`:                                                          "fdatasync(/d/0.log) = 0",
		`read(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, 0xc000, 4096) = -1 EAGAIN (Resource temporarily unavailable)`: "",
		`read(9<anon_inode:[eventfd]>, ""..., 8) = 8`:                                                          "read(anon_inode:[eventfd]) = 8",
		`read(9</d/0.log>,  <detached ...>`:                                                                    "",
		`mmap(NULL, 4096, PROT_READ, MAP_SHARED, 5</d/raft.db>, 0) = 0x7f0000000000`:                           "mmap(/d/raft.db) = 139637976727552",
		`<... pread64 resumed>""..., 8) = 8`:                                                                   "",
		`+++ exited with 0 +++`:                                                                                "",
	} {
		c, ok, err := parseCall(line)
		if err != nil || ok != (want != "") || ok && c.String() != want {
			t.Errorf("%s: %v, %t, %v, want %q", line, &c, ok, err, want)
		}
	}
	if _, _, err := parseCall("strace: something new"); err == nil {
		t.Error("a line that is no call was accepted")
	}
}
