package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
)

// A broker whose metadata lags does not know the topic yet, or not all of its partitions, and so not what its groups need there.
func TestFloorsOfBrokersThatLag(t *testing.T) {
	const node, other = 1, 2
	at := func(version uint64) func() *cluster.Image {
		image := cluster.NewImage()
		image.Version = version
		image.Topics[cluster.CoordinatorTopic] = &cluster.Topic{ID: cluster.CoordinatorTopic, Partitions: make([]cluster.Partition, 1)}
		return func() *cluster.Image { return image }
	}
	floors := []coordinator.CommittedFloor{{Topic: cluster.TopicID{1}, Partition: 0, Offset: 5}}
	for _, version := range []uint64{9, 10, 11} {
		there := &queues{node: other, image: at(version), committed: func([]cluster.TopicID) ([]int32, []coordinator.CommittedFloor) {
			return []int32{0}, floors
		}}
		here := &queues{
			node: node, image: at(10), brokers: func() []raft.NodeID { return []raft.NodeID{other} },
			logger: slog.New(slog.DiscardHandler),
			call: func(ctx context.Context, _ raft.NodeID, _ uint8, payload []byte) ([]byte, error) {
				return there.serve(ctx, node, payload)
			},
		}
		got, err := here.floors(t.Context(), map[cluster.TopicID]struct{}{{1}: {}})
		if version < 10 {
			if !errors.Is(err, errShards) {
				t.Errorf("version %d: %v, %v", version, got, err)
			}
			continue
		}
		if err != nil || got[cluster.TopicPartition{Topic: cluster.TopicID{1}}] != 5 {
			t.Errorf("version %d: %v, %v", version, got, err)
		}
	}
}
