package cluster

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/config"
)

// world is a decider with the image that its decisions lead to, as on the leader of a real cluster, minus Raft.
type world struct {
	t       testing.TB
	config  *config.Config
	decider *Decider
	image   *Image
	dead    map[raft.NodeID]bool
}

// newWorld has n registered brokers, 1 to n.
func newWorld(t testing.TB, n int) *world {
	c := config.Default()
	w := &world{t: t, config: &c, image: NewImage(), dead: map[raft.NodeID]bool{}}
	for i := 1; i <= n; i++ {
		c.Peers = append(c.Peers, config.Peer{ID: int32(i), Address: "peer:1"})
	}
	w.decider = NewDecider(&c, func(id raft.NodeID) bool { return !w.dead[id] }, rand.New(rand.NewPCG(1, 2)))
	w.apply(w.decider.Bootstrap(w.image))
	for i := 1; i <= n; i++ {
		w.register(raft.NodeID(i), "")
	}
	return w
}

func (w *world) register(id raft.NodeID, rack string) {
	w.t.Helper()
	req, err := RegistrationRequest(Broker{ID: id, Incarnation: [16]byte{byte(id)}, Host: "host", Port: 9092, PeerAddress: "peer:1", Rack: rack}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	if resp := w.do(req).(*kmsg.BrokerRegistrationResponse); resp.ErrorCode != 0 {
		w.t.Fatalf("register %d: code %d", id, resp.ErrorCode)
	}
}

// do decides and applies, and checks on the way that the image the decision read did not change.
func (w *world) do(req kmsg.Request) kmsg.Response {
	w.t.Helper()
	before := w.image.Snapshot()
	d, err := w.decider.Decide(w.image, req)
	if err != nil {
		w.t.Fatalf("decide %T: %v", req, err)
	}
	old := w.image
	w.apply(d.Records)
	if !bytes.Equal(before, old.Snapshot()) {
		w.t.Fatalf("%T changed the image that it was decided from", req)
	}
	if d.Response.GetVersion() != req.GetVersion() {
		w.t.Fatalf("%T v%d answered with v%d", req, req.GetVersion(), d.Response.GetVersion())
	}
	// What a client gets is what survives encoding.
	encoded := d.Response.AppendTo(nil)
	resp := req.ResponseKind()
	if err := resp.ReadFrom(encoded); err != nil {
		w.t.Fatalf("%T: response does not decode: %v", req, err)
	}
	return resp
}

// apply goes through the encoding that the metadata group carries.
func (w *world) apply(records []Record) {
	w.t.Helper()
	if len(records) == 0 {
		return
	}
	e, err := DecodeEntry(Entry{Base: w.image.Version, Records: records}.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	w.image = w.image.Apply(w.image.Version+1, e.Records)
}

// create makes a topic that must succeed.
func (w *world) create(name string, partitions int32, factor int16, configs ...string) *Topic {
	w.t.Helper()
	r := w.tryCreate(topicRequest(name, partitions, factor, configs...))
	if r.ErrorCode != 0 {
		w.t.Fatalf("create %s: code %d, %s", name, r.ErrorCode, *r.ErrorMessage)
	}
	return w.image.TopicsByName[name]
}

func (w *world) tryCreate(topic kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsResponseTopic {
	w.t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	req.Topics = append(req.Topics, topic)
	resp := w.do(req).(*kmsg.CreateTopicsResponse)
	if len(resp.Topics) != 1 {
		w.t.Fatalf("%d answers to one topic", len(resp.Topics))
	}
	return resp.Topics[0]
}

// topicRequest takes configs as key, value, key, value.
func topicRequest(name string, partitions int32, factor int16, configs ...string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, factor
	for i := 0; i < len(configs); i += 2 {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	return t
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
