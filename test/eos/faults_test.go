//go:build eos

package eos

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"balsa/test/harness"
)

// fault is one way to disturb the run. It returns when what it broke has been mended.
type fault struct {
	name  string
	nodes bool // needs nodes of our own
	cause func() error
}

func (s *suite) faults() []fault {
	group := func(ctx context.Context) (int32, error) { return s.groupCoordinator(ctx) }
	txn := func(ctx context.Context) (int32, error) {
		return s.transactionCoordinator(ctx, s.slots[s.Rand.IntN(len(s.slots))].transactionalID)
	}
	return []fault{
		{"worker killed", false, s.killWorker},
		{"worker made a zombie", false, s.zombie},
		{"group coordinator killed", true, func() error { return s.killNode(group) }},
		{"transaction coordinator killed", true, func() error { return s.killNode(txn) }},
		{"output leader killed", true, func() error { return s.killNode(s.outputLeader) }},
		{"transaction coordinator hung", true, func() error { return s.hangNode(txn) }},
	}
}

// chaos causes faults of every kind while the workers process, and adds inputs as long as there are faults to cause. It
// returns how many workers ended by themselves. It fails when the workers do not get on, also in peace.
func (s *suite) chaos() (exits int) {
	s.Helper()
	kinds := s.faults()
	count := map[string]int{}
	for n := 0; n < *faults || s.busy(); n++ {
		if !s.busy() {
			s.write(max(*records/20, partitions))
			s.pacer.restart(time.Now())
		}
		f := kinds[n%len(kinds)]
		if f.nodes && s.Cluster == nil {
			f = kinds[n%2]
		}
		time.Sleep(s.Random(2 * time.Second))
		exits += s.settle()
		switch err := f.cause(); {
		case errors.Is(err, errEnded):
		case err != nil:
			s.Fatalf("fault %d, %s: %v", n, f.name, err)
		default:
			count[f.name]++
		}
	}
	s.Logf("faults: %v; longest time without progress %v, %d times no faults until there was some",
		count, s.pacer.longest.Round(time.Second), s.pacer.pauses)
	return exits
}

// settle returns when the workers can take another fault, and how many of them ended by themselves.
func (s *suite) settle() (exits int) {
	s.Helper()
	for {
		_, calm := s.progress()
		exits += s.refill()
		if !calm {
			return exits
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// progress returns how many inputs are processed, or negative, that it is not known now, and whether faults have to stop until
// there are more. It fails when there have been no more for too long.
func (s *suite) progress() (done int64, calm bool) {
	s.Helper()
	done, err := s.committed()
	if err != nil {
		done = -1
	}
	switch s.pacer.observe(time.Now(), done, s.total()) {
	case disturb:
		return done, false
	case wait:
		return done, true
	}
	s.Fatalf("no progress for %v: %d of %d inputs are committed (%v)%s%s", patience, done, s.total(), err, s.members(), s.openTransactions())
	return 0, false
}

// busy says whether inputs are left to process.
func (s *suite) busy() bool {
	done, err := s.committed()
	return err != nil || done < s.total()
}

// errEnded means that a worker ended before its fault: no fault.
var errEnded = errors.New("the worker ended by itself")

func (s *suite) killWorker() error {
	i := s.Rand.IntN(len(s.slots))
	if err := s.slots[i].Kill(); err != nil {
		return s.unlessEnded(i, err)
	}
	s.fill(i)
	return nil
}

// unlessEnded returns errEnded in place of err if the worker in slot i is not running, which is what happened then.
func (s *suite) unlessEnded(i int, err error) error {
	if !s.slots[i].Running() {
		return errEnded
	}
	return err
}

// zombie pauses a worker, has another take its transactional id, and wakes it up when its session, and half of the time
// its transaction too, has timed out. It must not be able to commit anything any more, and ends.
func (s *suite) zombie() error {
	i := s.Rand.IntN(len(s.slots))
	old := s.slots[i].Process
	if err := old.Signal(syscall.SIGSTOP); err != nil {
		return s.unlessEnded(i, err)
	}
	s.fill(i)
	time.Sleep(sessionTimeout + s.Random(2*(transactionTimeout-sessionTimeout)))
	if err := old.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	// It may find out only when it has something to commit; nobody waits for it.
	time.Sleep(time.Second)
	if err := old.Kill(); err != nil && old.Running() {
		return err
	}
	return nil // killed, or gone before
}

// killNode kills the node that which names and starts it again.
func (s *suite) killNode(which func(context.Context) (int32, error)) error {
	n, err := s.node(which)
	if err != nil {
		return err
	}
	return s.Cluster.Restart(s.Within(patience), n, s.Random(2*time.Second))
}

// hangNode stops the node that which names for longer than its peers wait for it: others take over, and it wakes up
// believing to be what it no longer is.
func (s *suite) hangNode(which func(context.Context) (int32, error)) error {
	n, err := s.node(which)
	if err != nil {
		return err
	}
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	time.Sleep(2*time.Second + s.Random(6*time.Second))
	if err := n.Signal(syscall.SIGCONT); err != nil {
		return err
	}
	return s.Cluster.WaitServing(s.Within(patience))
}

func (s *suite) node(which func(context.Context) (int32, error)) (*harness.Node, error) {
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(s.Context(), 5*time.Second)
		id, err := which(ctx)
		cancel()
		if err == nil {
			if n := s.Cluster.Node(id); n != nil {
				return n, nil
			}
			err = fmt.Errorf("the cluster names node %d", id)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("find the node: %w", err)
		}
	}
}

func (s *suite) groupCoordinator(ctx context.Context) (int32, error) {
	found := s.Admin.FindGroupCoordinators(ctx, s.group)
	return found[s.group].NodeID, found.Error()
}

func (s *suite) transactionCoordinator(ctx context.Context, id string) (int32, error) {
	found := s.Admin.FindTxnCoordinators(ctx, id)
	return found[id].NodeID, found.Error()
}

func (s *suite) outputLeader(ctx context.Context) (int32, error) {
	m, err := s.Admin.Metadata(ctx, outputTopic)
	if err != nil {
		return -1, err
	}
	return m.Topics[outputTopic].Partitions[int32(s.Rand.IntN(partitions))].Leader, nil
}
