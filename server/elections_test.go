package server

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

// TestElectionsAskTheLeaders: each group is asked of who leads it, and what stays there or cannot be asked is not elected.
func TestElectionsAskTheLeaders(t *testing.T) {
	topic := cluster.TopicID{1}
	groups := func(from, to int32) (ps []cluster.TopicPartition) {
		for p := from; p < to; p++ {
			ps = append(ps, cluster.TopicPartition{Topic: topic, Partition: p})
		}
		return ps
	}
	leaders := map[int32]raft.NodeID{0: 2, 1: 2, 2: 3, 3: raft.NoNode}
	asked := map[raft.NodeID]int{}
	e := &elections{
		node:  1,
		image: cluster.NewImage,
		leader: func(id raft.GroupID) raft.Leadership {
			return raft.Leadership{Leader: leaders[id.Partition]}
		},
		call: func(_ context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error) {
			if service != electionsService || len(payload) < 4 {
				t.Errorf("service %d, %d bytes", service, len(payload))
			}
			if to == 3 {
				return nil, raft.ErrUnreachable
			}
			wanted, err := decodeLeaders(payload[4:])
			if err != nil {
				t.Error(err)
			}
			asked[to] = len(wanted)
			return encodeLeaders(map[raft.GroupID]log.Epoch{{Topic: topic, Partition: 1}: 0}), nil
		},
	}
	got := e.ElectPreferred(t.Context(), groups(0, 4))
	for p, want := range []error{nil, kerr.PreferredLeaderNotAvailable, kerr.RequestTimedOut, kerr.PreferredLeaderNotAvailable} {
		if !errors.Is(got[p], want) || (want == nil && got[p] != nil) {
			t.Errorf("partition %d: %v, want %v", p, got[p], want)
		}
	}
	if asked[2] != 2 {
		t.Errorf("asked %v", asked)
	}
}

func TestElectionsRefuseGarbage(t *testing.T) {
	e := &elections{node: 1}
	for _, payload := range [][]byte{nil, {0, 0, 0}, {0, 0, 0, 1}, {0, 0, 0, 1, 9}, {0, 0, 0, 1, 1, 7}} {
		if _, err := e.serve(t.Context(), 2, payload); !errors.Is(err, errElection) {
			t.Errorf("%x: %v", payload, err)
		}
	}
}
