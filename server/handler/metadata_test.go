package handler

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

func metadataOf(version int16, names ...string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = version
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, n := range names {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(n)
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func TestMetadata(t *testing.T) {
	for version := range int16(14) {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t)
			resp := ask[*kmsg.MetadataResponse](w, metadataOf(version, "t", "lost"))
			if len(resp.Brokers) != 2 || resp.Brokers[0].Host != "b1" || resp.Brokers[1].Port != 9092 {
				t.Errorf("brokers %+v: those alive, by id", resp.Brokers)
			}
			if version >= 1 && (resp.ControllerID != 2 || *resp.Brokers[0].Rack != "r1") {
				t.Errorf("controller %d", resp.ControllerID)
			}
			if version >= 2 && *resp.ClusterID != "cluster" {
				t.Errorf("cluster id %v", *resp.ClusterID)
			}
			if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 2 {
				t.Fatalf("%+v", resp.Topics)
			}
			p := resp.Topics[0].Partitions[1]
			if p.ErrorCode != 0 || p.Partition != 1 || p.Leader != 1 || fmt.Sprint(p.Replicas, p.ISR) != "[1 2] [1 2]" {
				t.Errorf("%+v", p)
			}
			if version >= 7 && p.LeaderEpoch != 5 {
				t.Errorf("leader epoch %d", p.LeaderEpoch)
			}
			lost := resp.Topics[1].Partitions[0]
			if lost.ErrorCode != kerr.LeaderNotAvailable.Code || lost.Leader != -1 || fmt.Sprint(lost.Replicas, lost.ISR) != "[3 1] [1]" {
				t.Errorf("of a dead leader: %+v", lost)
			}
			if version >= 5 && fmt.Sprint(lost.OfflineReplicas) != "[3]" {
				t.Errorf("offline %v", lost.OfflineReplicas)
			}
			if version >= 8 && resp.Topics[0].AuthorizedOperations != math.MinInt32 {
				t.Errorf("operations %d without being asked", resp.Topics[0].AuthorizedOperations)
			}
			if version >= 10 && resp.Topics[0].TopicID != idT {
				t.Errorf("id %v", resp.Topics[0].TopicID)
			}
		})
	}
}

// A replica that its live broker set aside is not in sync.
func TestMetadataLeavesOutReplicasOutOfService(t *testing.T) {
	w := newWorld(t)
	w.aside = map[raft.NodeID]bool{2: true}
	p := w.broker.metadataPartition(w.Image(), w.Image().TopicsByName["t"], 1)
	if fmt.Sprint(p.Replicas, p.ISR, p.OfflineReplicas) != "[1 2] [1] [2]" || p.Leader != 1 || p.ErrorCode != 0 {
		t.Errorf("%+v", p)
	}
}

func TestMetadataAllOrNone(t *testing.T) {
	w := newWorld(t)
	all := "__consumer_offsets far lost t"
	for _, test := range []struct {
		version int16
		null    bool
		want    string
	}{{0, false, all}, {1, true, all}, {1, false, ""}, {13, true, all}, {13, false, ""}} {
		req := metadataOf(test.version)
		if test.null {
			req.Topics = nil
		}
		var names []string
		for _, topic := range ask[*kmsg.MetadataResponse](w, req).Topics {
			names = append(names, *topic.Topic)
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("v%d, null %v: %q, want %q", test.version, test.null, got, test.want)
		}
	}
}

