package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"balsa/raft"
	"balsa/server/cluster"
)

// joinService is the number under which a broker asks to join the cluster, and what a cluster knows of it.
const joinService uint8 = 12

const (
	// joinInterval is how often a joining broker repeats its request, until it is registered: the leader may change.
	joinInterval = time.Second
	joinTimeout  = 3 * time.Second
	// joinFresh is how long a request counts.
	joinFresh = 10 * joinInterval
	// askFirst bounds the question whether the cluster knows a broker without data.
	askFirst = time.Second
)

// joinRequest and joinAnswer are sent as JSON: rare, and read by people who look into a problem.
type joinRequest struct {
	Version     int         `json:"version"`
	Node        raft.NodeID `json:"node"`
	PeerAddress string      `json:"peer_address"`
	ClusterID   string      `json:"cluster_id,omitempty"` // of its data, if it has any
	// Ask: it does not want to join, only to know whether it is registered.
	Ask bool `json:"ask,omitempty"`
	// Forwarded: by another broker than the leader.
	Forwarded bool `json:"forwarded,omitempty"`
}

type joinAnswer struct {
	Version    int                    `json:"version"`
	ClusterID  string                 `json:"cluster_id"`
	Registered bool                   `json:"registered"`
	Peers      map[raft.NodeID]string `json:"peers"` // where the brokers' peer listeners are
}

const joinVersion = 1

// joins knows the brokers that ask to join this one's cluster, and the way to the brokers of the cluster that this one joins, until
// the metadata says it.
type joins struct {
	node    raft.NodeID
	address string   // of this broker's peer listener
	seeds   []string // to ask
	host    *raft.Host
	image   func() *cluster.Image
	leader  func() raft.NodeID // of the metadata
	logger  *slog.Logger

	mu       sync.Mutex
	asked    map[raft.NodeID]joining
	learned  map[raft.NodeID]string // addresses that answers told
	problem  string                 // reported last
	reported time.Time
}

type joining struct {
	address string
	at      time.Time
}

// serve answers another broker; its signature is raft.Service.
func (j *joins) serve(ctx context.Context, from raft.NodeID, payload []byte) ([]byte, error) {
	var r joinRequest
	if err := json.Unmarshal(payload, &r); err != nil {
		return nil, fmt.Errorf("decode a request to join: %w", err)
	}
	if r.Version != joinVersion {
		return nil, fmt.Errorf("request to join of version %d", r.Version)
	}
	image := j.image()
	known, registered := image.Brokers[r.Node]
	answer := joinAnswer{Version: joinVersion, ClusterID: image.ClusterID, Registered: registered, Peers: j.peers(image)}
	if r.Ask {
		return json.Marshal(answer)
	}
	switch {
	case image.ClusterID == "":
		return nil, errors.New("there is no cluster here yet")
	case r.ClusterID != "" && r.ClusterID != image.ClusterID:
		return nil, fmt.Errorf("node %d has the data of cluster %s, this is cluster %s", r.Node, r.ClusterID, image.ClusterID)
	case r.Node == j.node, registered && known.PeerAddress != r.PeerAddress && j.host.Alive(r.Node):
		return nil, fmt.Errorf("node id %d is in use, by %s", r.Node, known.PeerAddress)
	}
	j.mu.Lock()
	j.asked[r.Node] = joining{r.PeerAddress, time.Now()}
	j.mu.Unlock()
	j.host.Connect(r.Node)
	leader := j.leader()
	switch {
	case leader == j.node:
	case leader == raft.NoNode:
		return nil, errors.New("the metadata has no leader")
	case !r.Forwarded:
		r.Forwarded = true
		forwarded, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("forward a request to join: %w", err)
		}
		return j.host.Call(ctx, leader, joinService, forwarded)
	}
	return json.Marshal(answer)
}

// peers returns where the cluster's brokers listen for one another.
func (j *joins) peers(image *cluster.Image) map[raft.NodeID]string {
	peers := map[raft.NodeID]string{j.node: j.address}
	for id, b := range image.Brokers {
		peers[id] = b.PeerAddress
	}
	return peers
}

// recent returns the brokers that asked to join lately.
func (j *joins) recent() []raft.NodeID {
	j.mu.Lock()
	defer j.mu.Unlock()
	var nodes []raft.NodeID
	for n, a := range j.asked {
		if time.Since(a.at) < joinFresh {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// addressOf returns where a broker is, registered being what the metadata says: it may be out of date for one that asks to join, and
// empty for one that joins itself.
func (j *joins) addressOf(n raft.NodeID, registered string) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	if a, ok := j.asked[n]; ok && time.Since(a.at) < joinFresh {
		return a.address
	}
	if registered != "" {
		return registered
	}
	return j.learned[n]
}

// run asks to join until done says that the broker is registered.
func (j *joins) run(ctx context.Context, done func() bool) {
	ticker := time.NewTicker(joinInterval)
	defer ticker.Stop()
	for len(j.seeds) > 0 && !done() {
		request := joinRequest{Version: joinVersion, Node: j.node, PeerAddress: j.address, ClusterID: j.image().ClusterID}
		for _, seed := range j.seeds {
			answer, err := j.ask(ctx, seed, request)
			if err == nil {
				err = j.learn(answer)
			}
			if err == nil {
				break
			}
			j.report(fmt.Sprintf("%s: %v", seed, err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// learn takes the addresses of the cluster's brokers.
func (j *joins) learn(a joinAnswer) error {
	if own := j.image().ClusterID; own != "" && own != a.ClusterID {
		return fmt.Errorf("this node has the data of cluster %s, that is cluster %s", own, a.ClusterID)
	}
	j.mu.Lock()
	maps.Copy(j.learned, a.Peers)
	j.mu.Unlock()
	for id := range a.Peers {
		j.host.Connect(id)
	}
	return nil
}

func (j *joins) report(problem string) {
	if problem == j.problem && time.Since(j.reported) < joinFresh {
		return
	}
	j.problem, j.reported = problem, time.Now()
	j.logger.Warn("cannot join the cluster yet, trying again", "why", problem)
}

func (j *joins) ask(ctx context.Context, address string, r joinRequest) (joinAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	return askToJoin(ctx, address, r)
}

// askToJoin sends a request to a broker of which only the address is known.
func askToJoin(ctx context.Context, address string, r joinRequest) (joinAnswer, error) {
	var answer joinAnswer
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return answer, err
	}
	defer func() { _ = nc.Close() }() // asked once, answered once
	payload, err := json.Marshal(r)
	if err != nil {
		return answer, fmt.Errorf("encode a request to join: %w", err)
	}
	_, body, err := raft.Introduce(ctx, nc, r.Node, joinService, payload)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, fmt.Errorf("decode an answer to a request to join: %w", err)
	}
	if answer.Version != joinVersion {
		return answer, fmt.Errorf("answer of version %d to a request to join", answer.Version)
	}
	return answer, nil
}

// mayFound refuses to start a node that has no data, but that the others know: it lost its data, and would vote as if it had never
// promised anything. Others that do not answer cannot say so.
func mayFound(node raft.NodeID, others []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), askFirst)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var refusal error
	for _, address := range others {
		wg.Go(func() {
			answer, err := askToJoin(ctx, address, joinRequest{Version: joinVersion, Node: node, Ask: true})
			if err != nil || !answer.Registered {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			refusal = fmt.Errorf("node %d is a member of cluster %s (says %s), but has no data: if they are lost, start it with --join %s",
				node, answer.ClusterID, address, address)
		})
	}
	wg.Wait()
	return refusal
}
