package cluster

import (
	"bytes"
	"reflect"
	"testing"

	"balsa/raft"
)

func topicWith(id byte, name string, partitions int) Topic {
	t := Topic{ID: TopicID{id}, Name: name}
	for range partitions {
		t.Partitions = append(t.Partitions, Partition{Replicas: []raft.NodeID{1}})
	}
	return t
}

func TestApplyLeavesTheImageAsItWas(t *testing.T) {
	a := topicWith(1, "a", 2)
	a.Configs = map[string]string{"k": "1"}
	base := NewImage().Apply(1, []Record{
		BrokerRegistered{Broker{ID: 1, Host: "h"}},
		TopicCreated{a},
		TopicCreated{topicWith(2, "b", 1)},
		ConfigChanged{Scope: ScopeBroker, Broker: 1, Key: "k", Value: value("1")},
		ConfigChanged{Scope: ScopeGroup, Group: "g", Key: "k", Value: value("1")},
		ConfigChanged{Scope: ScopeClientMetrics, Subscription: "m", Key: "k", Value: value("1")},
		BrokerUnregistered{3},
		FeatureSet{"f", 1},
		QuotaChanged{Entity: QuotaEntity{}, Key: "k", Value: bound(1)},
	})
	before := base.Snapshot()
	for _, r := range []Record{
		ClusterIDSet{"x"},
		BrokerRegistered{Broker{ID: 1, Host: "other"}},
		TopicCreated{topicWith(3, "c", 1)},
		TopicDeleted{TopicID{1}},
		PartitionsAdded{Topic: TopicID{1}, First: 2, Partitions: []Partition{{Replicas: []raft.NodeID{1}}}},
		ConfigChanged{Scope: ScopeTopic, Topic: TopicID{1}, Key: "k", Value: value("2")},
		ConfigChanged{Scope: ScopeTopic, Topic: TopicID{1}, Key: "k"},
		ConfigChanged{Scope: ScopeBroker, Broker: 1, Key: "k", Value: value("2")},
		ConfigChanged{Scope: ScopeBroker, Broker: 1, Key: "k"},
		ConfigChanged{Scope: ScopeGroup, Group: "g", Key: "l", Value: value("2")},
		ConfigChanged{Scope: ScopeClientMetrics, Subscription: "m", Key: "k"},
		ConfigChanged{Scope: ScopeClientMetrics, Subscription: "n", Key: "k", Value: value("1")},
		ProducerIDsAllocated{1000},
		PartitionChanged{Topic: TopicID{1}, Number: 1, Partition: Partition{Replicas: []raft.NodeID{2}, Epoch: 1}},
		BrokerUnregistered{1},
		BrokerUnregistered{2},
		BrokerRegistered{Broker{ID: 3, Host: "back"}},
		FeatureSet{"f", 2},
		QuotaChanged{Entity: QuotaEntity{}, Key: "k", Value: bound(2)},
		QuotaChanged{Entity: QuotaEntity{}, Key: "k"},
		QuotaChanged{Entity: QuotaEntity{IP: QuotaName{Match: QuotaDefault}}, Key: "k", Value: bound(1)},
	} {
		next := base.Apply(2, []Record{r})
		if next.Version != 2 {
			t.Errorf("%T: version %d", r, next.Version)
		}
		if bytes.Equal(next.Snapshot()[9:], before[9:]) {
			t.Errorf("%+v changed nothing", r)
		}
		if !bytes.Equal(base.Snapshot(), before) {
			t.Fatalf("%+v changed the image that it was applied to", r)
		}
		if b := base.Topics[TopicID{2}]; next.Topics[TopicID{2}] != b || next.TopicsByName["b"] != b {
			t.Errorf("%+v copied a topic that it does not concern", r)
		}
		if next.Topics[TopicID{1}] != next.TopicsByName["a"] {
			t.Errorf("%+v: topic by id and by name differ", r)
		}
	}
}

// TestApplySharesMaps: a record about one thing copies no map about another.
func TestApplySharesMaps(t *testing.T) {
	base := NewImage().Apply(1, []Record{TopicCreated{topicWith(1, "a", 1)}, BrokerRegistered{Broker{ID: 1}}})
	next := base.Apply(2, []Record{ProducerIDsAllocated{1000}})
	if reflect.ValueOf(next.Topics).Pointer() != reflect.ValueOf(base.Topics).Pointer() ||
		reflect.ValueOf(next.Brokers).Pointer() != reflect.ValueOf(base.Brokers).Pointer() {
		t.Error("a producer id block copied the topics or brokers")
	}
}

