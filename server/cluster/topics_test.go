package cluster

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
)

func creation7(topics ...kmsg.CreateTopicsRequestTopic) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.Topics = 7, topics
	return req
}

func morePartitions(topic string, count int32, assignments ...[]int32) *kmsg.CreatePartitionsRequest {
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version = 3
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	for _, replicas := range assignments {
		t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: replicas})
	}
	req.Topics = append(req.Topics, t)
	return req
}

// byHand is a topic with replica assignments: partition 0, 1, ...
func byHand(name string, assignments ...[]int32) kmsg.CreateTopicsRequestTopic {
	t := topicRequest(name, -1, -1)
	for i, replicas := range assignments {
		t.ReplicaAssignment = append(t.ReplicaAssignment,
			kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: int32(i), Replicas: replicas})
	}
	return t
}

func TestCreateTopicsRefuses(t *testing.T) {
	gap := byHand("t", []int32{1}, []int32{2})
	gap.ReplicaAssignment[1].Partition = 2
	twice := byHand("t", []int32{1}, []int32{2})
	twice.ReplicaAssignment[1].Partition = 0
	negative := byHand("t", []int32{1})
	negative.ReplicaAssignment[0].Partition = -1
	withFactor, withPartitions := byHand("t", []int32{1}), byHand("t", []int32{1})
	withFactor.ReplicationFactor, withPartitions.NumPartitions = 1, 1
	null := topicRequest("t", 1, 1, "retention.ms", "")
	null.Configs[0].Value = nil
	for _, c := range []struct {
		name  string
		topic kmsg.CreateTopicsRequestTopic
		code  *kerr.Error
		says  string
	}{
		{"empty name", topicRequest("", 1, 1), kerr.InvalidTopicException, "empty"},
		{"dot", topicRequest(".", 1, 1), kerr.InvalidTopicException, "'.'"},
		{"two dots", topicRequest("..", 1, 1), kerr.InvalidTopicException, "'..'"},
		{"long name", topicRequest(strings.Repeat("x", 250), 1, 1), kerr.InvalidTopicException, "249"},
		{"space", topicRequest("a b", 1, 1), kerr.InvalidTopicException, "alphanumerics"},
		{"slash", topicRequest("../x", 1, 1), kerr.InvalidTopicException, "alphanumerics"},
		{"not ASCII", topicRequest("tüte", 1, 1), kerr.InvalidTopicException, "alphanumerics"},
		{"exists", topicRequest("a.b", 1, 1), kerr.TopicAlreadyExists, "already exists"},
		{"collides", topicRequest("a_b", 1, 1), kerr.InvalidTopicException, "collides with existing topic: a.b"},
		{"no partitions", topicRequest("t", 0, 1), kerr.InvalidPartitions, "non-positive"},
		{"negative partitions", topicRequest("t", -2, 1), kerr.InvalidPartitions, "non-positive"},
		{"too many partitions", topicRequest("t", 10_001, 1), kerr.PolicyViolation, "10000"},
		{"no replicas", topicRequest("t", 1, 0), kerr.InvalidReplicationFactor, "non-positive"},
		{"negative replicas", topicRequest("t", 1, -2), kerr.InvalidReplicationFactor, "non-positive"},
		{"more replicas than brokers", topicRequest("t", 1, 4), kerr.InvalidReplicationFactor, "only 3 broker(s)"},
		{"unknown config", topicRequest("t", 1, 1, "retention.sm", "1"), kerr.InvalidConfig, "did you mean retention.ms?"},
		{"nonsense config", topicRequest("t", 1, 1, "zzzzzzzzzz", "1"), kerr.InvalidConfig, "Unknown topic config name: zzzzzzzzzz"},
		{"bad value", topicRequest("t", 1, 1, "retention.ms", "soon"), kerr.InvalidConfig, "Not a number"},
		{"low value", topicRequest("t", 1, 1, "segment.bytes", "1048575"), kerr.InvalidConfig, "at least 1048576"},
		{"null value", null, kerr.InvalidConfig, "Null value"},
		{"config twice", topicRequest("t", 1, 1, "retention.ms", "1", "retention.ms", "2"), kerr.InvalidConfig, "more than once"},
		{"tiered storage", topicRequest("t", 1, 1, "remote.storage.enable", "true"), kerr.InvalidConfig, "Tiered Storage"},
		{
			"lags that conflict", topicRequest("t", 1, 1, "min.compaction.lag.ms", "10", "max.compaction.lag.ms", "9"),
			kerr.InvalidConfig, "min.compaction.lag.ms",
		},
		{"assignment with factor", withFactor, kerr.InvalidRequest, "replication factor was not set to -1"},
		{"assignment with partitions", withPartitions, kerr.InvalidRequest, "numPartitions was not set to -1"},
		{"assignment with a gap", gap, kerr.InvalidReplicaAssignment, "consecutive"},
		{"assignment below zero", negative, kerr.InvalidReplicaAssignment, "consecutive"},
		{"assignment twice", twice, kerr.InvalidReplicaAssignment, "multiple manual partition assignments for partition 0"},
		{"assignment to nobody", byHand("t", []int32{}), kerr.InvalidReplicaAssignment, "empty replica list"},
		{"assignment to a stranger", byHand("t", []int32{9}), kerr.InvalidReplicaAssignment, "broker 9"},
		{"assignment twice to one", byHand("t", []int32{1, 1}), kerr.InvalidReplicaAssignment, "more than once"},
		{"uneven assignment", byHand("t", []int32{1, 2}, []int32{1}), kerr.InvalidReplicaAssignment, "1 replica(s)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 3)
			w.create("a.b", 1, 1)
			before := w.image
			got := w.tryCreate(c.topic)
			if got.ErrorCode != c.code.Code || !strings.Contains(text(got.ErrorMessage), c.says) {
				t.Errorf("code %d, %q; want %d, %q", got.ErrorCode, text(got.ErrorMessage), c.code.Code, c.says)
			}
			if got.NumPartitions != -1 || got.ReplicationFactor != -1 || got.Configs == nil {
				t.Errorf("partitions %d, factor %d, configs %v; want -1, -1 and a list", got.NumPartitions, got.ReplicationFactor, got.Configs)
			}
			if w.image != before {
				t.Error("something changed")
			}
		})
	}
}

