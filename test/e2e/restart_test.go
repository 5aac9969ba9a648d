package e2e

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"balsa/test/harness"
)

func TestRestartKeepsData(t *testing.T) {
	for name, end := range map[string]func(*harness.Node) error{
		"SIGTERM": func(n *harness.Node) error { return n.Stop(patience) },
		"SIGKILL": func(n *harness.Node) error { return n.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, 1)
			createTopic(t, c, "kept", 1)
			cl := client(t, c)
			produce(t, cl, "kept", "a", "b", "c")
			must(t, end(c.Nodes[0]))
			must(t, c.Start(within(t)))
			wantValues(t, consume(t, c, "kept", kgo.NewOffset().At(0), 3), 0, "a", "b", "c")
			if next := produce(t, cl, "kept", "d"); next != 3 {
				t.Errorf("the next record got offset %d, want 3", next)
			}
		})
	}
}

// TestFirstOffsetIsZeroAfterElections has partitions elect leaders again and again before the first record: entries of
// Raft's own take no offsets.
func TestFirstOffsetIsZeroAfterElections(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "late", 1)
	adm := admin(t, c)
	epochs := map[int32]bool{}
	for range 4 {
		var leader *harness.Node
		eventually(t, "the partition has a leader", func() bool {
			topics, err := adm.ListTopics(t.Context(), "late")
			if err != nil {
				return false
			}
			p := topics["late"].Partitions[0]
			epochs[p.LeaderEpoch] = true
			leader = c.Node(p.Leader)
			return leader != nil && leader.Running()
		})
		must(t, c.Restart(within(t), leader, 0))
	}
	if len(epochs) < 2 {
		t.Errorf("leader epochs %v: there was no election", epochs)
	}
	cl := client(t, c)
	if first := produce(t, cl, "late", "first", "second"); first != 0 {
		t.Errorf("the first record got offset %d, want 0", first)
	}
	wantValues(t, consume(t, c, "late", kgo.NewOffset().At(0), 2), 0, "first", "second")
}
