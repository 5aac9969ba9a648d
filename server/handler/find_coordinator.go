package handler

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// Coordinator types of FindCoordinator.
const (
	groupCoordinator       = 0
	transactionCoordinator = 1
)

// findCoordinator answers FindCoordinator: the leader of the shard that a group or transactional id hashes to.
func (b *Broker) findCoordinator(_ context.Context, _ Client, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := newResponse[*kmsg.FindCoordinatorResponse](req)
	img := b.Metadata.Image()
	if req.Version >= 4 {
		resp.Coordinators = make([]kmsg.FindCoordinatorResponseCoordinator, 0, len(req.CoordinatorKeys))
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, b.coordinatorOf(img, req.CoordinatorType, key))
		}
		return resp
	}
	c := b.coordinatorOf(img, req.CoordinatorType, req.CoordinatorKey)
	resp.ErrorCode, resp.ErrorMessage = c.ErrorCode, c.ErrorMessage
	resp.NodeID, resp.Host, resp.Port = c.NodeID, c.Host, c.Port
	return resp
}

func (b *Broker) coordinatorOf(img *cluster.Image, kind int8, key string) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key = key
	broker, err := b.findShardLeader(img, kind, key)
	if err != nil {
		c.NodeID, c.Port = -1, -1
		c.ErrorCode, c.ErrorMessage = errorCode(err), errorMessage(err)
		return c
	}
	c.NodeID, c.Host, c.Port = int32(broker.ID), broker.Host, broker.Port
	return c
}

func (b *Broker) findShardLeader(img *cluster.Image, kind int8, key string) (cluster.Broker, error) {
	if kind != groupCoordinator && kind != transactionCoordinator {
		return cluster.Broker{}, fmt.Errorf("coordinator type %d is not served: %w", kind, kerr.InvalidRequest)
	}
	if kind == transactionCoordinator && key == "" {
		return cluster.Broker{}, fmt.Errorf("the transactional id is empty: %w", kerr.InvalidRequest)
	}
	leader := b.Metadata.Leader(cluster.CoordinatorTopic, b.Coordinator.Shard(key)).Leader
	broker, known := img.Brokers[leader]
	if leader == raft.NoNode || !known || !b.Metadata.Alive(leader) {
		return cluster.Broker{}, kerr.CoordinatorNotAvailable
	}
	return broker, nil
}
