package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

const (
	diskCheckInterval = 200 * time.Millisecond
	// Producing stops while less than this is free, or a twentieth of the file system where that is less: elections,
	// log start moves, positions and the metadata must still fit, and what is in flight when it is noticed.
	diskReserve         = 256 << 20
	diskReserveFraction = 20
)

// diskGuard watches the space on the data directory's file system.
type diskGuard struct {
	dir    string
	logger *slog.Logger
	low    atomic.Bool
}

// full says whether producing must stop.
func (d *diskGuard) full() bool { return d.low.Load() }

// usage returns the size of the file system and the bytes that can still be written there.
func (d *diskGuard) usage() (total, usable int64, err error) { return diskUsage(d.dir) }

// run checks until ctx ends.
func (d *diskGuard) run(ctx context.Context) {
	ticker := time.NewTicker(diskCheckInterval)
	defer ticker.Stop()
	for {
		total, usable, err := d.usage()
		if err != nil {
			d.logger.Error("cannot tell the free disk space", "dir", d.dir, "err", err)
			return
		}
		low := usable < min(diskReserve, total/diskReserveFraction)
		if low != d.low.Swap(low) {
			if low {
				d.logger.Error("disk full: producing is refused until space is back", "dir", d.dir, "free", usable)
			} else {
				d.logger.Info("disk space is back: producing is allowed", "dir", d.dir, "free", usable)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