func TestApplyManyRecordsToOneTopic(t *testing.T) {
	base := NewImage().Apply(1, []Record{TopicCreated{topicWith(1, "a", 1)}})
	next := base.Apply(2, []Record{
		ConfigChanged{Scope: ScopeTopic, Topic: TopicID{1}, Key: "x", Value: value("1")},
		ConfigChanged{Scope: ScopeTopic, Topic: TopicID{1}, Key: "y", Value: value("2")},
		PartitionsAdded{Topic: TopicID{1}, First: 1, Partitions: []Partition{{Replicas: []raft.NodeID{2}}}},
		ConfigChanged{Scope: ScopeTopic, Topic: TopicID{1}, Key: "x"},
		PartitionChanged{Topic: TopicID{1}, Partition: Partition{Replicas: []raft.NodeID{3}, Epoch: 1}},
		PartitionChanged{Topic: TopicID{1}, Number: 1, Partition: Partition{Replicas: []raft.NodeID{3}, Epoch: 1}},
		PartitionChanged{Topic: TopicID{1}, Partition: Partition{Replicas: []raft.NodeID{4}, Epoch: 2}},
	})
	got := next.TopicsByName["a"]
	if want := map[string]string{"y": "2"}; !reflect.DeepEqual(got.Configs, want) {
		t.Errorf("configs %v, want %v", got.Configs, want)
	}
	if first := got.Partitions[0]; first.Epoch != 2 || first.Replicas[0] != 4 {
		t.Errorf("first partition %+v, want the last change", first)
	}
	if len(got.Partitions) != 2 || len(base.TopicsByName["a"].Partitions) != 1 {
		t.Errorf("partitions: %d now and %d before, want 2 and 1", len(got.Partitions), len(base.TopicsByName["a"].Partitions))
	}
}

func TestApplyRefusesWhatCannotBe(t *testing.T) {
	base := NewImage().Apply(1, []Record{ClusterIDSet{"x"}, TopicCreated{topicWith(1, "a", 1)}, ProducerIDsAllocated{1000}})
	for name, r := range map[string]Record{
		"second cluster id":    ClusterIDSet{"y"},
		"topic id again":       TopicCreated{topicWith(1, "b", 1)},
		"topic name again":     TopicCreated{topicWith(2, "a", 1)},
		"unknown topic":        TopicDeleted{TopicID{9}},
		"gap in partitions":    PartitionsAdded{Topic: TopicID{1}, First: 2, Partitions: []Partition{{}}},
		"partition again":      PartitionsAdded{Topic: TopicID{1}, First: 0, Partitions: []Partition{{}}},
		"unknown topic config": ConfigChanged{Scope: ScopeTopic, Topic: TopicID{9}, Key: "k"},
		"producer ids again":   ProducerIDsAllocated{999},
		"no such partition":    PartitionChanged{Topic: TopicID{1}, Number: 1, Partition: Partition{Epoch: 1}},
		"partition epoch back": PartitionChanged{Topic: TopicID{1}, Partition: Partition{Epoch: 0}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("was applied")
				}
			}()
			base.Apply(2, []Record{r})
		})
	}
}

// TestCoordinatorShardsAreATopic: to clients, with an id that is not the shards' own.
func TestCoordinatorShardsAreATopic(t *testing.T) {
	w := newWorld(t, 3)
	c := w.image.Topics[CoordinatorTopic]
	if c == nil || len(c.Partitions) != CoordinatorShards {
		t.Fatalf("coordinator shards: %+v", c)
	}
	if all := w.image.SortedTopics(); len(all) != 1 || all[0] != c || w.image.TopicsByName[OffsetsTopic] != c || c.Name != OffsetsTopic {
		t.Errorf("topics by name: %v, want the shards", w.image.TopicsByName)
	}
	if w.image.TopicByClientID(CoordinatorTopic) != nil || w.image.TopicByClientID(OffsetsTopicID) != c || c.ClientID() != OffsetsTopicID {
		t.Error("clients do not know the shards by the id meant for them, or also by their own")
	}
	if _, ok := w.image.Partition(CoordinatorTopic, CoordinatorShards-1); !ok {
		t.Error("the last shard is not a partition")
	}
	if _, ok := w.image.Partition(CoordinatorTopic, CoordinatorShards); ok {
		t.Error("one shard too many")
	}
}

// TestTopicOfTheSameName: what users created under the shards' name before clients could see the shards stays theirs; in whatever order a
// snapshot has the two.
func TestTopicOfTheSameName(t *testing.T) {
	users := TopicCreated{Topic{ID: TopicID{7}, Name: OffsetsTopic, Partitions: []Partition{{Replicas: []raft.NodeID{1}}}}}
	shards := TopicCreated{Topic{ID: CoordinatorTopic, Partitions: []Partition{{Replicas: []raft.NodeID{1}}}}}
	first := NewImage().Apply(1, []Record{users, shards})
	second := NewImage().Apply(1, []Record{shards, users})
	if !reflect.DeepEqual(first, second) || first.TopicsByName[OffsetsTopic].ID != (TopicID{7}) {
		t.Fatalf("%+v and %+v, want the users' topic by its name", first.TopicsByName, second.TopicsByName)
	}
	restored, err := RestoreImage(first.Snapshot())
	if err != nil || !reflect.DeepEqual(restored, first) {
		t.Fatalf("%v: restored %+v, want %+v", err, restored, first)
	}
	if after := first.Apply(2, []Record{TopicDeleted{ID: TopicID{7}}}); after.TopicsByName[OffsetsTopic] != after.Topics[CoordinatorTopic] {
		t.Error("the shards cannot be found after the users' topic is gone")
	}
}

// BenchmarkApplyOneRecord is the cost of one more topic in a cluster of 10,000.
func BenchmarkApplyOneRecord(b *testing.B) {
	records := make([]Record, 10_000)
	for i := range records {
		topic := topicWith(0, "topic-"+number(i), 1)
		topic.ID = TopicID{byte(i), byte(i >> 8), 1}
		records[i] = TopicCreated{topic}
	}
	img := NewImage().Apply(1, records)
	one := []Record{TopicCreated{topicWith(7, "one more", 1)}}
	for b.Loop() {
		img.Apply(2, one)
	}
}
