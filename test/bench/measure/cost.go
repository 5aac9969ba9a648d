// Package measure is what the benchmarks report with: what servers and clients cost, statistics over passes, and on which
// machine that was.
package measure

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"balsa/test/harness"
)

// Cost is processor time and disk writes.
type Cost struct {
	Server, Client time.Duration
	Written        int64 // bytes that the servers sent to the disk
}

// Meter measures the cost of what happens between Start and Stop.
type Meter struct {
	Since  time.Time
	pids   []int
	before Cost
}

// Start begins to measure servers, and this process, which is their client.
func Start(pids []int) (*Meter, error) {
	before, err := soFar(pids)
	return &Meter{Since: time.Now(), pids: pids, before: before}, err
}

// Stop returns how long it took and what it cost.
func (m *Meter) Stop() (time.Duration, Cost, error) {
	took := time.Since(m.Since)
	now, err := soFar(m.pids)
	return took, Cost{now.Server - m.before.Server, now.Client - m.before.Client, now.Written - m.before.Written}, err
}

func soFar(pids []int) (Cost, error) {
	var c Cost
	var err error
	if c.Server, err = harness.CPUTime(pids...); err != nil {
		return c, err
	}
	for _, pid := range pids {
		io, err := harness.ReadIO(pid)
		if err != nil {
			return c, err
		}
		c.Written += io.DiskWrite
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return c, fmt.Errorf("own processor time: %w", err)
	}
	c.Client = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return c, nil
}

// Payload is random, so that nothing on the way can gain from its content; values are windows of it.
func Payload() []byte {
	b := make([]byte, 8<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], rng.Uint64())
	}
	return b
}

// Sleep returns after d, or with an error when ctx ends before.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
