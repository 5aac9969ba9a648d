//go:build crash

package crash

import (
	"testing"
	"time"
)

// TestKillOne kills one node of three with SIGKILL again and again under load and starts it anew.
func TestKillOne(t *testing.T) {
	s := newSuite(t, *nodes, nil)
	s.startLoad()
	var ofLed, ofOthers []time.Duration
	leaderKills := 0
	for round := range *rounds {
		s.pause(time.Second)
		victim, led := s.victim()
		outage := s.load.Fault()
		s.Must(victim.Kill()) // fails unless SIGKILL ended it
		lasted, err := s.load.Wait(s.Within(patience), outage)
		if err != nil {
			t.Fatalf("round %d, %s killed: %v", round, victim.Name, err)
		}
		wasLed := map[int32]bool{}
		for _, p := range led[victim.ID] {
			wasLed[p] = true
		}
		for p, d := range lasted {
			if wasLed[int32(p)] {
				ofLed = append(ofLed, d)
			} else {
				ofOthers = append(ofOthers, d)
			}
		}
		if len(wasLed) > 0 {
			leaderKills++
		}
		t.Logf("round %d: %s killed, led %d of %d partitions; longest outage %v", round, victim.Name, len(wasLed), len(lasted), Percentile(lasted, 100))
		s.pause(time.Second)
		s.Must(s.Cluster.Restore(s.Within(patience), victim))
	}
	t.Logf("%d kills, %d of them of a leader", *rounds, leaderKills)
	if leaderKills == 0 {
		t.Error("no leader was killed: the test proves nothing")
	}
	s.logOutages("partitions led by the killed node", ofLed)
	s.logOutages("partitions led by others", ofOthers)
	s.finish()
}

// TestKillAll kills all nodes at once with SIGKILL under load and starts them anew.
func TestKillAll(t *testing.T) {
	s := newSuite(t, *nodes, nil)
	s.startLoad()
	var outages []time.Duration
	for range *rounds {
		s.pause(2 * time.Second)
		for _, n := range s.Cluster.Nodes {
			s.Must(n.Kill())
		}
		restarted := time.Now()
		s.Must(s.Cluster.Start(s.Within(patience)))
		serving := time.Since(restarted)
		s.flowing()
		outages = append(outages, time.Since(restarted))
		t.Logf("all killed; serving %v after the start", serving.Round(time.Millisecond))
	}
	s.logOutages("start of all nodes to a write on every partition", outages)
	s.finish()
}
