package main

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"balsa/internal/balance"
)

type topicReassignCmd struct {
	moving
	Names    []string `arg:"" optional:"" name:"name" help:"Topics; with --file none."`
	Nodes    []string `short:"n" sep:"none" placeholder:"[PARTITION=]ID,ID" help:"Nodes of a partition, or of all partitions, the preferred leader first; may be repeated."`
	Replicas int      `short:"r" placeholder:"N" help:"New number of replicas; which nodes they are is chosen evenly."`
	File     string   `type:"existingfile" placeholder:"PATH" help:"Take it from a file in the format of kafka-reassign-partitions."`
	Cancel   bool     `help:"Return to where the partitions were before they began to move; without topics, all that move."`
	List     bool     `help:"List the partitions that are moving."`
}

// Help is shown below the flags.
func (c *topicReassignCmd) Help() string {
	return `For example:
  balsa topic reassign orders --nodes 0=1,2,3 --nodes 1=2,3,4
  balsa topic reassign orders --replicas 5 --plan
  balsa topic reassign --list
  balsa topic reassign orders --cancel`
}

// Run does one of the things that the flags ask for.
func (c *topicReassignCmd) Run(ctx context.Context, std *streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return c.withMover(ctx, std, func(m *mover) error {
		switch {
		case c.List:
			return c.list(ctx, m)
		case c.Cancel:
			return c.cancel(ctx, m)
		}
		view, err := m.view(ctx)
		if err != nil {
			return err
		}
		moves, err := c.plan(view)
		if err != nil {
			return err
		}
		return m.move(ctx, view, moves)
	})
}

func (c *topicReassignCmd) check() error {
	const hint = "see `balsa topic reassign --help`"
	ways := 0
	for _, chosen := range []bool{len(c.Nodes) > 0, c.Replicas != 0, c.File != "", c.Cancel, c.List} {
		if chosen {
			ways++
		}
	}
	switch {
	case ways != 1:
		return usagef(hint, "give one of --nodes, --replicas, --file, --cancel and --list")
	case c.Replicas < 0:
		return usagef(hint, "--replicas must be 1 or more")
	case c.File != "" && len(c.Names) > 0:
		return usagef(hint, "--file names its topics itself")
	case (len(c.Nodes) > 0 || c.Replicas > 0) && len(c.Names) == 0:
		return usagef(hint, "name a topic")
	}
	return nil
}

// plan returns the moves that the flags ask for.
func (c *topicReassignCmd) plan(view *clusterView) ([]balance.Move, error) {
	wanted := map[partitionKey][]int32{}
	switch {
	case c.File != "":
		if err := readReassignment(c.File, wanted); err != nil {
			return nil, err
		}
	case c.Replicas > 0:
		return c.resized(view)
	default:
		for _, assignment := range c.Nodes {
			if err := c.assigned(view, assignment, wanted); err != nil {
				return nil, err
			}
		}
	}
	var moves []balance.Move
	for _, p := range view.partitions {
		key := partitionKey{p.Topic, p.Number}
		if to, ok := wanted[key]; ok && !slices.Equal(to, p.Replicas) {
			moves = append(moves, balance.Move{Topic: p.Topic, Number: p.Number, From: p.Replicas, To: to})
		}
		delete(wanted, key)
	}
	for key := range wanted {
		return nil, failf("list the topics with `balsa topic list`", "there is no partition %d of topic %s", key.number, key.topic)
	}
	return moves, nil
}

// assigned parses one value of --nodes.
func (c *topicReassignCmd) assigned(view *clusterView, assignment string, wanted map[partitionKey][]int32) error {
	list, number := assignment, -1
	if partition, nodes, ok := strings.Cut(assignment, "="); ok {
		n, err := strconv.Atoi(partition)
		if err != nil || n < 0 {
			return usagef("for example --nodes 0=1,2,3", "%q is not the number of a partition", partition)
		}
		list, number = nodes, n
	}
	var nodes []int32
	for item := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseInt(strings.TrimSpace(item), 10, 32)
		if err != nil {
			return usagef("for example --nodes 1,2,3", "%q is not the id of a node", item)
		}
		nodes = append(nodes, int32(id))
	}
	for _, name := range c.Names {
		if number >= 0 {
			wanted[partitionKey{name, int32(number)}] = nodes
			continue
		}
		found := false
		for _, p := range view.partitions {
			if p.Topic == name {
				wanted[partitionKey{name, p.Number}], found = nodes, true
			}
		}
		if !found {
			return failf("list the topics with `balsa topic list`", "topic %s does not exist", name)
		}
	}
	return nil
}

