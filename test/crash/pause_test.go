//go:build crash

package crash

import (
	"syscall"
	"testing"
	"time"

	"balsa/test/harness"
)

// TestPause stops one node with SIGSTOP for up to eight seconds, long enough to be replaced as leader, and lets it go
// on: it must notice that the others went on without it. Every third time it is killed while it is stopped.
func TestPause(t *testing.T) {
	s := newSuite(t, *nodes, nil)
	s.startLoad()
	var outages []time.Duration
	for round := range *rounds {
		s.pause(time.Second)
		victim, _ := s.victim()
		outage := s.load.Fault()
		s.Must(victim.Signal(syscall.SIGSTOP))
		stoppedUntil := time.Now().Add(s.Random(8 * time.Second))
		awaitStopped(s, victim)
		time.Sleep(time.Until(stoppedUntil))
		if round%3 == 2 {
			s.Must(victim.Kill())
			s.Must(victim.Process.Start())
		} else {
			s.Must(victim.Signal(syscall.SIGCONT))
		}
		lasted, err := s.load.Wait(s.Within(patience), outage)
		if err != nil {
			t.Fatalf("round %d, %s stopped: %v", round, victim.Name, err)
		}
		outages = append(outages, lasted...)
		s.Must(s.Cluster.WaitServing(s.Within(patience)))
	}
	s.logOutages("one node stopped", outages)
	s.finish()
}

// awaitStopped proves that the fault happened.
func awaitStopped(s *suite, n *harness.Node) {
	s.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stopped, err := harness.Stopped(n.PID())
		s.Must(err)
		if stopped {
			return
		}
	}
	s.Fatalf("%s does not stop", n.Name)
}
