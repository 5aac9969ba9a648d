//go:build crash

package crash

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"balsa/test/harness"
)

// TestPowerCutAll cuts the power of all nodes at once under load: what was not fsynced is gone, apart from pages that the
// kernel happened to have written back.
func TestPowerCutAll(t *testing.T) {
	powerCuts(t, func(s *suite) []*harness.Node { return s.Cluster.Nodes })
}

// TestPowerCutOne cuts the power of one node.
func TestPowerCutOne(t *testing.T) {
	powerCuts(t, func(s *suite) []*harness.Node {
		victim, _ := s.victim()
		return []*harness.Node{victim}
	})
}

func powerCuts(t *testing.T, choose func(*suite) []*harness.Node) {
	disks := map[int32]*lossyDisk{}
	s := newSuite(t, *nodes, func(o *harness.Options) {
		program := buildLossyFS(t, o.Dir)
		o.DataDir = func(id int32) string {
			disks[id] = newLossyDisk(t, program, filepath.Join(o.Dir, fmt.Sprintf("disk-%d", id)))
			return filepath.Join(disks[id].mnt, "data")
		}
	})
	s.startLoad()
	var total loss
	for range *rounds {
		s.pause(2 * time.Second)
		victims := choose(s)
		// All stop in the same moment, before the first disk forgets anything.
		for _, n := range victims {
			s.Must(n.Signal(syscall.SIGSTOP))
		}
		for _, n := range victims {
			awaitStopped(s, n)
			l, err := disks[n.ID].crash(s.Rand.IntN(101), s.Rand.Uint64())
			s.Must(err)
			total.PagesLost += l.PagesLost
			total.PagesKept += l.PagesKept
			total.NamesLost += l.NamesLost
			total.NamesKept += l.NamesKept
			s.Must(n.Kill())
		}
		for _, n := range victims {
			s.Must(disks[n.ID].mount())
		}
		s.Must(s.Cluster.Restore(s.Within(patience), victims...))
		s.flowing()
	}
	t.Logf("%d power cuts; of what was not synced: %+v", *rounds, total)
	if total.PagesLost == 0 {
		t.Error("no unsynced page was lost: the test proves nothing")
	}
	s.finish()
	s.Must(s.Cluster.Close()) // before the disks go
}

// loss is lossyfs's answer to a crash.
type loss struct {
	PagesLost, PagesKept, NamesLost, NamesKept int
}

// lossyDisk is a directory mounted through lossyfs.
type lossyDisk struct {
	program, root, mnt string

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func buildLossyFS(t *testing.T, dir string) string {
	t.Helper()
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("power cuts need FUSE: %v", err)
	}
	program := filepath.Join(dir, "lossyfs")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = "lossyfs"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build lossyfs: %v\n%s", err, out)
	}
	return program
}

func newLossyDisk(t *testing.T, program, dir string) *lossyDisk {
	t.Helper()
	d := &lossyDisk{program: program, root: filepath.Join(dir, "root"), mnt: filepath.Join(dir, "mnt")}
	if err := errors.Join(os.MkdirAll(filepath.Join(d.root, "data"), 0o700), os.MkdirAll(d.mnt, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := d.mount(); err != nil {
		if errors.Is(err, errMount) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	t.Cleanup(d.unmount)
	return d
}

var errMount = errors.New("power cuts need the right to mount")

func (d *lossyDisk) mount() error {
	d.cmd = exec.Command(d.program, "-root", d.root, "-mount", d.mnt)
	d.cmd.Stderr = os.Stderr
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	d.out = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if line, err := d.out.ReadString('\n'); err != nil || line != "mounted\n" {
		return fmt.Errorf("%w: %q, %w", errMount, line, errors.Join(err, d.cmd.Wait()))
	}
	return nil
}

// crash cuts the power; the disk is not mounted afterwards.
func (d *lossyDisk) crash(keep int, seed uint64) (loss, error) {
	var l loss
	if _, err := fmt.Fprintf(d.in, "crash %d %d\n", keep, seed); err != nil {
		return l, fmt.Errorf("crash disk: %w", err)
	}
	line, err := d.out.ReadBytes('\n')
	if err != nil {
		return l, fmt.Errorf("crash disk: %w", err)
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return l, fmt.Errorf("crash disk: %w", err)
	}
	d.in.Close()
	if err := d.cmd.Wait(); err != nil {
		return l, fmt.Errorf("crash disk: %w", err)
	}
	d.cmd = nil
	return l, nil
}

// unmount ends the file system; that it may be gone already is no error.
func (d *lossyDisk) unmount() {
	if d.cmd != nil {
		d.in.Close()
		_ = d.cmd.Wait()
	}
	_ = syscall.Unmount(d.mnt, syscall.MNT_DETACH)
}
