package server

import (
	"log/slog"
	"testing"

	"balsa/raft"
)

func TestSpaceFor(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		total, usable int64
		want          raft.Space
	}{
		{1 << 40, 256 * mib, raft.SpaceAmple},
		{1 << 40, 256*mib - 1, raft.SpaceLow},
		{1 << 40, 128*mib - 1, raft.SpaceScarce},
		{1 << 40, 64*mib - 1, raft.SpaceCritical},
		{1 << 40, 0, raft.SpaceCritical},
		{100 * mib, 5 * mib, raft.SpaceAmple},
		{100 * mib, 5*mib - 1, raft.SpaceLow},
		{100 * mib, mib, raft.SpaceCritical},
	} {
		if got := spaceFor(c.total, c.usable); got != c.want {
			t.Errorf("%d of %d bytes free: %v, want %v", c.usable, c.total, got, c.want)
		}
	}
}

func TestDiskGuardLooksAgain(t *testing.T) {
	d := &diskGuard{dir: t.TempDir(), logger: slog.New(slog.DiscardHandler)}
	d.last.Store(uint32(raft.SpaceLow))
	d.near.Store(true)
	if got := d.space(); got == raft.SpaceLow {
		t.Skip("the disk really is full")
	}
	if d.queueSegment() < minQueueSegment {
		t.Errorf("segments of queues have at most %d bytes", d.queueSegment())
	}
}
