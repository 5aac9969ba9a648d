//go:build !linux && !darwin && !freebsd

package server

import (
	"errors"
	"fmt"
)

// diskUsage fails: how to ask this system is not known here.
func diskUsage(dir string) (total, usable int64, err error) {
	return 0, 0, fmt.Errorf("free space of %s: %w", dir, errors.ErrUnsupported)
}