// resized plans another number of replicas.
func (c *topicReassignCmd) resized(view *clusterView) ([]balance.Move, error) {
	for _, name := range c.Names {
		if !slices.ContainsFunc(view.partitions, func(p balance.Partition) bool { return p.Topic == name }) {
			return nil, failf("list the topics with `balsa topic list`", "topic %s does not exist", name)
		}
	}
	moves, err := balance.Resize(view.brokers, view.partitions, c.Names, c.Replicas)
	if err != nil {
		return nil, failf("see `balsa cluster status`", "%w", err)
	}
	return moves, nil
}

// reassignmentFile is the format of kafka-reassign-partitions; it has more fields, which concern log directories.
type reassignmentFile struct {
	Version    int `json:"version"`
	Partitions []struct {
		Topic     string  `json:"topic"`
		Partition int32   `json:"partition"`
		Replicas  []int32 `json:"replicas"`
	} `json:"partitions"`
}

func readReassignment(path string, wanted map[partitionKey][]int32) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return usagef("", "read reassignment: %w", err)
	}
	var file reassignmentFile
	if err := json.Unmarshal(text, &file); err != nil {
		return usagef("it is the format of kafka-reassign-partitions", "read reassignment %s: %w", path, err)
	}
	if file.Version != 1 {
		return usagef(`the file begins with {"version": 1, "partitions": [...]}`, "%s has version %d, not 1", path, file.Version)
	}
	for _, p := range file.Partitions {
		key := partitionKey{p.Topic, p.Partition}
		if _, twice := wanted[key]; twice || len(p.Replicas) == 0 {
			return usagef("", "%s: %s is there twice, or without replicas", path, key)
		}
		wanted[key] = p.Replicas
	}
	return nil
}

// moves returns what is moving, of the topics named or of all.
func (c *topicReassignCmd) moves(ctx context.Context, m *mover) ([]movingPartition, error) {
	all, err := m.listed(ctx)
	if err != nil {
		return nil, err
	}
	moves := []movingPartition{}
	for _, p := range all {
		if len(c.Names) == 0 || slices.Contains(c.Names, p.Topic) {
			moves = append(moves, p)
		}
	}
	slices.SortFunc(moves, func(a, b movingPartition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return moves, nil
}

func (c *topicReassignCmd) list(ctx context.Context, m *mover) error {
	moves, err := c.moves(ctx, m)
	if err != nil {
		return err
	}
	if c.json() {
		return printJSON(m.std.out, moves)
	}
	if len(moves) == 0 {
		m.say("nothing is moving")
		return nil
	}
	g := newGrid("topic", "partition", "replicas", "adding", "removing")
	for _, p := range moves {
		g.add(p.Topic, int64(p.Partition), nodeList(p.Replicas), nodeList(p.Adding), nodeList(p.Removing))
	}
	g.print(m.std.out)
	return nil
}

// cancel has the partitions go back, and waits until they have.
func (c *topicReassignCmd) cancel(ctx context.Context, m *mover) error {
	moves, err := c.moves(ctx, m)
	if err != nil {
		return err
	}
	var req kadm.AlterPartitionAssignmentsReq
	m.report = moveReport{State: "planned", Moves: []plannedMove{}}
	for _, p := range moves {
		req.CancelAssign(p.Topic, p.Partition)
		back := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(p.Adding, id) })
		m.report.Moves = append(m.report.Moves, plannedMove{Topic: p.Topic, Partition: p.Partition, From: p.Replicas, To: back})
	}
	m.report.Partitions = len(moves)
	if c.Plan {
		return m.print()
	}
	if len(moves) == 0 {
		m.say("nothing is moving")
	} else if err := m.assign(ctx, req); err != nil {
		return err
	}
	return m.finish(ctx)
}
