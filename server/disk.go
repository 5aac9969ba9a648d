package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"balsa/raft"
)

const (
	diskCheckInterval = 200 * time.Millisecond
	// The reserve is so much, or a twentieth of the file system where that is less. While less is free nothing is produced;
	// what may be written of it is for what frees space, see spaceFor. What is in flight when it is noticed must fit, too.
	diskReserve         = 256 << 20
	diskReserveFraction = 20
	// minQueueSegment is the least that queueSegment returns.
	minQueueSegment = 1 << 20
)

// diskGuard watches the space on the data directory's file system. It is safe for concurrent use.
type diskGuard struct {
	dir    string
	logger *slog.Logger
	last   atomic.Uint32 // the raft.Space of the last look
	near   atomic.Bool   // the last look found that the reserve may be reached before the next regular one
}

// usage returns the size of the file system and the bytes that can still be written there.
func (d *diskGuard) usage() (total, usable int64, err error) { return diskUsage(d.dir) }

func reserveOf(total int64) int64 { return min(diskReserve, total/diskReserveFraction) }

// spaceFor divides the reserve: half is for dead letters, half of the rest for what is on its way to a follower, and what is left
// for internal entries.
func spaceFor(total, usable int64) raft.Space {
	reserve := reserveOf(total)
	switch {
	case usable >= reserve:
		return raft.SpaceAmple
	case usable >= reserve/2:
		return raft.SpaceLow
	case usable >= reserve/4:
		return raft.SpaceScarce
	}
	return raft.SpaceCritical
}

// queueSegment is how large segments of queues may be, in bytes; 0 when that is not known. The dead letters of all records in one
// must fit into their part of the reserve: before they are written the segment cannot be deleted.
func (d *diskGuard) queueSegment() int64 {
	total, _, err := d.usage()
	if err != nil {
		return 0
	}
	return max(reserveOf(total)/4, minQueueSegment)
}

// space returns how much may be written. Far from the reserve it is what was seen at the last regular look, else it looks again:
// the disk may fill faster than run looks.
func (d *diskGuard) space() raft.Space {
	s := raft.Space(d.last.Load())
	if !d.near.Load() {
		return s
	}
	if seen, err := d.look(); err == nil {
		return seen
	}
	return s
}

func (d *diskGuard) look() (raft.Space, error) {
	total, usable, err := d.usage()
	if err != nil {
		return raft.SpaceAmple, err
	}
	s := spaceFor(total, usable)
	d.near.Store(usable < reserveOf(total)+diskReserve)
	was := raft.Space(d.last.Swap(uint32(s)))
	switch {
	case s == was:
	case s == raft.SpaceAmple:
		d.logger.Info("disk space is back: producing is allowed", "dir", d.dir, "free", usable)
	case was == raft.SpaceAmple:
		d.logger.Error("disk full: producing is refused until space is back", "dir", d.dir, "free", usable, "space", s)
	default:
		d.logger.Info("space in the disk's reserve has changed", "dir", d.dir, "free", usable, "space", s)
	}
	return s, nil
}

// run looks until ctx ends.
func (d *diskGuard) run(ctx context.Context) {
	ticker := time.NewTicker(diskCheckInterval)
	defer ticker.Stop()
	for {
		if _, err := d.look(); err != nil {
			d.logger.Error("cannot tell the free disk space", "dir", d.dir, "err", err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