func TestCreateTopicAnswersWithWhatItHas(t *testing.T) {
	w := newWorld(t, 3)
	got := w.tryCreate(topicRequest("t", 5, 2, "retention.ms", "1000", "cleanup.policy", "compact"))
	topic := w.image.TopicsByName["t"]
	if got.ErrorCode != 0 || got.NumPartitions != 5 || got.ReplicationFactor != 2 || got.TopicID != topic.ID || got.TopicID == [16]byte{} {
		t.Errorf("answer %+v for topic %+v", got, topic)
	}
	configs := map[string]kmsg.CreateTopicsResponseTopicConfig{}
	for _, c := range got.Configs {
		configs[c.Name] = c
	}
	for name, want := range map[string]struct {
		value  string
		source kmsg.ConfigSource
	}{
		"retention.ms":   {"1000", kmsg.ConfigSourceDynamicTopicConfig},
		"cleanup.policy": {"compact", kmsg.ConfigSourceDynamicTopicConfig},
		"flush.messages": {"1", kmsg.ConfigSourceDefaultConfig},
	} {
		if c := configs[name]; text(c.Value) != want.value || c.Source != int8(want.source) {
			t.Errorf("%s: %q from %d, want %q from %d", name, text(c.Value), c.Source, want.value, want.source)
		}
	}
	if _, shown := configs["internal.segment.bytes"]; shown {
		t.Error("a hidden config is shown")
	}
}

func TestCreateTopicDefaults(t *testing.T) {
	for _, c := range []struct {
		brokers    int
		configured int16
		want       int
	}{{1, 0, 1}, {2, 0, 2}, {3, 0, 3}, {5, 0, 3}, {5, 2, 2}} {
		w := newWorld(t, c.brokers)
		w.config.Replication, w.config.NumPartitions = c.configured, 4
		topic := w.create("t", -1, -1)
		if len(topic.Partitions) != 4 || len(topic.Partitions[0].Replicas) != c.want {
			t.Errorf("%d brokers, default %d: %d partitions with %d replicas, want 4 with %d",
				c.brokers, c.configured, len(topic.Partitions), len(topic.Partitions[0].Replicas), c.want)
		}
	}
}

