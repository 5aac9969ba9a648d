//go:build crash

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"

	"balsa/test/harness"
)

// TestGrowAndShrink tells the story of a cluster with the commands that an administrator has, while producers write and the offsets of
// groups must not be lost: three nodes become five, one of the first three is drained and removed, and what is left stands the loss
// of a node. No acknowledged record is lost.
func TestGrowAndShrink(t *testing.T) {
	s := newSuite(t, 3, nil)
	s.startLoad()
	groups := s.commitOffsets(40)
	for range 2 {
		n, err := s.Cluster.Join()
		s.Must(err)
		s.Must(n.Process.Start())
	}

	grown := s.balsa("cluster", "add", "4", "5", "--output", "json")
	s.Logf("grown: %s", grown)
	if held := s.held(); held[4] == 0 || held[5] == 0 || spread(held) > 1 {
		t.Errorf("after growing the nodes hold %v replicas", held)
	}
	if grown.Replicas == 0 || grown.State != "done" {
		t.Errorf("growing: %+v", grown)
	}
	if again := s.balsa("cluster", "rebalance", "--plan", "--output", "json"); again.Partitions != 0 {
		t.Errorf("a cluster that has just grown is not even: %+v", again)
	}
	s.flowing()

	// The leader of the metadata is the one that is missed most.
	gone := s.controller()
	if out, code := s.run("cluster", "remove", fmt.Sprint(gone)); code != 1 || !strings.Contains(out, "drain") {
		t.Errorf("a node that has replicas was removed: exit code %d, %s", code, out)
	}
	drained := s.balsa("cluster", "drain", fmt.Sprint(gone), "--output", "json")
	s.Logf("drained: %s", drained)
	if held := s.held(); held[gone] != 0 {
		t.Errorf("after draining, node %d holds %d replicas", gone, held[gone])
	}
	if out, code := s.run("cluster", "remove", fmt.Sprint(gone)); code != 0 {
		t.Fatalf("remove node %d: exit code %d, %s", gone, code, out)
	}
	s.awaitVoters(fmt.Sprintf("node %d votes no more", gone), func(voters []int32) bool {
		return len(voters) > 0 && !slices.Contains(voters, gone)
	})
	s.Must(s.Cluster.Node(gone).Kill())
	s.Cluster.Nodes = slices.DeleteFunc(s.Cluster.Nodes, func(n *harness.Node) bool { return n.ID == gone })
	s.flowing()

	// The cluster can lose another node, as four can.
	victim, _ := s.victim()
	outage := s.load.Fault()
	s.Must(victim.Kill())
	lasted, err := s.load.Wait(s.Within(patience), outage)
	s.Must(err)
	s.logOutages("one of the four that are left killed", lasted)
	s.Must(s.Cluster.Restore(s.Within(patience), victim))
	s.wantOffsets(groups)
	s.finish()
}

// moveReport is what the commands that move replicas print.
type moveReport struct {
	State      string  `json:"state"`
	Partitions int     `json:"partitions"`
	Replicas   int     `json:"replicas_to_copy"`
	Bytes      int64   `json:"bytes_to_copy"`
	Seconds    float64 `json:"seconds"`
}

func (r moveReport) String() string {
	return fmt.Sprintf("%d partitions, %d replicas and %d bytes in %.1f s", r.Partitions, r.Replicas, r.Bytes, r.Seconds)
}

// balsa runs a command that moves replicas; it has to succeed.
func (s *suite) balsa(args ...string) moveReport {
	s.Helper()
	out, code := s.run(args...)
	var r moveReport
	start := strings.Index(out, "\n{")
	if strings.HasPrefix(out, "{") {
		start = 0
	}
	if code != 0 || start < 0 {
		s.Fatalf("balsa %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	s.Must(json.Unmarshal([]byte(out[start:]), &r))
	return r
}

// run runs a command and returns all that it said.
func (s *suite) run(args ...string) (out string, code int) {
	s.Helper()
	binary, err := harness.Build(s.Dir)
	s.Must(err)
	args = append(args, "--brokers", strings.Join(s.Cluster.Addresses(), ","))
	text, err := exec.CommandContext(s.Within(5*patience), binary, args...).CombinedOutput()
	var failed *exec.ExitError
	switch {
	case errors.As(err, &failed):
		return string(text), failed.ExitCode()
	case err != nil:
		s.Fatalf("balsa %s: %v", strings.Join(args, " "), err)
	}
	return string(text), 0
}

// held counts the replicas on each node, those of the coordinators included.
func (s *suite) held() map[int32]int {
	s.Helper()
	held := map[int32]int{}
	for _, n := range s.Cluster.Nodes {
		held[n.ID] = 0
	}
	m, err := s.Admin.Metadata(s.Within(patience), topic, "__consumer_offsets")
	s.Must(err)
	m.Topics.EachPartition(func(p kadm.PartitionDetail) {
		for _, id := range p.Replicas {
			held[id]++
		}
	})
	return held
}

func spread(held map[int32]int) int {
	least, most := 1<<30, 0
	for _, n := range held {
		least, most = min(least, n), max(most, n)
	}
	return most - least
}

func (s *suite) controller() int32 {
	s.Helper()
	m, err := s.Admin.Metadata(s.Within(patience))
	s.Must(err)
	return m.Controller
}

// commitOffsets commits an offset in each of n groups, which are spread over the coordinator shards.
func (s *suite) commitOffsets(n int) []string {
	s.Helper()
	var groups []string
	for i := range n {
		group := fmt.Sprintf("group-%d", i)
		var offsets kadm.Offsets
		offsets.AddOffset(topic, 0, int64(i)+1, -1)
		responses, err := s.Admin.CommitOffsets(s.Within(patience), group, offsets)
		s.Must(err)
		s.Must(responses.Error())
		groups = append(groups, group)
	}
	return groups
}

// wantOffsets fails unless every group still has what commitOffsets committed.
func (s *suite) wantOffsets(groups []string) {
	s.Helper()
	for i, group := range groups {
		var offsets kadm.OffsetResponses
		s.Eventually("read the offsets of "+group, patience, func(ctx context.Context) (err error) { // a connection may be one to a node that was killed
			offsets, err = s.Admin.FetchOffsets(ctx, group)
			return err
		})
		if o, ok := offsets.Lookup(topic, 0); !ok || o.At != int64(i)+1 {
			s.Errorf("%s has offset %+v, want %d", group, o.Offset, i+1)
		}
	}
}
