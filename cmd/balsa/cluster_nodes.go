package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/balance"
)

type clusterAddCmd struct {
	moving
	Nodes []int32       `arg:"" name:"node" help:"Ids of the nodes."`
	Wait  time.Duration `default:"1m" help:"How long to wait until the nodes have joined."`
}

// Help is shown below the flags.
func (c *clusterAddCmd) Help() string {
	return `Start the new nodes first, each with ` + "`balsa server --node-id N --join HOST:PEERPORT,...`" + `, which lets them join the cluster. This
command waits for them and then moves partitions to them until all nodes have even shares. A node that was
drained gets its share again.`
}

// Run waits for the nodes, opens them and evens out the load.
func (c *clusterAddCmd) Run(ctx context.Context, std *streams) error {
	return c.withMover(ctx, std, func(m *mover) error {
		view, err := m.awaitNodes(ctx, c.Nodes, c.Wait)
		if err != nil {
			return err
		}
		for _, id := range c.Nodes {
			b := view.broker(id)
			if b.Closed && !c.Plan {
				if err := m.cordon(ctx, view, id, false); err != nil {
					return err
				}
			}
			b.Closed = false
		}
		moves, err := grown(view)
		if err != nil {
			return failf("", "%w", err)
		}
		return m.move(ctx, view, moves)
	})
}

// internalReplicas is how many replicas internal topics should have where there are as many nodes: a cluster that began with one or
// two nodes would else never outgrow the weakness of its coordinators.
const internalReplicas = 3

// grown plans enough replicas of internal topics, and even shares of everything.
func grown(view *clusterView) ([]balance.Move, error) {
	open := 0
	for _, b := range view.brokers {
		if !b.Closed {
			open++
		}
	}
	partitions := slices.Clone(view.partitions)
	for _, topic := range internalTopics {
		few := func(p balance.Partition) bool {
			return p.Topic == topic && len(p.Replicas) < min(internalReplicas, open)
		}
		if !slices.ContainsFunc(partitions, few) {
			continue
		}
		moves, err := balance.Resize(view.brokers, partitions, []string{topic}, min(internalReplicas, open))
		if err != nil {
			return nil, err
		}
		balance.Apply(partitions, moves)
	}
	moves, err := balance.Even(view.brokers, partitions)
	if err != nil {
		return nil, err
	}
	balance.Apply(partitions, moves)
	return balance.Diff(view.partitions, partitions), nil
}

// awaitNodes returns when all nodes have joined and serve.
func (m *mover) awaitNodes(ctx context.Context, ids []int32, patience time.Duration) (*clusterView, error) {
	deadline := time.Now().Add(patience)
	for said := false; ; said = true {
		view, err := m.view(ctx)
		if err != nil {
			return nil, err
		}
		missing := slices.DeleteFunc(slices.Clone(ids), func(id int32) bool { return view.alive[id] })
		if len(missing) == 0 {
			return view, nil
		}
		if time.Now().After(deadline) {
			return nil, failf("start it with `balsa server --join`, see `balsa cluster status`", "node %s has not joined", nodeList(missing))
		}
		if !said {
			m.say("waiting for node %s", nodeList(missing))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(followInterval):
		}
	}
}

// even plans and carries out even shares.
func (m *mover) even(ctx context.Context, view *clusterView) error {
	moves, err := balance.Even(view.brokers, view.partitions)
	if err != nil {
		return failf("", "%w", err)
	}
	return m.move(ctx, view, moves)
}

type clusterRebalanceCmd struct {
	moving
	LeadersOnly bool `help:"Move no data: only make the preferred leaders lead again."`
}

// Help is shown below the flags.
func (c *clusterRebalanceCmd) Help() string {
	return `Moves as few replicas as it takes until the nodes differ by at most one replica and one leader, over all topics and
within each, where racks allow it. Nodes that are cordoned (drained) or down get nothing.`
}