func TestMetadataErrors(t *testing.T) {
	w := newWorld(t)
	byID := func(id cluster.TopicID) *kmsg.MetadataRequest {
		req := metadataOf(12)
		rt := kmsg.NewMetadataRequestTopic()
		rt.TopicID = id
		req.Topics = append(req.Topics, rt)
		return req
	}
	tests := []struct {
		name string
		req  *kmsg.MetadataRequest
		want int16
	}{
		{"unknown", metadataOf(9, "none"), kerr.UnknownTopicOrPartition.Code},
		{"no name", metadataOf(9, ""), kerr.InvalidTopicException.Code},
		{"dots", metadataOf(9, ".."), kerr.InvalidTopicException.Code},
		{"slash", metadataOf(9, "a/b"), kerr.InvalidTopicException.Code},
		{"not ASCII", metadataOf(9, "ä"), kerr.InvalidTopicException.Code},
		{"as long as can be", metadataOf(9, strings.Repeat("a", 249)), kerr.UnknownTopicOrPartition.Code},
		{"too long", metadataOf(9, strings.Repeat("a", 250)), kerr.InvalidTopicException.Code},
		{"id", byID(idT), 0},
		{"unknown id", byID(cluster.TopicID{9}), kerr.UnknownTopicID.Code},
		{"the shards' id", byID(cluster.OffsetsTopicID), 0},
		{"the coordinator's own id", byID(cluster.CoordinatorTopic), kerr.UnknownTopicID.Code},
		{"neither name nor id", byID(cluster.TopicID{}), kerr.InvalidRequest.Code},
	}
	for _, test := range tests {
		resp := ask[*kmsg.MetadataResponse](w, test.req)
		if got := resp.Topics[0].ErrorCode; got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func TestMetadataOperations(t *testing.T) {
	w := newWorld(t)
	req := metadataOf(8, "t")
	req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
	resp := ask[*kmsg.MetadataResponse](w, req)
	// Kafka's bit sets for a cluster without ACLs.
	if resp.AuthorizedOperations != 8096 || resp.Topics[0].AuthorizedOperations != 3576 {
		t.Errorf("cluster %d, topic %d", resp.AuthorizedOperations, resp.Topics[0].AuthorizedOperations)
	}
}

func TestMetadataCreatesTopics(t *testing.T) {
	type answer struct {
		code int16
		err  error
	}
	created := func(w *world, a answer) (asked []string) {
		w.control = func(req kmsg.Request) (kmsg.Response, error) {
			r, _ := req.(*kmsg.CreateTopicsRequest)
			resp, _ := r.ResponseKind().(*kmsg.CreateTopicsResponse)
			for _, topic := range r.Topics {
				asked = append(asked, topic.Topic)
				rt := kmsg.NewCreateTopicsResponseTopic()
				rt.Topic, rt.ErrorCode = topic.Topic, a.code
				resp.Topics = append(resp.Topics, rt)
				if a.code == 0 && a.err == nil {
					id := cluster.TopicID{77}
					w.addTopic(topic.Topic, id, 1, 1)
					w.leaders[replicaKey{id, 0}] = raft.Leadership{Leader: raft.NoNode} // before the first election
				}
			}
			return resp, a.err
		}
		req := metadataOf(9, "new", "t", "new", "bad name")
		req.AllowAutoTopicCreation = true
		resp := ask[*kmsg.MetadataResponse](w, req)
		asked = append(asked, fmt.Sprint(resp.Topics[0].ErrorCode, len(resp.Topics[0].Partitions)))
		if len(resp.Topics[0].Partitions) > 0 {
			p := resp.Topics[0].Partitions[0]
			asked = append(asked, fmt.Sprint(p.ErrorCode, p.Leader))
		}
		return asked
	}
	for _, test := range []struct {
		name   string
		answer answer
		want   string
	}{
		{"created; its leader is yet to be elected", answer{}, "[new 0 1 5 -1]"},
		{"no controller", answer{err: errors.New("nobody")}, "[new 5 0]"},
		{"somebody was faster", answer{code: kerr.TopicAlreadyExists.Code}, "[new 5 0]"},
		{"to be tried again", answer{code: kerr.NotController.Code}, "[new 5 0]"},
		{"too few brokers", answer{code: kerr.InvalidReplicationFactor.Code}, "[new 38 0]"},
	} {
		w := newWorld(t)
		w.broker.AutoCreate = true
		if got := fmt.Sprint(created(w, test.answer)); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestMetadataMayNotCreate(t *testing.T) {
	for _, test := range []struct {
		name    string
		version int16
		broker  bool
		request bool
		want    bool
	}{
		{"both agree", 4, true, true, true},
		{"the broker does not", 4, false, true, false},
		{"the client does not want it", 4, true, false, false},
		{"old clients cannot say", 3, true, false, true},
	} {
		w := newWorld(t)
		asked := false
		w.control = func(kmsg.Request) (kmsg.Response, error) {
			asked = true
			return nil, errors.New("not now")
		}
		w.broker.AutoCreate = test.broker
		req := metadataOf(test.version, "new")
		req.AllowAutoTopicCreation = test.request
		ask[*kmsg.MetadataResponse](w, req)
		if asked != test.want {
			t.Errorf("%s: asked to create: %v", test.name, asked)
		}
		asked = false
		for _, name := range []string{"__transaction_state", "__share_group_state", "__cluster_metadata"} {
			req := metadataOf(test.version, name)
			req.AllowAutoTopicCreation = test.request
			resp := ask[*kmsg.MetadataResponse](w, req)
			if asked || resp.Topics[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
				t.Errorf("%s: %s: asked to create: %v, code %d", test.name, name, asked, resp.Topics[0].ErrorCode)
			}
		}
	}
}

// A small request cannot make a large answer by repeating itself.
func TestMetadataRepeated(t *testing.T) {
	w := newWorld(t)
	resp := ask[*kmsg.MetadataResponse](w, metadataOf(12, "t", "none", "t", "none", "t"))
	if len(resp.Topics) != 2 || *resp.Topics[0].Topic != "t" || *resp.Topics[1].Topic != "none" {
		t.Errorf("%+v", resp.Topics)
	}
}
