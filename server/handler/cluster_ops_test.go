package handler

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// placeShards gives all coordinator shards a leader.
func (w *world) placeShards() {
	for i := range w.image.Topics[cluster.CoordinatorTopic].Partitions {
		w.leaders[replicaKey{cluster.CoordinatorTopic, int32(i)}] = raft.Leadership{Leader: 2, Epoch: 4}
	}
}

func election(version int16, kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.ElectionType = version, kind
	if topic != "" {
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic, rt.Partitions = topic, partitions
		req.Topics = append(req.Topics, rt)
	}
	return req
}

// TestElectLeaders: codes and texts are those of Kafka 4.3.1, which was asked the same.
func TestElectLeaders(t *testing.T) {
	for _, c := range []struct {
		name      string
		kind      int8
		topic     string
		partition int32
		top, code int16
		message   string
		elected   bool
	}{
		{"needed", 0, "t", 1, 0, 0, "", true},
		{"not needed", 0, "t", 0, 0, kerr.ElectionNotNeeded.Code, "Leader election not needed for topic partition.", false},
		{"unknown topic", 0, "nope", 0, 0, kerr.UnknownTopicOrPartition.Code, "No such topic as nope", false},
		{"unknown partition", 0, "t", 9, 0, kerr.UnknownTopicOrPartition.Code, "No such partition as t-9", false},
		{"negative partition", 0, "t", -1, 0, kerr.UnknownTopicOrPartition.Code, "No such partition as t--1", false},
		{"preferred is dead", 0, "lost", 0, 0, kerr.PreferredLeaderNotAvailable.Code, "The preferred leader was not available.", false},
		{"unclean, led", 1, "t", 1, 0, kerr.ElectionNotNeeded.Code, "Leader election not needed for topic partition.", false},
		{"unclean, dead", 1, "lost", 0, 0, kerr.EligibleLeadersNotAvailable.Code, "Eligible topic partition leaders are not available.", false},
		{"unknown kind", 7, "t", 0, kerr.InvalidRequest.Code, kerr.InvalidRequest.Code, "Unknown election type 7", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.leaders[replicaKey{idT, 1}] = raft.Leadership{Leader: 2, Epoch: 5} // its preferred leader is 1
			resp := ask[*kmsg.ElectLeadersResponse](w, election(2, c.kind, c.topic, c.partition))
			if resp.ErrorCode != c.top || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
				t.Fatalf("answer %+v", resp)
			}
			p := resp.Topics[0].Partitions[0]
			if p.Partition != c.partition || p.ErrorCode != c.code || messageOf(p.ErrorMessage) != c.message {
				t.Errorf("partition %d: code %d, %q; want %d, %q", p.Partition, p.ErrorCode, messageOf(p.ErrorMessage), c.code, c.message)
			}
			if elected := len(w.elected) > 0; elected != c.elected {
				t.Errorf("elected %v", w.elected)
			}
		})
	}
}

func messageOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestElectAll(t *testing.T) {
	w := newWorld(t)
	w.placeShards()
	w.leaders[replicaKey{idT, 1}] = raft.Leadership{Leader: 2, Epoch: 5}
	w.leaders[replicaKey{cluster.CoordinatorTopic, 3}] = raft.Leadership{Leader: 1, Epoch: 4}
	resp := ask[*kmsg.ElectLeadersResponse](w, election(2, 0, ""))
	got := map[string]int16{}
	for _, topic := range resp.Topics {
		for _, p := range topic.Partitions {
			got[fmt.Sprint(topic.Topic, p.Partition)] = p.ErrorCode
		}
	}
	want := map[string]int16{"t1": 0, "lost0": kerr.PreferredLeaderNotAvailable.Code, "__consumer_offsets3": 0}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("answered %v, want %v: those not needed are left out", got, want)
	}
	if len(w.elected) != 2 {
		t.Errorf("elected %v", w.elected)
	}
	if resp := ask[*kmsg.ElectLeadersResponse](w, election(2, 7, "")); resp.ErrorCode != kerr.InvalidRequest.Code || len(resp.Topics) != 0 {
		t.Errorf("unknown kind: %+v", resp)
	}
}

