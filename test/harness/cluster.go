package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options says how to run a cluster.
type Options struct {
	Binary string   // balsa
	Dir    string   // where data and logs go
	Nodes  int      // 1: a single node without peers
	Flags  []string // more flags of `balsa server`
	// DataDir, if set, returns the data directory of a node; default Dir/node-N/data.
	DataDir func(id int32) string
	// Command, if set, returns what to run instead of `balsa server`.
	Command func(n *Node) []string
}

// Node is one broker.
type Node struct {
	Process

	ID      int32
	Address string // host:port for Kafka clients
	DataDir string
}

// Cluster is a set of brokers that know one another.
type Cluster struct {
	Nodes []*Node

	options Options
	seeds   []string // the initial brokers' addresses for other brokers
}

// New prepares a cluster without starting it.
func New(o Options) (*Cluster, error) {
	ports, err := FreePorts(2 * o.Nodes)
	if err != nil {
		return nil, err
	}
	peers := make([]string, o.Nodes)
	for i := range peers {
		peers[i] = fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[o.Nodes+i])
	}
	c := &Cluster{options: o}
	for i := range o.Nodes {
		c.seeds = append(c.seeds, fmt.Sprintf("127.0.0.1:%d", ports[o.Nodes+i]))
		n, err := newNode(o, int32(i+1), ports[i], peers)
		if err != nil {
			return nil, err
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

func newNode(o Options, id int32, port int, peers []string) (*Node, error) {
	dir := filepath.Join(o.Dir, fmt.Sprintf("node-%d", id))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare node %d: %w", id, err)
	}
	n := &Node{ID: id, Address: fmt.Sprintf("127.0.0.1:%d", port), DataDir: filepath.Join(dir, "data")}
	if o.DataDir != nil {
		n.DataDir = o.DataDir(id)
	}
	n.Name = fmt.Sprintf("node %d", id)
	n.Log = filepath.Join(dir, "log")
	n.Argv = []string{o.Binary, "server", "--node-id", fmt.Sprint(id), "--data-dir", n.DataDir, "--listen", n.Address}
	if len(peers) > 1 {
		n.Argv = append(n.Argv, "--peers", strings.Join(peers, ","))
	}
	n.Argv = append(n.Argv, o.Flags...)
	if o.Command != nil {
		n.Argv = o.Command(n)
	}
	return n, nil
}

// Join prepares one more broker, which joins the cluster when it is started.
func (c *Cluster) Join() (*Node, error) {
	ports, err := FreePorts(2)
	if err != nil {
		return nil, err
	}
	n, err := newNode(c.options, int32(len(c.Nodes)+1), ports[0], nil)
	if err != nil {
		return nil, err
	}
	n.Argv = append(n.Argv, "--peer-listen", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--join", c.Seeds())
	c.Nodes = append(c.Nodes, n)
	return n, nil
}

// Seeds is what a broker that joins is given: the initial brokers' addresses for other brokers.
func (c *Cluster) Seeds() string { return strings.Join(c.seeds, ",") }

// Start starts all nodes and waits until the cluster serves.
func (c *Cluster) Start(ctx context.Context) error {
	return c.Restore(ctx, c.Nodes...)
}

// Restore starts nodes that have ended, and waits until the cluster serves.
func (c *Cluster) Restore(ctx context.Context, nodes ...*Node) error {
	for _, n := range nodes {
		if err := n.Process.Start(); err != nil {
			return err
		}
	}
	return c.WaitServing(ctx)
}

// Restart kills a node with SIGKILL, starts it again after a while, and waits until the cluster serves.
func (c *Cluster) Restart(ctx context.Context, n *Node, down time.Duration) error {
	if err := n.Kill(); err != nil {
		return err
	}
	time.Sleep(down)
	return c.Restore(ctx, n)
}

// Close kills what still runs.
func (c *Cluster) Close() error {
	var errs []error
	for _, n := range c.Nodes {
		if n.Running() {
			errs = append(errs, n.Kill())
		}
	}
	return errors.Join(errs...)
}

// Addresses are the nodes' addresses for Kafka clients.
func (c *Cluster) Addresses() []string {
	all := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		all[i] = n.Address
	}
	return all
}

// Node returns the node with an id, nil if there is none.
func (c *Cluster) Node(id int32) *Node {
	i := slices.IndexFunc(c.Nodes, func(n *Node) bool { return n.ID == id })
	if i < 0 {
		return nil
	}
	return c.Nodes[i]
}

// PIDs are the process ids of the running nodes.
func (c *Cluster) PIDs() []int {
	var pids []int
	for _, n := range c.Nodes {
		if n.Running() {
			pids = append(pids, n.PID())
		}
	}
	return pids
}

// WaitServing returns when every running node answers, knows the controller and all running nodes, and every
// partition of every topic has a leader among them.
func (c *Cluster) WaitServing(ctx context.Context) error {
	for _, n := range c.Nodes {
		if !n.Running() {
			continue
		}
		if err := n.waitServing(ctx, len(c.PIDs())); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) waitServing(ctx context.Context, brokers int) error {
	cl, err := kgo.NewClient(
		kgo.SeedBrokers(n.Address),
		kgo.RetryTimeout(time.Second),
		kgo.DialTimeout(time.Second),
		kgo.MetadataMinAge(10*time.Millisecond),
	)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", n.Name, err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for {
		why := n.serving(ctx, adm, brokers)
		if why == nil {
			return nil
		}
		if !n.Running() {
			return fmt.Errorf("wait for %s: it ended: %w", n.Name, n.outcome())
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (last: %w; log: %s)", n.Name, ctx.Err(), why, n.Log)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// serving says why the node does not serve yet.
func (n *Node) serving(ctx context.Context, adm *kadm.Client, brokers int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	m, err := adm.Metadata(ctx)
	switch {
	case err != nil:
		return err
	case m.Controller < 0:
		return errors.New("no controller")
	case len(m.Brokers) < brokers:
		return fmt.Errorf("it knows %d of %d brokers", len(m.Brokers), brokers)
	}
	for _, t := range m.Topics {
		for _, p := range t.Partitions {
			if p.Err != nil || p.Leader < 0 {
				return fmt.Errorf("partition %s/%d: leader %d, %w", t.Topic, p.Partition, p.Leader, p.Err)
			}
		}
	}
	return nil
}
