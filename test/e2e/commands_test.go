package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/test/harness"
)

// command runs balsa as a client of c and returns its standard output, all that it said, and its exit code.
func command(t *testing.T, c *harness.Cluster, args ...string) (stdout, all string, code int) {
	t.Helper()
	var addresses []string
	for _, n := range c.Nodes {
		if n.Running() {
			addresses = append(addresses, n.Address)
		}
	}
	cmd := exec.CommandContext(within(t), balsa, append(args, "--brokers", strings.Join(addresses, ","))...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatalf("balsa %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), out.String() + errs.String(), cmd.ProcessState.ExitCode()
}

// run is command for one that must succeed, and decodes its JSON.
func run(t *testing.T, c *harness.Cluster, into any, args ...string) {
	t.Helper()
	stdout, all, code := command(t, c, append(args, "--output", "json")...)
	if code != 0 {
		t.Fatalf("balsa %s: exit code %d\n%s", strings.Join(args, " "), code, all)
	}
	if err := json.Unmarshal([]byte(stdout), into); err != nil {
		t.Fatalf("balsa %s: %v\n%s", strings.Join(args, " "), err, stdout)
	}
}

type moves struct {
	State    string `json:"state"`
	Replicas int    `json:"replicas_to_copy"`
	Moves    []struct {
		Topic     string  `json:"topic"`
		Partition int32   `json:"partition"`
		From      []int32 `json:"from"`
		To        []int32 `json:"to"`
	} `json:"moves"`
}

type status struct {
	Healthy bool `json:"healthy"`
	Moving  int  `json:"moving"`
	Nodes   []struct {
		ID       int32  `json:"id"`
		State    string `json:"state"`
		Leaders  int    `json:"leaders"`
		Replicas int    `json:"replicas"`
	} `json:"nodes"`
}

// placed returns where the partitions of a topic are.
func placed(t *testing.T, c *harness.Cluster, topic string) map[int32][]int32 {
	t.Helper()
	m, err := admin(t, c).Metadata(within(t), topic)
	must(t, err)
	at := map[int32][]int32{}
	for _, p := range m.Topics[topic].Partitions {
		at[p.Partition] = p.Replicas
	}
	return at
}

// TestTopicReassign: by hand, from a file of Kafka's tool, to another number of replicas; planned first, refused when it is wrong.
func TestTopicReassign(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "moved", 2)
	produce(t, client(t, c, kgo.RecordPartitioner(kgo.ManualPartitioner())), "moved", "a", "b", "c")
	var m moves
	run(t, c, &m, "topic", "reassign", "moved", "--replicas", "1", "--plan")
	if m.State != "planned" || len(m.Moves) != 2 || len(placed(t, c, "moved")[0]) != 3 {
		t.Errorf("a plan: %+v, now at %v", m, placed(t, c, "moved"))
	}
	run(t, c, &m, "topic", "reassign", "moved", "--nodes", "0=3", "--nodes", "1=2,1")
	if at := placed(t, c, "moved"); m.State != "done" || !slices.Equal(at[0], []int32{3}) || !slices.Equal(at[1], []int32{2, 1}) {
		t.Errorf("by hand: %+v, now at %v", m, at)
	}
	file := filepath.Join(t.TempDir(), "plan.json")
	must(t, os.WriteFile(file, []byte(`{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[1,2],"log_dirs":["any","any"]}]}`), 0o600))
	run(t, c, &m, "topic", "reassign", "--file", file)
	if at := placed(t, c, "moved"); m.Replicas != 2 || !slices.Equal(at[0], []int32{1, 2}) {
		t.Errorf("from a file: %+v, now at %v", m, at)
	}
	run(t, c, &m, "topic", "reassign", "moved", "--replicas", "3")
	if at := placed(t, c, "moved"); len(at[0]) != 3 || len(at[1]) != 3 || at[0][0] != 1 {
		t.Errorf("to three replicas: %+v, now at %v", m, at)
	}
	wantValues(t, consume(t, c, "moved", kgo.NewOffset().At(0), 3), 0, "a", "b", "c")
	for _, wrong := range []struct {
		args string
		code int
		want string
	}{
		{"topic reassign moved --nodes 1,9", 1, "includes broker 9, but no such broker is registered"},
		{"topic reassign moved --replicas 4", 1, "only 3 brokers can have one"},
		{"topic reassign movd --replicas 1", 1, "movd does not exist"},
		{"topic reassign moved --nodes 7=1", 1, "there is no partition 7 of topic moved"},
		{"topic reassign moved --nodes x=1", 2, "is not the number of a partition"},
		{"topic reassign moved --nodes 1,x", 2, "is not the id of a node"},
		{"topic reassign moved --replicas 1 --cancel", 2, "give one of"},
		{"topic reassign moved", 2, "give one of"},
		{"topic reassign --replicas 1", 2, "name a topic"},
	} {
		if _, all, code := command(t, c, strings.Fields(wrong.args)...); code != wrong.code || !strings.Contains(all, wrong.want) {
			t.Errorf("balsa %s: exit code %d, %s", wrong.args, code, all)
		}
	}
}

// TestCancelReassignment: a move to a node that is down cannot end, and goes back when it is canceled.
func TestCancelReassignment(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "stuck", 1)
	var m moves
	run(t, c, &m, "topic", "reassign", "stuck", "--nodes", "1,2")
	must(t, c.Nodes[2].Kill())
	run(t, c, &m, "topic", "reassign", "stuck", "--nodes", "3,1", "--no-wait")
	var list []struct{ Adding, Removing []int32 }
	run(t, c, &list, "topic", "reassign", "--list")
	if m.State != "started" || len(list) != 1 || !slices.Equal(list[0].Adding, []int32{3}) || !slices.Equal(list[0].Removing, []int32{2}) {
		t.Fatalf("%+v, listed %+v", m, list)
	}
	var s status
	if _, all, code := command(t, c, "cluster", "status"); code != 1 || !strings.Contains(all, "1 partition on the move") {
		t.Errorf("status: exit code %d\n%s", code, all)
	}
	run(t, c, &m, "topic", "reassign", "stuck", "--cancel")
	if at := placed(t, c, "stuck")[0]; !slices.Equal(slices.Sorted(slices.Values(at)), []int32{1, 2}) {
		t.Errorf("canceled, and at %v", at)
	}
	produce(t, client(t, c), "stuck", "goes on")
	must(t, c.Restore(within(t), c.Nodes[2]))
	run(t, c, &s, "cluster", "status", "--wait", "30s")
	if s.Moving != 0 {
		t.Errorf("%+v", s)
	}
}

