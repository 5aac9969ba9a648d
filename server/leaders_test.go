package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"balsa/log"
	"balsa/raft"
	"balsa/server/cluster"
)

func TestLeaderTableKeepsTheNewest(t *testing.T) {
	id := raft.GroupID{Topic: [16]byte{1}}
	table := newLeaderTable(1, slog.New(slog.DiscardHandler))
	for i, tt := range []struct {
		news, want raft.Leadership
	}{
		{raft.Leadership{Leader: 2, Epoch: 5}, raft.Leadership{Leader: 2, Epoch: 5}},
		{raft.Leadership{Leader: 3, Epoch: 4}, raft.Leadership{Leader: 2, Epoch: 5}},                     // old news
		{raft.Leadership{Leader: raft.NoNode, Epoch: 5}, raft.Leadership{Leader: 2, Epoch: 5}},           // an epoch has one leader
		{raft.Leadership{Leader: raft.NoNode, Epoch: 6}, raft.Leadership{Leader: raft.NoNode, Epoch: 6}}, // an election
		{raft.Leadership{Leader: 3, Epoch: 6, Ready: true}, raft.Leadership{Leader: 3, Epoch: 6, Ready: true}},
	} {
		table.changed(id, tt.news)
		if got := table.get(id); got != tt.want {
			t.Errorf("step %d: %+v, want %+v", i, got, tt.want)
		}
	}
	with, without := cluster.NewImage(), cluster.NewImage()
	with.Topics[id.Topic] = &cluster.Topic{ID: id.Topic}
	table.forget(without, without)
	if got := table.get(id); got.Leader != 3 {
		t.Errorf("news of a topic that is yet to come were dropped: %+v", got)
	}
	table.forget(with, without)
	if got := table.get(id); got.Leader != raft.NoNode {
		t.Errorf("a deleted topic's leader is still known: %+v", got)
	}
}

func TestLeadersAreAnnounced(t *testing.T) {
	a, b := newLeaderTable(1, slog.New(slog.DiscardHandler)), newLeaderTable(2, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.announce(ctx, func() []raft.NodeID { return []raft.NodeID{1, 2} },
			func(ctx context.Context, to raft.NodeID, service uint8, payload []byte) ([]byte, error) {
				if to != 2 || service != leadersService {
					t.Errorf("announced to node %d, service %d", to, service)
				}
				return b.serve(ctx, 1, payload)
			})
	}()
	id, other := raft.GroupID{Topic: [16]byte{1}, Partition: 3}, raft.GroupID{Topic: [16]byte{2}}
	a.changed(other, raft.Leadership{Leader: 1, Epoch: 2}) // not ready: not to be announced
	a.changed(id, raft.Leadership{Leader: 1, Epoch: 7, Ready: true})
	within, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	b.await(within, []raft.GroupID{id})
	if got := b.get(id); got.Leader != 1 || got.Epoch != 7 {
		t.Errorf("the other broker knows %+v", got)
	}
	if got := b.get(other); got.Leader != raft.NoNode {
		t.Errorf("a leader that is not ready was announced: %+v", got)
	}
	cancel()
	<-done
	late := newLeaderTable(3, slog.New(slog.DiscardHandler)) // was not there when it was announced
	late.ask(context.Background(), []raft.NodeID{1, 3}, func(ctx context.Context, _ raft.NodeID, _ uint8, payload []byte) ([]byte, error) {
		return a.serve(ctx, 3, payload)
	})
	if got := late.get(id); got.Leader != 1 || got.Epoch != 7 {
		t.Errorf("the late broker knows %+v", got)
	}
}

func FuzzDecodeLeaders(f *testing.F) {
	f.Add(encodeLeaders(map[raft.GroupID]log.Epoch{{Partition: 4}: 9}))
	f.Fuzz(func(t *testing.T, b []byte) {
		led, err := decodeLeaders(b)
		if err != nil {
			if !errors.Is(err, errLeaders) {
				t.Errorf("unexpected error %v", err)
			}
			return
		}
		again, err := decodeLeaders(encodeLeaders(led))
		if err != nil || len(again) != len(led) {
			t.Errorf("not stable: %v", err)
		}
	})
}
