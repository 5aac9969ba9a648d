package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"

	"balsa/raft"
	"balsa/server/cluster"
)

// TestJoinIsRefused: a broker gets into the cluster that its data are of, and under an id that nobody uses.
func TestJoinIsRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host, err := raft.NewHost(raft.HostConfig{
		Node: 1, Dir: t.TempDir(), Listener: listener, Logger: slog.New(slog.DiscardHandler),
		Dial: func(context.Context, raft.NodeID) (net.Conn, error) { return nil, raft.ErrUnreachable },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	image := cluster.NewImage()
	image.ClusterID = "here"
	image.Brokers[1] = cluster.Broker{ID: 1, PeerAddress: "one:1"}
	image.Brokers[3] = cluster.Broker{ID: 3, PeerAddress: "three:1"}
	j := &joins{
		node: 1, address: "one:1", host: host, image: func() *cluster.Image { return image }, leader: func() raft.NodeID { return 1 },
		logger: slog.New(slog.DiscardHandler), asked: map[raft.NodeID]joining{}, learned: map[raft.NodeID]string{},
	}
	host.Handle(joinService, j.serve)
	for name, c := range map[string]struct {
		request joinRequest
		refused string
	}{
		"new":             {request: joinRequest{Version: 1, Node: 4, PeerAddress: "four:1"}},
		"comes back":      {request: joinRequest{Version: 1, Node: 4, PeerAddress: "four:1", ClusterID: "here"}},
		"moved":           {request: joinRequest{Version: 1, Node: 3, PeerAddress: "elsewhere:1"}}, // the old one is not alive
		"another cluster": {request: joinRequest{Version: 1, Node: 4, PeerAddress: "four:1", ClusterID: "there"}, refused: "cluster there"},
		"id in use":       {request: joinRequest{Version: 1, Node: 1, PeerAddress: "four:1"}, refused: "node id 1 is in use"},
		"another version": {request: joinRequest{Version: 2, Node: 4, PeerAddress: "four:1"}, refused: "version 2"},
	} {
		// The way a broker goes that knows nothing but an address.
		answer, err := askToJoin(t.Context(), listener.Addr().String(), c.request)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || answer.ClusterID != "here" || answer.Peers[3] != "three:1":
			t.Errorf("%s: %+v, %v", name, answer, err)
		case j.addressOf(c.request.Node, "before:1") != c.request.PeerAddress:
			t.Errorf("%s: its address is %q", name, j.addressOf(c.request.Node, "before:1"))
		}
	}
	if recent := j.recent(); len(recent) != 2 {
		t.Errorf("joining: %v, want 3 and 4", recent)
	}
	ask := joinRequest{Version: 1, Node: 3, Ask: true}
	if answer, err := askToJoin(t.Context(), listener.Addr().String(), ask); err != nil || !answer.Registered {
		t.Errorf("is node 3 registered: %+v, %v", answer, err)
	}
	if err := mayFound(3, []string{listener.Addr().String()}); err == nil {
		t.Error("a registered broker without data may start")
	}
	if err := mayFound(5, []string{listener.Addr().String(), "127.0.0.1:1"}); err != nil {
		t.Errorf("a broker that nobody knows: %v", err)
	}
	image.ClusterID = ""
	if _, err := askToJoin(t.Context(), listener.Addr().String(), joinRequest{Version: 1, Node: 4, PeerAddress: "four:1"}); err == nil {
		t.Error("joined a cluster that does not exist yet")
	}
	if err := j.learn(joinAnswer{Version: 1, ClusterID: "x", Peers: map[raft.NodeID]string{7: "seven:1"}}); err != nil || j.addressOf(7, "") != "seven:1" {
		t.Errorf("learned %q, %v", j.addressOf(7, ""), err)
	}
	if got := j.addressOf(7, "now:1"); got != "now:1" {
		t.Errorf("registered at now:1, dialled at %s", got)
	}
	image.ClusterID = "here"
	if err := j.learn(joinAnswer{Version: 1, ClusterID: "there"}); err == nil {
		t.Error("learned from another cluster")
	}
}

func FuzzJoinRequest(f *testing.F) {
	valid, err := json.Marshal(joinRequest{Version: 1, Node: 4, PeerAddress: "four:1", Ask: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte("{}"))
	image := cluster.NewImage()
	j := &joins{node: 1, image: func() *cluster.Image { return image }, asked: map[raft.NodeID]joining{}}
	f.Fuzz(func(t *testing.T, payload []byte) {
		answer, err := j.serve(t.Context(), 2, payload) // without a cluster: answered only if asked
		if err == nil && !json.Valid(answer) {
			t.Errorf("answered %q", answer)
		}
	})
}
