package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/raft"
	"balsa/server/cluster"
	"balsa/server/coordinator"
	"balsa/server/group"
	"balsa/server/txn"
)

type noIDs struct{}

func (noIDs) Take() (int64, bool)   { return 0, false }
func (noIDs) Await(context.Context) {}

// A question follows the coordinator: past a node that is down, one that is none any more, and the time without a leader.
func TestAddPartitionsFindsTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		image := &cluster.Image{Version: 8, Topics: map[cluster.TopicID]*cluster.Topic{
			cluster.CoordinatorTopic: {ID: cluster.CoordinatorTopic, Partitions: make([]cluster.Partition, 4)},
		}}
		host, err := coordinator.New(coordinator.Config{
			Node: 1, Group: group.DefaultConfig(), Txn: txn.DefaultConfig(), Image: func() *cluster.Image { return image },
			ProducerIDs: noIDs{}, CommitTimeout: time.Second, Logger: slog.New(slog.DiscardHandler),
			Complete: func(context.Context, txn.Completion, func()) {},
		})
		if err != nil {
			t.Fatal(err)
		}
		leaders := []raft.NodeID{raft.NoNode, 2, 3, 1, 2}
		var asked []coordinator.AddPartitions
		tr := &transactions{
			node: 1, coordinator: host, image: func() *cluster.Image { return image }, logger: slog.New(slog.DiscardHandler),
			leader: func(topic cluster.TopicID, _ int32) raft.Leadership {
				if topic != cluster.CoordinatorTopic {
					t.Errorf("asks for the leader of %v", topic)
				}
				l := leaders[0]
				if len(leaders) > 1 {
					leaders = leaders[1:]
				}
				return raft.Leadership{Leader: l}
			},
			call: func(_ context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error) {
				req, err := decodeAddPartitions(payload)
				if err != nil || service != transactionsService {
					t.Errorf("service %d: %v", service, err)
				}
				asked = append(asked, req)
				switch {
				case len(asked) == 1:
					return nil, raft.ErrUnreachable
				case to == 3:
					return encodeCodes([]int16{kerr.NotCoordinator.Code, kerr.NotCoordinator.Code}), nil
				}
				return encodeCodes([]int16{0, kerr.TransactionAbortable.Code}), nil
			},
		}
		errs := tr.AddPartitions(context.Background(), "tx", 5, 3, []cluster.TopicPartition{tp(0), tp(1)}, true)
		if len(asked) != 3 || errs[0] != nil || !errors.Is(errs[1], kerr.TransactionAbortable) {
			t.Errorf("asked %d times: %v", len(asked), errs)
		}
		if a := asked[2]; !a.VerifyOnly || a.Metadata != 8 || a.Version != 0 || a.ProducerID != 5 || a.Epoch != 3 || len(a.Partitions) != 2 {
			t.Errorf("asked %+v", a)
		}
		leaders = []raft.NodeID{raft.NoNode}
		began := time.Now()
		errs = tr.AddPartitions(context.Background(), "tx", 5, 3, []cluster.TopicPartition{tp(0)}, false)
		if !errors.Is(errs[0], kerr.CoordinatorNotAvailable) || time.Since(began) != addPatience {
			t.Errorf("without a coordinator: %v after %v", errs, time.Since(began))
		}
		host.Close()
	})
}
