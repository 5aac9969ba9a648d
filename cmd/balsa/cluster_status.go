package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterStatus is what `cluster status` finds out.
type clusterStatus struct {
	Cluster         string              `json:"cluster"`
	Healthy         bool                `json:"healthy"`
	Controller      int32               `json:"controller"` // -1: none
	Nodes           []nodeStatus        `json:"nodes"`
	Topics          int                 `json:"topics"`
	Partitions      int                 `json:"partitions"`
	UnderReplicated int                 `json:"under_replicated"`
	Leaderless      int                 `json:"leaderless"`
	Moving          int                 `json:"moving"` // partitions that are being reassigned
	Troubled        []troubledPartition `json:"troubled"`
	Problems        []string            `json:"problems"`
}

type nodeStatus struct {
	ID       int32  `json:"id"`
	Address  string `json:"address"`
	Rack     string `json:"rack,omitempty"`
	State    string `json:"state"` // up, up and cordoned (gets no new replicas), or down with the reason
	Leaders  int    `json:"leaders"`
	Replicas int    `json:"replicas"`
	InSync   int    `json:"in_sync"`
}

type troubledPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Problem   string  `json:"problem"` // leaderless or under-replicated
	Leader    int32   `json:"leader"`
	Replicas  []int32 `json:"replicas"`
	ISR       []int32 `json:"isr"`
}

// readStatus asks one broker for the metadata, and then every broker whether it serves: a broker that died stays in the
// metadata until the others notice.
func readStatus(ctx context.Context, client *kgo.Client, wantNodes int) (clusterStatus, error) {
	metadata, err := kadm.NewClient(client).Metadata(ctx)
	if err != nil {
		return clusterStatus{}, err
	}
	status := clusterStatus{
		Cluster: metadata.Cluster, Controller: metadata.Controller,
		Troubled: []troubledPartition{}, Problems: []string{},
	}
	// Brokers that do not know reassignments have none.
	moves, _ := listMoves(ctx, client)
	status.Moving = len(moves)
	nodes := map[int32]*nodeStatus{}
	for _, broker := range metadata.Brokers {
		node := &nodeStatus{ID: broker.NodeID, Address: net.JoinHostPort(broker.Host, strconv.Itoa(int(broker.Port)))}
		if broker.Rack != nil {
			node.Rack = *broker.Rack
		}
		nodes[node.ID] = node
	}
	for _, topic := range metadata.Topics.Sorted() {
		if !topic.IsInternal {
			status.Topics++
		}
		for _, partition := range topic.Partitions.Sorted() {
			adding := moves[partitionKey{partition.Topic, partition.Partition}].Adding
			if !topic.IsInternal {
				status.count(partition, nodes)
			}
			status.check(partition, adding)
		}
	}
	probe(ctx, client, nodes)
	for _, node := range nodes {
		status.Nodes = append(status.Nodes, *node)
	}
	slices.SortFunc(status.Nodes, func(a, b nodeStatus) int { return int(a.ID) - int(b.ID) })
	status.judge(wantNodes)
	return status, nil
}

// count adds one partition to the sums, which are of what users created.
func (s *clusterStatus) count(partition kadm.PartitionDetail, nodes map[int32]*nodeStatus) {
	node := func(id int32) *nodeStatus {
		if nodes[id] == nil {
			// A node that is down is no longer among the brokers, but its replicas still name it.
			nodes[id] = &nodeStatus{ID: id, Address: "-", State: "down: not registered"}
		}
		return nodes[id]
	}
	s.Partitions++
	for _, id := range partition.Replicas {
		node(id).Replicas++
	}
	for _, id := range partition.ISR {
		node(id).InSync++
	}
	if partition.Leader >= 0 {
		node(partition.Leader).Leaders++
	}
}

// check adds a partition to the list of the troubled if it is. The replicas that a reassignment adds are not expected to be in sync
// before it is done.
func (s *clusterStatus) check(partition kadm.PartitionDetail, adding []int32) {
	problem := ""
	expected := slices.DeleteFunc(slices.Clone(partition.Replicas), func(id int32) bool {
		return slices.Contains(adding, id) && !slices.Contains(partition.ISR, id)
	})
	if len(partition.ISR) < len(expected) {
		problem = "under-replicated"
		s.UnderReplicated++
	}
	if partition.Leader < 0 {
		problem = "leaderless"
		s.Leaderless++
	}
	if problem != "" {
		s.Troubled = append(s.Troubled, troubledPartition{
			partition.Topic, partition.Partition, problem, partition.Leader, partition.Replicas, partition.ISR,
		})
	}
}

// probe sends each registered broker a request of its own.
func probe(ctx context.Context, client *kgo.Client, nodes map[int32]*nodeStatus) {
	var wait sync.WaitGroup
	for _, node := range nodes {
		if node.State != "" {
			continue
		}
		wait.Go(func() {
			request := kmsg.NewPtrMetadataRequest()
			request.Topics = []kmsg.MetadataRequestTopic{}
			node.State = "up"
			if cordoned(ctx, client, node.ID) {
				node.State = upCordoned
			}
			if _, err := client.Broker(int(node.ID)).Request(ctx, request); err != nil {
				node.State = "down: " + oneLine(err)
			}
		})
	}
	wait.Wait()
}

// upCordoned is the state of a node that serves and gets no new replicas.
const upCordoned = "up, cordoned"

// cordoned asks a node whether it gets no new replicas; one that does not know the question is not cordoned.
func cordoned(ctx context.Context, client *kgo.Client, id int32) bool {
	request := kmsg.NewPtrDescribeLogDirsRequest()
	request.Topics = []kmsg.DescribeLogDirsRequestTopic{}
	resp, err := request.RequestWith(ctx, client.Broker(int(id)))
	if err != nil {
		return false
	}
	for _, dir := range resp.Dirs {
		if !dir.IsCordoned {
			return false
		}
	}
	return len(resp.Dirs) > 0
}

// judge writes down everything that keeps the cluster from being healthy.
func (s *clusterStatus) judge(wantNodes int) {
	up := 0
	for _, node := range s.Nodes {
		if node.State == "up" || node.State == upCordoned {
			up++
			continue
		}
		s.Problems = append(s.Problems, fmt.Sprintf("node %d is %s", node.ID, node.State))
	}
	if up < wantNodes {
		s.Problems = append(s.Problems, fmt.Sprintf("%d of %d nodes are up", up, wantNodes))
	}
	if s.Controller < 0 {
		s.Problems = append(s.Problems, "there is no controller")
	}
	if s.Leaderless > 0 {
		s.Problems = append(s.Problems, plural(int64(s.Leaderless), "partition")+" without a leader: they accept and serve nothing")
	}
	if s.UnderReplicated > 0 {
		s.Problems = append(s.Problems, plural(int64(s.UnderReplicated), "partition")+" under-replicated: another failure may stop them")
	}
	s.Healthy = len(s.Problems) == 0
}
