package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a broker process that can be ended and started again with the same command. It is not safe for
// concurrent use, except for PID.
type Process struct {
	Name string   // for messages
	Argv []string // program and arguments
	Log  string   // file that stdout and stderr are appended to

	mu      sync.Mutex
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process has ended
	waitErr error         // set before exited is closed
}

// Start runs the command. The process is killed when this one dies.
func (p *Process) Start() error {
	out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	defer out.Close()
	cmd := exec.Command(p.Argv[0], p.Argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = processAttributes()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	exited := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.exited = cmd, exited
	p.mu.Unlock()
	go func() {
		p.waitErr = cmd.Wait()
		close(exited)
	}()
	return nil
}

// PID is the id of the last started process, 0 before the first.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Running says whether the process was started and has not ended.
func (p *Process) Running() bool {
	if p.PID() == 0 {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL and fails if something else had ended it before: then the fault did not happen.
func (p *Process) Kill() error {
	if !p.Running() {
		return fmt.Errorf("kill %s: it is not running (%w)", p.Name, p.outcome())
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	if KilledBy(p.waitErr, syscall.SIGKILL) {
		return nil
	}
	return fmt.Errorf("kill %s: it ended by itself: %w", p.Name, p.outcome())
}

// KilledBy says whether the outcome of a process is that a signal killed it.
func KilledBy(outcome error, s syscall.Signal) bool {
	exit, ok := errors.AsType[*exec.ExitError](outcome)
	if !ok {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == s
}

// Stop ends the process with SIGTERM, after grace with SIGKILL, and reports how it ended.
func (p *Process) Stop(grace time.Duration) error {
	if !p.Running() {
		return p.outcome()
	}
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
		return p.outcome()
	case <-time.After(grace):
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return fmt.Errorf("stop %s: still running after %v, killed", p.Name, grace)
}

// Signal sends a signal to the running process.
func (p *Process) Signal(s syscall.Signal) error {
	if err := syscall.Kill(p.PID(), s); err != nil {
		return fmt.Errorf("send %v to %s: %w", s, p.Name, err)
	}
	return nil
}

// LastLines is the end of what the process said.
func (p *Process) LastLines(n int) string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// outcome is how the process ended: nil for exit status 0 and for a process that never ran.
func (p *Process) outcome() error {
	if p.PID() == 0 || p.waitErr == nil {
		return nil
	}
	return fmt.Errorf("%s: %w (log: %s)", p.Name, p.waitErr, p.Log)
}