// TestClusterCommands grows a cluster, drains a node and removes it, each as an administrator would, mistakes included.
func TestClusterCommands(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "spread", 6)
	var m moves
	var s status
	if _, all, code := command(t, c, "cluster", "add", "4", "--wait", "0s"); code != 1 || !strings.Contains(all, "--join") {
		t.Errorf("add of a node that is not there: exit code %d, %s", code, all)
	}
	if _, all, code := command(t, c, "cluster", "drain", "3"); code != 1 || !strings.Contains(all, "add a node first") {
		t.Errorf("drain without a place to go: exit code %d, %s", code, all)
	}
	run(t, c, &s, "cluster", "status")
	if s.Nodes[2].State != "up" {
		t.Errorf("a drain that was refused left the node %q", s.Nodes[2].State)
	}
	fourth, err := c.Join()
	must(t, err)
	must(t, fourth.Process.Start())
	run(t, c, &m, "cluster", "add", "4")
	run(t, c, &s, "cluster", "status", "--wait", "30s", "--nodes", "4")
	for _, n := range s.Nodes {
		if n.Replicas < 4 || n.Replicas > 5 || n.Leaders < 1 || n.Leaders > 2 {
			t.Errorf("after growing: %+v", n)
		}
	}
	if _, all, code := command(t, c, "cluster", "remove", "3"); code != 1 || !strings.Contains(all, "cluster drain 3") {
		t.Errorf("remove of a node that has replicas: exit code %d, %s", code, all)
	}
	run(t, c, &m, "cluster", "drain", "3")
	run(t, c, &s, "cluster", "status", "--wait", "30s")
	if n := s.Nodes[2]; n.Replicas != 0 || n.State != "up, cordoned" {
		t.Errorf("after draining: %+v", n)
	}
	if _, all, code := command(t, c, "topic", "create", "later", "--partitions", "8", "--replicas", "3"); code != 0 {
		t.Fatalf("create a topic: exit code %d, %s", code, all)
	}
	for p, at := range placed(t, c, "later") {
		if slices.Contains(at, 3) {
			t.Errorf("partition %d of a new topic is at %v", p, at)
		}
	}
	if _, all, code := command(t, c, "cluster", "remove", "3"); code != 0 {
		t.Fatalf("remove: exit code %d, %s", code, all)
	}
	must(t, c.Nodes[2].Stop(patience))
	run(t, c, &s, "cluster", "status", "--wait", "30s")
	if len(s.Nodes) != 3 {
		t.Errorf("after removing: %+v", s.Nodes)
	}
	// Started again, it is a node like any other, which has nothing.
	must(t, c.Restore(within(t), c.Nodes[2]))
	run(t, c, &m, "cluster", "add", "3")
	run(t, c, &s, "cluster", "status", "--wait", "30s", "--nodes", "4")
}

// TestElectLeaders: after a node came back its leaderships are handed back at once, if somebody wants that.
func TestElectLeaders(t *testing.T) {
	c := start(t, 3)
	createTopic(t, c, "led", 3)
	must(t, c.Nodes[0].Stop(patience))
	must(t, c.Restore(within(t), c.Nodes[0]))
	// A replica that is not known to have caught up within the election's patience is refused: PREFERRED_LEADER_NOT_AVAILABLE says
	// try again.
	eventually(t, "the leaderships are handed back", func() bool {
		_, all, code := command(t, c, "cluster", "rebalance", "--leaders-only")
		if code != 0 && !strings.Contains(all, "PREFERRED_LEADER_NOT_AVAILABLE") {
			t.Fatalf("exit code %d: %s", code, all)
		}
		return code == 0
	})
	cl := client(t, c)
	req := kmsg.NewPtrElectLeadersRequest()
	req.TimeoutMillis = 10_000
	for range 3 { // nothing is left to do, whichever broker is asked
		resp, err := req.RequestWith(within(t), cl)
		must(t, err)
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				t.Errorf("%s-%d: code %v", topic.Topic, p.Partition, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
	md, err := admin(t, c).Metadata(within(t), "led")
	must(t, err)
	for _, p := range md.Topics["led"].Partitions {
		if p.Leader != p.Replicas[0] {
			t.Errorf("partition %d is led by %d of %v", p.Partition, p.Leader, p.Replicas)
		}
	}
}
