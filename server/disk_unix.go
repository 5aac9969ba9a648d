//go:build linux || darwin || freebsd

package server

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskUsage returns the size of the file system of dir and what can still be written there, in bytes.
func diskUsage(dir string) (total, usable int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	block := int64(st.Bsize) //nolint:unconvert // another type on each system
	return int64(st.Blocks) * block, int64(st.Bavail) * block, nil
}
