package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

type clusterCmd struct {
	Status    clusterStatusCmd    `cmd:"" help:"Show nodes, leaders and partitions that are not fully replicated."`
	Add       clusterAddCmd       `cmd:"" help:"Give nodes that joined their share of the partitions."`
	Drain     clusterDrainCmd     `cmd:"" help:"Move everything off nodes."`
	Remove    clusterRemoveCmd    `cmd:"" help:"Take a drained node out of the cluster."`
	Rebalance clusterRebalanceCmd `cmd:"" help:"Spread replicas and leaders evenly over the nodes."`
}

type clusterStatusCmd struct {
	connection
	output
	Wait  time.Duration `placeholder:"DURATION" help:"Wait up to this long until the cluster is healthy."`
	Nodes int           `placeholder:"N" help:"Unhealthy with fewer nodes than this."`
}

// Help is shown below the flags.
func (c *clusterStatusCmd) Help() string {
	return `The cluster is healthy when every node answers, there is a controller, and every partition has a leader and all of its
replicas in sync. The exit code is 0 then and 1 otherwise, so scripts can wait for it:
  balsa cluster status --brokers 127.0.0.1:9092 --nodes 3 --wait 30s`
}

// pollInterval is how often --wait looks.
const pollInterval = 100 * time.Millisecond

// Run prints the status, and fails if the cluster is unhealthy.
func (c *clusterStatusCmd) Run(ctx context.Context, std *streams) error {
	deadline := time.Now().Add(c.Wait)
	for {
		status, err := c.look(ctx)
		waiting := time.Now().Before(deadline) && ctx.Err() == nil
		switch {
		case err != nil && !waiting:
			return err
		case err == nil && (status.Healthy || !waiting):
			return c.finish(std, status)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

func (c *clusterStatusCmd) look(ctx context.Context) (clusterStatus, error) {
	client, err := c.dial(ctx)
	if err != nil {
		return clusterStatus{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return readStatus(ctx, client, c.Nodes)
}

func (c *clusterStatusCmd) finish(std *streams, status clusterStatus) error {
	if c.json() {
		if err := printJSON(std.out, status); err != nil {
			return err
		}
	} else {
		status.print(std.out)
	}
	if !status.Healthy {
		return errPrinted
	}
	return nil
}

func (s *clusterStatus) print(w io.Writer) {
	verdict := "healthy"
	if !s.Healthy {
		verdict = "UNHEALTHY"
	}
	fmt.Fprintf(w, "cluster %s  %s  controller %s  %s, %s\n", s.Cluster, verdict, count(int64(s.Controller)),
		plural(int64(s.Topics), "topic"), plural(int64(s.Partitions), "partition"))
	if s.Moving > 0 {
		fmt.Fprintf(w, "%s on the move\n", plural(int64(s.Moving), "partition"))
	}
	g := newGrid("node", "address", "rack", "state", "leaders", "replicas", "in sync")
	for _, node := range s.Nodes {
		rack := node.Rack
		if rack == "" {
			rack = "-"
		}
		g.add(int64(node.ID), node.Address, rack, node.State, node.Leaders, node.Replicas, node.InSync)
	}
	g.print(w)
	s.printTroubled(w)
	for _, problem := range s.Problems {
		fmt.Fprintln(w, "problem: "+problem)
	}
}

// printTroubled lists the partitions of users one by one. The brokers' own are only counted: one node that is down troubles
// all of them, and would push everything else off the screen.
func (s *clusterStatus) printTroubled(w io.Writer) {
	g := newGrid("topic", "partition", "problem", "leader", "replicas", "isr")
	internal := map[string]int{}
	listed, more := 0, 0
	for _, p := range s.Troubled {
		switch {
		case slices.Contains(internalTopics, p.Topic):
			internal[p.Topic]++
		case listed == maxTroubled:
			more++
		default:
			listed++
			g.add(p.Topic, int64(p.Partition), p.Problem, count(int64(p.Leader)), nodeList(p.Replicas), nodeList(p.ISR))
		}
	}
	if len(s.Troubled) > 0 {
		fmt.Fprintln(w)
	}
	if listed > 0 {
		g.print(w)
	}
	if more > 0 {
		fmt.Fprintf(w, "... and %d more, see --output json\n", more)
	}
	for _, topic := range slices.Sorted(maps.Keys(internal)) {
		fmt.Fprintf(w, "and %s of %s, see --output json\n", plural(int64(internal[topic]), "partition"), topic)
	}
}

// maxTroubled bounds the table for people; with a node down there may be thousands.
const maxTroubled = 20