// moving makes partition 0 of topic t led by 1 move from 1,2 to 1,3, with 4 canceled on the way.
func (w *world) moving() {
	w.dead[3] = false
	w.image.Brokers[4] = cluster.Broker{ID: 4, Host: "b4", Port: 9094}
	w.image.Topics[idT].Partitions[0] = cluster.Partition{
		Replicas: []raft.NodeID{1, 3, 2, 4}, Adding: []raft.NodeID{3, 4}, Removing: []raft.NodeID{2, 4}, Epoch: 2,
	}
}

func TestListPartitionReassignments(t *testing.T) {
	w := newWorld(t)
	w.placeShards()
	w.moving()
	w.image.Topics[cluster.CoordinatorTopic].Partitions[5] = cluster.Partition{
		Replicas: []raft.NodeID{3, 2, 1}, Adding: []raft.NodeID{3}, Removing: []raft.NodeID{1}, Epoch: 1,
	}
	for _, c := range []struct {
		name string
		ask  []kmsg.ListPartitionReassignmentsRequestTopic
		want string
	}{
		{"all", nil, "__consumer_offsets/5 [3 2 1] +[3] -[1]; t/0 [1 3 2 4] +[3 4] -[2 4]"},
		{"nothing", []kmsg.ListPartitionReassignmentsRequestTopic{}, ""},
		{"named", []kmsg.ListPartitionReassignmentsRequestTopic{
			{Topic: "nope", Partitions: []int32{0}}, {Topic: "t"}, {Topic: "t", Partitions: []int32{1, 9, -1, 0}}, {Topic: "far", Partitions: []int32{0}},
		}, "t/0 [1 3 2 4] +[3 4] -[2 4]"},
	} {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		req.Topics = c.ask
		resp := ask[*kmsg.ListPartitionReassignmentsResponse](w, req)
		var got []string
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				got = append(got, fmt.Sprintf("%s/%d %v +%v -%v", topic.Topic, p.Partition, p.Replicas, p.AddingReplicas, p.RemovingReplicas))
			}
		}
		if resp.ErrorCode != 0 || strings.Join(got, "; ") != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

// TestNewReplicasAreNotInSync until the reassignment is done, unless one of them leads.
func TestNewReplicasAreNotInSync(t *testing.T) {
	w := newWorld(t)
	w.moving()
	w.dead[4] = true
	state := func() (isr, offline []int32) {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 12
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr("t")
		req.Topics = append(req.Topics, rt)
		p := ask[*kmsg.MetadataResponse](w, req).Topics[0].Partitions[0]
		if !slices.Equal(p.Replicas, []int32{1, 3, 2, 4}) {
			t.Errorf("replicas %v", p.Replicas)
		}
		return p.ISR, p.OfflineReplicas
	}
	if isr, offline := state(); !slices.Equal(isr, []int32{1, 2}) || !slices.Equal(offline, []int32{4}) {
		t.Errorf("in sync %v, offline %v", isr, offline)
	}
	w.leaders[replicaKey{idT, 0}] = raft.Leadership{Leader: 3, Epoch: 6}
	if isr, _ := state(); !slices.Equal(isr, []int32{1, 3, 2}) {
		t.Errorf("led by 3: in sync %v", isr)
	}
}