// TestTopicBeforeAllHaveRegistered: a topic that is created while the cluster starts gets all its replicas.
func TestTopicBeforeAllHaveRegistered(t *testing.T) {
	w := newWorld(t, 3)
	w.image = NewImage()
	w.register(1, "")
	if n := len(w.create("t", 1, -1).Partitions[0].Replicas); n != 3 {
		t.Errorf("%d replicas, want 3", n)
	}
}

func TestCreateTopicByHand(t *testing.T) {
	w := newWorld(t, 3)
	asked := byHand("t", []int32{3, 1}, []int32{2, 3})
	slices.Reverse(asked.ReplicaAssignment) // any order
	got := w.tryCreate(asked)
	if got.ErrorCode != 0 || got.NumPartitions != 2 || got.ReplicationFactor != 2 {
		t.Errorf("answer %+v", got)
	}
	want := []Partition{{Replicas: []raft.NodeID{3, 1}}, {Replicas: []raft.NodeID{2, 3}}}
	if p := w.image.TopicsByName["t"].Partitions; !reflect.DeepEqual(p, want) {
		t.Errorf("placed %+v, want %+v", p, want)
	}
}

func TestCreateTopicsValidateOnly(t *testing.T) {
	w := newWorld(t, 3)
	before := w.image
	req := creation7(topicRequest("good", 3, -1), topicRequest("bad", 0, 1))
	req.ValidateOnly = true
	resp := w.do(req).(*kmsg.CreateTopicsResponse)
	if resp.Topics[0].ErrorCode != 0 || resp.Topics[0].NumPartitions != 3 || resp.Topics[1].ErrorCode != kerr.InvalidPartitions.Code {
		t.Errorf("answer %+v", resp.Topics)
	}
	if w.image != before {
		t.Error("validate_only changed something")
	}
}

func TestCreateTopicsInOneRequest(t *testing.T) {
	w := newWorld(t, 3)
	resp := w.do(creation7(
		topicRequest("x.y", 1, 1), topicRequest("x_y", 1, 1), topicRequest("dup", 1, 1), topicRequest("dup", 2, 1),
		topicRequest("big", 9_000, 1), topicRequest("bigger", 9_000, 1), topicRequest("last", 1, 1),
	)).(*kmsg.CreateTopicsResponse)
	var got []string
	for _, r := range resp.Topics {
		got = append(got, fmt.Sprintf("%s:%d", r.Topic, r.ErrorCode))
	}
	want := "[x.y:0 x_y:17 dup:42 big:0 bigger:44 last:0]"
	if fmt.Sprint(got) != want {
		t.Errorf("answers %v, want %s", got, want)
	}
	if n := len(w.image.TopicsByName) - 1; n != 3 {
		t.Errorf("%d topics, want 3", n)
	}
}

// TestTooMuchMetadata: a request cannot make the metadata group carry more than a bounded entry.
func TestTooMuchMetadata(t *testing.T) {
	w := newWorld(t, 1)
	var topics []kmsg.CreateTopicsRequestTopic
	list := strings.Repeat(" ", maxConfigValueLen-1) + "*"
	for i := range MaxEntryBytes/len(list) + 1 {
		topics = append(topics, topicRequest(number(i), 1, 1, "leader.replication.throttled.replicas", list))
	}
	if d, err := w.decider.Decide(w.image, creation7(topics...)); !errors.Is(err, kerr.PolicyViolation) {
		t.Errorf("%d records, %v", len(d.Records), err)
	}
	if _, err := w.decider.Decide(w.image, creation7(topics[2:]...)); err != nil {
		t.Errorf("two fewer: %v", err)
	}
}

func TestCreateTopicsVersions(t *testing.T) {
	for version := int16(2); version <= 7; version++ {
		w := newWorld(t, 1)
		req := creation7(topicRequest("t", 1, 1))
		req.Version = version
		if resp := w.do(req).(*kmsg.CreateTopicsResponse); resp.Topics[0].ErrorCode != 0 {
			t.Errorf("v%d: %+v", version, resp.Topics[0])
		}
	}
}

