package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/balance"
)

// internalTopics are those in which brokers keep the state of groups and transactions.
var internalTopics = []string{"__consumer_offsets", "__transaction_state", "__share_group_state"}

// partitionKey names a partition.
type partitionKey struct {
	topic  string
	number int32
}

func (k partitionKey) String() string { return fmt.Sprintf("%s-%d", k.topic, k.number) }

// clusterView is what moving replicas has to know of a cluster.
type clusterView struct {
	brokers []balance.Broker
	alive   map[int32]bool
	// partitions are where reassignments that are under way lead to.
	partitions []balance.Partition
	sizes      map[partitionKey]int64 // bytes of the largest replica; 0: not known
	inSync     map[partitionKey]int   // how many replicas are
}

// viewCluster asks for all of it.
func viewCluster(ctx context.Context, admin *kadm.Client, request requester) (*clusterView, error) {
	metadata, err := admin.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("read metadata: %w", err)
	}
	v := &clusterView{alive: map[int32]bool{}, sizes: map[partitionKey]int64{}, inSync: map[partitionKey]int{}}
	for _, b := range metadata.Brokers {
		v.alive[b.NodeID] = true
		broker := balance.Broker{ID: b.NodeID}
		if b.Rack != nil {
			broker.Rack = *b.Rack
		}
		v.brokers = append(v.brokers, broker)
	}
	moves, err := listMoves(ctx, request)
	if err != nil {
		return nil, err
	}
	v.place(metadata.Topics, moves)
	if err := v.addFenced(ctx, request); err != nil {
		return nil, err
	}
	v.measure(ctx, admin)
	slices.SortFunc(v.brokers, func(a, b balance.Broker) int { return int(a.ID) - int(b.ID) })
	return v, nil
}

// movingPartition is a partition that is being reassigned.
type movingPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
	Adding    []int32 `json:"adding"`
	Removing  []int32 `json:"removing"`
}

// listMoves returns all partitions that are being reassigned.
func listMoves(ctx context.Context, request requester) (map[partitionKey]movingPartition, error) {
	resp, err := kmsg.NewPtrListPartitionReassignmentsRequest().RequestWith(ctx, request)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("list reassignments: %w", err)
	}
	moves := map[partitionKey]movingPartition{}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			moves[partitionKey{t.Topic, p.Partition}] = movingPartition{t.Topic, p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas}
		}
	}
	return moves, nil
}

func (v *clusterView) place(topics kadm.TopicDetails, moves map[partitionKey]movingPartition) {
	for _, topic := range topics.Sorted() {
		for _, p := range topic.Partitions.Sorted() {
			at := balance.Partition{Topic: topic.Topic, Number: p.Partition, Replicas: p.Replicas}
			if move, ok := moves[partitionKey{topic.Topic, p.Partition}]; ok {
				at.Replicas = slices.DeleteFunc(slices.Clone(move.Replicas), func(id int32) bool {
					return slices.Contains(move.Removing, id)
				})
			}
			v.partitions = append(v.partitions, at)
			v.inSync[partitionKey{topic.Topic, p.Partition}] = len(p.ISR)
		}
	}
}

// addFenced adds the brokers that are registered and down, which metadata does not have; nothing can be moved to them.
func (v *clusterView) addFenced(ctx context.Context, request requester) error {
	req := kmsg.NewPtrDescribeClusterRequest()
	req.IncludeFencedBrokers = true
	resp, err := req.RequestWith(ctx, request)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("describe cluster: %w", err)
	}
	for _, b := range resp.Brokers {
		if !v.alive[b.NodeID] {
			v.brokers = append(v.brokers, balance.Broker{ID: b.NodeID, Closed: true})
		}
	}
	return nil
}

// measure learns how large partitions are and which brokers are cordoned. What a broker does not tell stays unknown.
func (v *clusterView) measure(ctx context.Context, admin *kadm.Client) {
	all, _ := admin.DescribeAllLogDirs(ctx, nil)
	for id, dirs := range all {
		cordoned := len(dirs) > 0
		for _, dir := range dirs {
			cordoned = cordoned && dir.IsCordoned
			for topic, partitions := range dir.Topics {
				for number, p := range partitions {
					key := partitionKey{topic, number}
					v.sizes[key] = max(v.sizes[key], p.Size)
				}
			}
		}
		if b := v.broker(id); b != nil && cordoned {
			b.Closed = true
		}
	}
}

// broker returns a registered broker, nil when there is none with this id.
func (v *clusterView) broker(id int32) *balance.Broker {
	for i := range v.brokers {
		if v.brokers[i].ID == id {
			return &v.brokers[i]
		}
	}
	return nil
}

// held counts the replicas on a broker, those included that a reassignment takes there.
func (v *clusterView) held(id int32) int {
	n := 0
	for _, p := range v.partitions {
		if slices.Contains(p.Replicas, id) {
			n++
		}
	}
	return n
}

// known fails if one of the ids is not registered.
func (v *clusterView) known(ids []int32) error {
	for _, id := range ids {
		if v.broker(id) == nil && v.held(id) == 0 {
			var names []string
			for _, b := range v.brokers {
				names = append(names, fmt.Sprint(b.ID))
			}
			return failf("see `balsa cluster status`", "there is no node %d, only %s", id, strings.Join(names, ", "))
		}
	}
	return nil
}

// sameNodes says whether two replica lists have the same brokers, in any order.
func sameNodes(a, b []int32) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