// TestShardsByName: who asks for Kafka's topic of offsets, or for all topics, learns where the coordinators are.
func TestShardsByName(t *testing.T) {
	w := newWorld(t)
	w.placeShards()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = kmsg.StringPtr(cluster.OffsetsTopic)
	req.Topics = append(req.Topics, rt)
	topic := ask[*kmsg.MetadataResponse](w, req).Topics[0]
	if topic.ErrorCode != 0 || !topic.IsInternal || *topic.Topic != cluster.OffsetsTopic || len(topic.Partitions) != 16 ||
		topic.TopicID != cluster.OffsetsTopicID || topic.Partitions[3].Leader != 2 {
		t.Errorf("%+v", topic)
	}
	req.Topics = nil
	for _, topic := range ask[*kmsg.MetadataResponse](w, req).Topics {
		if internal := *topic.Topic == cluster.OffsetsTopic; topic.IsInternal != internal || (topic.TopicID == cluster.OffsetsTopicID) != internal {
			t.Errorf("among all topics: %+v", topic)
		}
	}
}

// TestDescribeTopicPartitions: order, cursor and codes are those of Kafka 4.3.1, which was asked the same.
func TestDescribeTopicPartitions(t *testing.T) {
	for _, c := range []struct {
		name   string
		topics string
		limit  int32
		cursor string // topic/partition
		want   string // topic:code[partitions] ... > cursor
	}{
		{"all", "", 20, "", "__consumer_offsets:0[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] far:0[0] lost:0[0] t:0[0 1]"},
		{"by name, in order", "t nope far bad*name", 10, "", "bad*name:17[] far:0[0] nope:3[] t:0[0 1]"},
		{"twice", "t t", 10, "", "t:0[0 1]"},
		{"limit", "far lost t", 3, "", "far:0[0] lost:0[0] t:0[0] > t/1"},
		{"limit at the end of a topic", "far lost t", 2, "", "far:0[0] lost:0[0] > t/0"},
		{"exactly all", "far lost t", 4, "", "far:0[0] lost:0[0] t:0[0 1]"},
		{"limit 0", "t", 0, "", "t:0[0] > t/1"},
		{"limit -1", "t", -1, "", "t:0[0] > t/1"},
		{"cursor", "t", 10, "t/1", "t:0[1]"},
		{"cursor and limit", "t", 1, "t/0", "t:0[0] > t/1"},
		{"cursor among all", "", 10, "lost/0", "lost:0[0] t:0[0 1]"},
		{"cursor of a topic that is gone", "", 10, "m/3", "t:0[0 1]"},
		{"cursor at the end", "t", 10, "t/2", "t:0[]"},
		{"cursor beyond the end", "t", 10, "t/2147483647", "t:0[]"},
		{"cursor before the start", "t", 10, "t/-1", "t:42[]"},
		{"cursor elsewhere", "t far", 10, "zz/0", "far:42[] t:42[]"},
		{"the shards", "__consumer_offsets", 3, "", "__consumer_offsets:0[0 1 2] > __consumer_offsets/3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.placeShards()
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			req.ResponsePartitionLimit = c.limit
			for _, name := range strings.Fields(c.topics) {
				rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
				rt.Topic = name
				req.Topics = append(req.Topics, rt)
			}
			if c.cursor != "" {
				at := kmsg.NewDescribeTopicPartitionsRequestCursor()
				if _, err := fmt.Sscanf(strings.ReplaceAll(c.cursor, "/", " "), "%s %d", &at.Topic, &at.Partition); err != nil {
					t.Fatal(err)
				}
				req.Cursor = &at
			}
			resp := ask[*kmsg.DescribeTopicPartitionsResponse](w, req)
			var got []string
			for _, topic := range resp.Topics {
				numbers := []int32{}
				for _, p := range topic.Partitions {
					numbers = append(numbers, p.Partition)
					if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
						t.Error("null lists: the Java client throws")
					}
				}
				got = append(got, fmt.Sprintf("%s:%d%v", *topic.Topic, topic.ErrorCode, numbers))
			}
			if n := resp.NextCursor; n != nil {
				got = append(got, fmt.Sprintf("> %s/%d", n.Topic, n.Partition))
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s\nwant %s", s, c.want)
			}
		})
	}
}

