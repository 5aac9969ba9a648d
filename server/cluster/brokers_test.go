package cluster

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

func TestProducerIDBlocks(t *testing.T) {
	w := newWorld(t, 1)
	req := kmsg.NewPtrAllocateProducerIDsRequest()
	for want := int64(0); want < 5000; want += 1000 {
		resp := w.do(req).(*kmsg.AllocateProducerIDsResponse)
		if resp.ErrorCode != 0 || resp.ProducerIDStart != want || resp.ProducerIDLen != 1000 {
			t.Fatalf("got %+v, want a block from %d", resp, want)
		}
	}
	w.apply([]Record{ProducerIDsAllocated{1<<63 - 1000}})
	if resp := w.do(req).(*kmsg.AllocateProducerIDsResponse); resp.ErrorCode == 0 {
		t.Errorf("got %+v from an exhausted number space", resp)
	}
}

func TestRegisterBroker(t *testing.T) {
	w := newWorld(t, 3)
	b := Broker{ID: 2, Incarnation: [16]byte{7}, Host: "::1", Port: 1234, PeerAddress: "[::1]:99", Rack: "r"}
	register := func(b Broker, clusterID string) int16 {
		req, err := RegistrationRequest(b, clusterID)
		if err != nil {
			t.Fatal(err)
		}
		return w.do(req).(*kmsg.BrokerRegistrationResponse).ErrorCode
	}
	if code := register(b, w.image.ClusterID); code != 0 || w.image.Brokers[2] != b {
		t.Errorf("code %d, broker %+v", code, w.image.Brokers[2])
	}
	before := w.image
	if code := register(b, ""); code != 0 || w.image != before {
		t.Errorf("the same again: code %d, changed %v", code, w.image != before)
	}
	if code := register(b, "another"); code != kerr.InconsistentClusterID.Code {
		t.Errorf("of another cluster: code %d", code)
	}
	for name, bad := range map[string]Broker{
		"negative id": {ID: -1, Host: "h", Port: 1},
		"no host":     {ID: 2, Port: 1},
		"no port":     {ID: 2, Host: "h"},
	} {
		if code := register(bad, ""); code != kerr.InvalidRegistration.Code {
			t.Errorf("%s: code %d", name, code)
		}
	}
	if w.image != before {
		t.Error("refused registrations changed something")
	}
	if _, err := RegistrationRequest(Broker{ID: 1, Host: "h", Port: 1, PeerAddress: "nonsense"}, ""); err == nil {
		t.Error("a peer address without port was accepted")
	}
}

func TestBootstrapOnce(t *testing.T) {
	w := newWorld(t, 3)
	if len(w.image.ClusterID) != 22 {
		t.Errorf("cluster id %q", w.image.ClusterID)
	}
	if again := w.decider.Bootstrap(w.image); again != nil {
		t.Errorf("again: %+v", again)
	}
	for _, p := range w.image.Topics[CoordinatorTopic].Partitions {
		for _, r := range p.Replicas {
			if !slices.Contains([]raft.NodeID{1, 2, 3}, r) {
				t.Errorf("replicas %v", p.Replicas)
			}
		}
	}
}

func TestNotServed(t *testing.T) {
	w := newWorld(t, 1)
	if _, err := w.decider.Decide(w.image, kmsg.NewPtrMetadataRequest()); err == nil {
		t.Error("Metadata was decided")
	}
	if Served(int16(kmsg.Metadata)) || !Served(int16(kmsg.CreateTopics)) {
		t.Error("Served is wrong")
	}
}