func TestDeleteTopics(t *testing.T) {
	name := func(s string) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{Topic: &s} }
	id := func(i TopicID) kmsg.DeleteTopicsRequestTopic { return kmsg.DeleteTopicsRequestTopic{TopicID: i} }
	w := newWorld(t, 3)
	a, b, c := w.create("a", 1, 1), w.create("b", 1, 1), w.create("c", 1, 1)
	both := name("a")
	both.TopicID = a.ID
	for _, tc := range []struct {
		what   string
		topics []kmsg.DeleteTopicsRequestTopic
		codes  []int16
		left   int
	}{
		{"neither", []kmsg.DeleteTopicsRequestTopic{{}}, []int16{kerr.InvalidRequest.Code}, 3},
		{"both", []kmsg.DeleteTopicsRequestTopic{both}, []int16{kerr.InvalidRequest.Code}, 3},
		{"unknown", []kmsg.DeleteTopicsRequestTopic{name("x"), id(TopicID{5})}, []int16{kerr.UnknownTopicOrPartition.Code, kerr.UnknownTopicID.Code}, 3},
		{"shards", []kmsg.DeleteTopicsRequestTopic{id(CoordinatorTopic), name("")}, []int16{kerr.UnknownTopicID.Code, kerr.UnknownTopicOrPartition.Code}, 3},
		{"internal", []kmsg.DeleteTopicsRequestTopic{id(OffsetsTopicID)}, []int16{kerr.InvalidTopicException.Code}, 3},
		{"internal by name", []kmsg.DeleteTopicsRequestTopic{name(OffsetsTopic)}, []int16{kerr.InvalidTopicException.Code}, 3},
		{"twice", []kmsg.DeleteTopicsRequestTopic{name("a"), id(a.ID), id(c.ID)}, []int16{kerr.InvalidRequest.Code, kerr.InvalidRequest.Code, 0}, 2},
		{"name and id", []kmsg.DeleteTopicsRequestTopic{name("a"), id(b.ID)}, []int16{0, 0}, 0},
	} {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.Topics = 6, tc.topics
		resp := w.do(req).(*kmsg.DeleteTopicsResponse)
		for i, r := range resp.Topics {
			if r.ErrorCode != tc.codes[i] || (r.ErrorCode == 0) != (r.ErrorMessage == nil) {
				t.Errorf("%s, topic %d: code %d, %q; want %d", tc.what, i, r.ErrorCode, text(r.ErrorMessage), tc.codes[i])
			}
			if r.ErrorCode == 0 && (text(r.Topic) == "" || r.TopicID == [16]byte{}) {
				t.Errorf("%s, topic %d: deleted %q with id %v, want both", tc.what, i, text(r.Topic), r.TopicID)
			}
		}
		if len(w.image.TopicsByName) != tc.left+1 || len(w.image.Topics) != tc.left+1 {
			t.Errorf("%s: %d topics are left, want %d", tc.what, len(w.image.TopicsByName)-1, tc.left)
		}
	}
}

func TestDeleteTopicsByNameInOldVersions(t *testing.T) {
	for version := int16(1); version <= 5; version++ {
		w := newWorld(t, 1)
		w.create("a", 1, 1)
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames = version, []string{"a", "x"}
		resp := w.do(req).(*kmsg.DeleteTopicsResponse)
		if resp.Topics[0].ErrorCode != 0 || resp.Topics[1].ErrorCode != kerr.UnknownTopicOrPartition.Code || text(resp.Topics[1].Topic) != "x" {
			t.Errorf("v%d: %+v", version, resp.Topics)
		}
	}
}

func TestDeleteTopicsDisabled(t *testing.T) {
	for version, code := range map[int16]int16{2: kerr.InvalidRequest.Code, 3: kerr.TopicDeletionDisabled.Code, 6: kerr.TopicDeletionDisabled.Code} {
		w := newWorld(t, 1)
		w.config.DeleteTopics = false
		w.create("a", 1, 1)
		a := "a"
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.Version, req.TopicNames, req.Topics = version, []string{a}, []kmsg.DeleteTopicsRequestTopic{{Topic: &a}}
		if resp := w.do(req).(*kmsg.DeleteTopicsResponse); resp.Topics[0].ErrorCode != code || w.image.TopicsByName["a"] == nil {
			t.Errorf("v%d: %+v", version, resp.Topics)
		}
	}
}

func TestRecreatedTopicIsAnother(t *testing.T) {
	w := newWorld(t, 1)
	first := w.create("a", 1, 1, "retention.ms", "5")
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames = 5, []string{"a"}
	w.do(req)
	second := w.create("a", 1, 1)
	if first.ID == second.ID || len(second.Configs) != 0 {
		t.Errorf("deleted %+v, created %+v", first, second)
	}
}