func quorumRequest(version int16, topic string, partitions ...int32) *kmsg.DescribeQuorumRequest {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = version
	rt := kmsg.NewDescribeQuorumRequestTopic()
	rt.Topic = topic
	for _, n := range partitions {
		p := kmsg.NewDescribeQuorumRequestTopicPartition()
		p.Partition = n
		rt.Partitions = append(rt.Partitions, p)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

func TestDescribeQuorum(t *testing.T) {
	w := newWorld(t)
	b := w.image.Brokers[2]
	b.PeerAddress = "10.0.0.2:9192"
	w.image.Brokers[2] = b
	w.quorum = QuorumState{Leader: 2, Epoch: 3, HighWatermark: 70, Members: []QuorumMember{
		{Node: 2, Voter: true, LogEnd: 71, LastFetch: 5, LastCaughtUp: 6}, {Node: 4, LogEnd: -1, LastFetch: -1, LastCaughtUp: -1},
	}}
	resp := ask[*kmsg.DescribeQuorumResponse](w, quorumRequest(2, "__cluster_metadata", 0))
	p := resp.Topics[0].Partitions[0]
	if resp.ErrorCode != 0 || p.LeaderID != 2 || p.LeaderEpoch != 3 || p.HighWatermark != 70 || len(p.CurrentVoters) != 1 || len(p.Observers) != 1 {
		t.Fatalf("%+v", resp)
	}
	if v := p.CurrentVoters[0]; v.ReplicaID != 2 || v.LogEndOffset != 71 || v.LastFetchTimestamp != 5 || v.LastCaughtUpTimestamp != 6 {
		t.Errorf("voter %+v", v)
	}
	if len(resp.Nodes) != 1 || resp.Nodes[0].NodeID != 2 || resp.Nodes[0].Listeners[0].Port != 9192 {
		t.Errorf("nodes %+v", resp.Nodes)
	}
	for _, req := range []*kmsg.DescribeQuorumRequest{quorumRequest(2, "t", 0), quorumRequest(2, "__cluster_metadata", 1)} {
		resp := ask[*kmsg.DescribeQuorumResponse](w, req)
		if p := resp.Topics[0].Partitions[0]; resp.ErrorCode != 0 || p.ErrorCode != kerr.UnknownTopicOrPartition.Code {
			t.Errorf("%+v: %+v", req.Topics, resp)
		}
	}
	if resp := ask[*kmsg.DescribeQuorumResponse](w, quorumRequest(2, "__cluster_metadata", 0, 1)); len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[0].ErrorCode != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("two partitions: %+v", resp)
	}
	w.quorumErr = kerr.LeaderNotAvailable
	if resp := ask[*kmsg.DescribeQuorumResponse](w, quorumRequest(0, "__cluster_metadata", 0)); resp.ErrorCode != kerr.LeaderNotAvailable.Code {
		t.Errorf("no leader: %+v", resp)
	}
}

// TestClusterRequestsWithoutController: every item says that the controller could not be asked.
func TestClusterRequestsWithoutController(t *testing.T) {
	w := newWorld(t)
	w.control = func(kmsg.Request) (kmsg.Response, error) { return nil, fmt.Errorf("gone: %w", kerr.NotController) }
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Version = 1
	req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: "t", Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Partition: 1}}}}
	if resp := ask[*kmsg.AlterPartitionAssignmentsResponse](w, req); resp.ErrorCode != kerr.NotController.Code || resp.Topics[0].Partitions[0].ErrorCode != kerr.NotController.Code {
		t.Errorf("%+v", resp)
	}
	if resp := ask[*kmsg.UnregisterBrokerResponse](w, kmsg.NewPtrUnregisterBrokerRequest()); resp.ErrorCode != kerr.NotController.Code {
		t.Errorf("%+v", resp)
	}
	w.control = func(kmsg.Request) (kmsg.Response, error) { return nil, errors.New("time ran out") }
	if resp := ask[*kmsg.UnregisterBrokerResponse](w, kmsg.NewPtrUnregisterBrokerRequest()); resp.ErrorCode != kerr.RequestTimedOut.Code {
		t.Errorf("%+v", resp)
	}
}
