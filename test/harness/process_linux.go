package harness

import "syscall"

// processAttributes puts the process into its own group, away from the terminal's Ctrl-C, and ties it to this one.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