// Run evens out the load.
func (c *clusterRebalanceCmd) Run(ctx context.Context, std *streams) error {
	return c.withMover(ctx, std, func(m *mover) error {
		if c.LeadersOnly {
			return m.electAll(ctx)
		}
		view, err := m.view(ctx)
		if err != nil {
			return err
		}
		return m.even(ctx, view)
	})
}

// electAll makes every preferred leader lead that can.
func (m *mover) electAll(ctx context.Context) error {
	if m.Plan {
		return usagef("leave one of them out", "--plan and --leaders-only do not go together")
	}
	ctx, cancel := m.limited(ctx)
	defer cancel()
	results, err := m.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil)
	if err != nil {
		return fmt.Errorf("elect preferred leaders: %w", err)
	}
	m.report = moveReport{State: "done", Moves: []plannedMove{}}
	var failed error
	for topic, partitions := range results {
		for number, r := range partitions {
			switch {
			case r.Err == nil:
				m.report.Leaders++
			case !errors.Is(r.Err, kerr.ElectionNotNeeded):
				failed = errors.Join(failed, fmt.Errorf("%s-%d: %w", topic, number, withMessage(r.Err, r.ErrMessage)))
			}
		}
	}
	if failed != nil {
		return failed
	}
	m.say("%s elected", plural(int64(m.report.Leaders), "leader"))
	return m.print()
}

type clusterDrainCmd struct {
	moving
	Nodes []int32 `arg:"" name:"node" help:"Ids of the nodes."`
}

// Help is shown below the flags.
func (c *clusterDrainCmd) Help() string {
	return `Cordons the nodes, so that they get nothing new, and moves everything they have to the others, while clients go on. Also
works for nodes that are down, as long as their partitions have a majority without them. ` + "`balsa cluster add`" + ` undoes it.`
}

// Run plans first: a drain that cannot be finished does not begin.
func (c *clusterDrainCmd) Run(ctx context.Context, std *streams) error {
	return c.withMover(ctx, std, func(m *mover) error {
		view, err := m.view(ctx)
		if err != nil {
			return err
		}
		if err := view.known(c.Nodes); err != nil {
			return err
		}
		for _, id := range c.Nodes {
			if b := view.broker(id); b != nil {
				b.Leaving = true
			} else {
				view.brokers = append(view.brokers, balance.Broker{ID: id, Leaving: true})
			}
		}
		moves, err := balance.Drain(view.brokers, view.partitions)
		if err != nil {
			return failf("add a node first, or lower the topic's replication factor with `balsa topic reassign`", "%w", err)
		}
		if !c.Plan {
			for _, id := range c.Nodes {
				if err := m.cordon(ctx, view, id, true); err != nil {
					return err
				}
			}
		}
		return m.move(ctx, view, moves)
	})
}

// cordon closes a node to new replicas, or opens it again (KIP-1066).
func (m *mover) cordon(ctx context.Context, view *clusterView, id int32, closed bool) error {
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op = "cordoned.log.dirs", kmsg.IncrementalAlterConfigOpDelete
	if closed {
		config.Op, config.Value = kmsg.IncrementalAlterConfigOpSet, kmsg.StringPtr("*")
	}
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeBroker, fmt.Sprint(id)
	resource.Configs = append(resource.Configs, config)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, resource)
	ctx, cancel := m.limited(ctx)
	defer cancel()
	resp, err := req.RequestWith(ctx, m.someBroker(view, id))
	if err != nil {
		return fmt.Errorf("cordon node %d: %w", id, err)
	}
	for _, r := range resp.Resources {
		message := ""
		if r.ErrorMessage != nil {
			message = *r.ErrorMessage
		}
		if err := withMessage(kerr.ErrorForCode(r.ErrorCode), message); err != nil {
			return fmt.Errorf("cordon node %d: %w", id, err)
		}
	}
	if closed {
		m.say("node %d is cordoned: it gets nothing new", id)
	}
	return nil
}

// someBroker returns the node itself, to whom clients send its configs, or if it is down any that lives.
func (m *mover) someBroker(view *clusterView, id int32) requester {
	if !view.alive[id] {
		for other := range view.alive {
			id = other
		}
	}
	return m.client.Broker(int(id))
}
