package cluster

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// reassignment asks for a partition to be led to replicas; none cancels.
func reassignment(topic string, partition int32, replicas ...int32) *kmsg.AlterPartitionAssignmentsRequest {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	req.Version = 1
	t := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	t.Topic = topic
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, replicas
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func (w *world) reassign(req *kmsg.AlterPartitionAssignmentsRequest) (int16, string) {
	w.t.Helper()
	resp := w.do(req).(*kmsg.AlterPartitionAssignmentsResponse)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		w.t.Fatalf("answer %+v", resp)
	}
	p := resp.Topics[0].Partitions[0]
	return p.ErrorCode, text(p.ErrorMessage)
}

// report says, as a partition's leader does, that the Raft group has these members.
func report(topic TopicID, partition, epoch int32, members ...int32) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = 3
	t := kmsg.NewAlterPartitionRequestTopic()
	t.TopicID = topic
	p := kmsg.NewAlterPartitionRequestTopicPartition()
	p.Partition, p.PartitionEpoch = partition, epoch
	for _, id := range members {
		isr := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
		isr.BrokerID = id
		p.NewEpochISR = append(p.NewEpochISR, isr)
	}
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func (w *world) report(req *kmsg.AlterPartitionRequest) kmsg.AlterPartitionResponseTopicPartition {
	w.t.Helper()
	return w.do(req).(*kmsg.AlterPartitionResponse).Topics[0].Partitions[0]
}

func ids(n ...raft.NodeID) []raft.NodeID { return n }

// TestReassignmentSteps follows one partition; the answers and the lists are those of Kafka 4.3.1, which was asked the same, except
// that a canceled reassignment leads back instead of being gone at once.
func TestReassignmentSteps(t *testing.T) {
	w := newWorld(t, 4)
	w.tryCreate(byHand("t", []int32{1, 2}))
	id := w.image.TopicsByName["t"].ID
	for i, step := range []struct {
		to       []int32 // nil cancels
		done     []int32 // instead: the leader reports these members
		code     int16
		replicas []raft.NodeID
		adding   []raft.NodeID
		removing []raft.NodeID
	}{
		{code: kerr.NoReassignmentInProgress.Code, replicas: ids(1, 2)},
		{to: []int32{2, 1}, replicas: ids(2, 1)}, // another order is there at once
		{to: []int32{1, 2}, replicas: ids(1, 2)},
		{to: []int32{1, 3}, replicas: ids(1, 3, 2), adding: ids(3), removing: ids(2)},
		{to: []int32{1, 3}, replicas: ids(1, 3, 2), adding: ids(3), removing: ids(2)},
		{to: []int32{3, 1}, replicas: ids(3, 1, 2), adding: ids(3), removing: ids(2)},
		{to: []int32{3, 2}, replicas: ids(3, 2, 1), adding: ids(3), removing: ids(1)},
		{done: []int32{1, 2}, code: kerr.InvalidRequest.Code, replicas: ids(3, 2, 1), adding: ids(3), removing: ids(1)},
		{done: []int32{2, 3}, replicas: ids(3, 2)},
		{done: []int32{2, 3}, replicas: ids(3, 2)}, // again: the first answer was lost
		{to: []int32{1, 2, 3}, replicas: ids(1, 2, 3), adding: ids(1)},
		{to: []int32{2}, replicas: ids(2, 1, 3), adding: ids(1), removing: ids(1, 3)}, // 1 joined before: it stays so
		{to: []int32{4}, replicas: ids(4, 2, 1, 3), adding: ids(4, 1), removing: ids(2, 1, 3)},
		{replicas: ids(2, 3, 4, 1), adding: ids(4, 1), removing: ids(4, 1)}, // canceled: it leads back
		{replicas: ids(2, 3, 4, 1), adding: ids(4, 1), removing: ids(4, 1)},
		{done: []int32{3, 2}, replicas: ids(2, 3)},
		{to: []int32{2}, replicas: ids(2, 3), removing: ids(3)},
		{replicas: ids(2, 3)}, // nothing had joined, so it is back at once
		{to: []int32{}, code: kerr.InvalidReplicaAssignment.Code, replicas: ids(2, 3)},
	} {
		before := w.image.TopicsByName["t"].Partitions[0]
		var code int16
		if step.done != nil {
			code = w.report(report(id, 0, before.Epoch, step.done...)).ErrorCode
		} else {
			code, _ = w.reassign(reassignment("t", 0, step.to...))
		}
		got := w.image.TopicsByName["t"].Partitions[0]
		if code != step.code || !reflect.DeepEqual(got.Replicas, step.replicas) ||
			!reflect.DeepEqual(got.Adding, step.adding) || !reflect.DeepEqual(got.Removing, step.removing) {
			t.Fatalf("step %d: code %d and %+v, want %+v", i, code, got, step)
		}
		epoch := before.Epoch
		if before.Epoch = got.Epoch; !reflect.DeepEqual(before, got) {
			epoch++
		}
		if got.Epoch != epoch {
			t.Fatalf("step %d: epoch %d, want %d", i, got.Epoch, epoch)
		}
		if !reflect.DeepEqual(w.image.Topics[id], w.image.TopicsByName["t"]) {
			t.Fatalf("step %d: topic by id and by name differ", i)
		}
	}
}

func TestReassignmentRefused(t *testing.T) {
	w := newWorld(t, 3)
	w.create("t", 1, 2)
	fixed := reassignment("t", 0, 1, 2, 3)
	fixed.AllowReplicationFactorChange = false
	old := reassignment("t", 0, 1, 2, 3)
	old.Version, old.AllowReplicationFactorChange = 0, false
	for _, c := range []struct {
		req     *kmsg.AlterPartitionAssignmentsRequest
		code    int16
		message string // Kafka's words
	}{
		{reassignment("nope", 0, 1), kerr.UnknownTopicOrPartition.Code, "Unable to find a topic named nope."},
		{reassignment("t", 7, 1), kerr.UnknownTopicOrPartition.Code, "Unable to find partition t:7."},
		{reassignment("t", -1, 1), kerr.UnknownTopicOrPartition.Code, "Unable to find partition t:-1."},
		{reassignment("t", 0, 1, 9), kerr.InvalidReplicaAssignment.Code, "The manual partition assignment includes broker 9, but no such broker is registered."},
		{reassignment("t", 0, 1, 1), kerr.InvalidReplicaAssignment.Code, "The manual partition assignment includes the broker 1 more than once."},
		{fixed, kerr.InvalidReplicationFactor.Code, "The replication factor is changed from 2 to 3"},
		{old, 0, ""},
	} {
		if code, message := w.reassign(c.req); code != c.code || message != c.message {
			t.Errorf("%+v: code %d, %q; want %d, %q", c.req.Topics[0], code, message, c.code, c.message)
		}
	}
}

func TestCompletionRefused(t *testing.T) {
	w := newWorld(t, 3)
	w.tryCreate(byHand("t", []int32{1, 2}))
	topic := w.image.TopicsByName["t"].ID
	w.reassign(reassignment("t", 0, 1, 3))
	if p := w.report(report(topic, 0, 0, 1, 3)); p.ErrorCode != kerr.InvalidUpdateVersion.Code {
		t.Errorf("of an earlier reassignment: code %d", p.ErrorCode)
	}
	if p := w.report(report(TopicID{7}, 0, 0, 1)); p.ErrorCode != kerr.UnknownTopicID.Code {
		t.Errorf("of a topic that is gone: code %d", p.ErrorCode)
	}
	if p := w.report(report(topic, 0, 1, 1, 3, 3)); p.ErrorCode != kerr.InvalidRequest.Code {
		t.Errorf("one member twice: code %d", p.ErrorCode)
	}
	p := w.report(report(topic, 0, 1, 3, 1))
	if p.ErrorCode != 0 || p.PartitionEpoch != 2 || !slices.Equal(p.ISR, []int32{1, 3}) {
		t.Errorf("done: %+v", p)
	}
}

// TestReassignmentOfTheShards: clients see the coordinator shards as Kafka's topic of offsets.
func TestReassignmentOfTheShards(t *testing.T) {
	w := newWorld(t, 3)
	w.register(4, "")
	if code, message := w.reassign(reassignment(OffsetsTopic, 3, 4, 1, 2)); code != 0 {
		t.Fatalf("code %d, %s", code, message)
	}
	if p, _ := w.image.Partition(CoordinatorTopic, 3); !slices.Contains(p.Adding, 4) {
		t.Errorf("shard 3: %+v", p)
	}
	if r := w.tryCreate(topicRequest(OffsetsTopic, 1, 1)); r.ErrorCode != kerr.TopicAlreadyExists.Code {
		t.Errorf("a topic of that name: code %d", r.ErrorCode)
	}
	// kafka-reassign-partitions sets and removes a throttle on whatever it moves.
	for op, code := range map[string]int16{
		"leader.replication.throttled.replicas=3:1": 0, "-follower.replication.throttled.replicas": 0, "-leader.replication.throttled.replicas": 0,
		"cleanup.policy=compact": 0, "-cleanup.policy": 0, "retention.ms=1": kerr.InvalidConfig.Code, "cleanup.policy=delete": kerr.InvalidConfig.Code,
	} {
		if r := w.alter(onTopic, OffsetsTopic, op); r.ErrorCode != code {
			t.Errorf("%s: code %d, want %d", op, r.ErrorCode, code)
		}
	}
}

func TestTopicOperationsDuringReassignment(t *testing.T) {
	w := newWorld(t, 4)
	w.tryCreate(byHand("t", []int32{1, 2}))
	w.reassign(reassignment("t", 0, 3, 4, 1))
	// As many replicas as the reassignment leads to, not as many as there are meanwhile.
	if r := w.do(morePartitions("t", 2)).(*kmsg.CreatePartitionsResponse).Topics[0]; r.ErrorCode != 0 {
		t.Fatalf("code %d", r.ErrorCode)
	}
	if p := w.image.TopicsByName["t"].Partitions; len(p) != 2 || len(p[1].Replicas) != 3 || p[0].Settled() {
		t.Errorf("partitions %+v", p)
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TopicNames = 5, []string{"t"}
	if r := w.do(req).(*kmsg.DeleteTopicsResponse).Topics[0]; r.ErrorCode != 0 || w.image.TopicsByName["t"] != nil {
		t.Errorf("delete: code %d", r.ErrorCode)
	}
}

// TestTowardsAndBack: from any state, canceling leads to the replicas that the partition had when it was settled last, and Adding
// always has everyone who came after.
func TestTowardsAndBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		settled := randomIDs(random)
		p := Partition{Replicas: settled}
		joined := map[raft.NodeID]bool{}
		for range random.IntN(5) {
			p = p.towards(randomIDs(random))
			for _, id := range p.Replicas {
				joined[id] = !slices.Contains(settled, id)
			}
			if p.Settled() {
				settled, joined = p.Replicas, map[raft.NodeID]bool{}
			}
			if err := p.check(); err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
			for _, id := range p.Replicas {
				if joined[id] != slices.Contains(p.Adding, id) {
					t.Fatalf("%+v: %d joined: %v, settled were %v", p, id, joined[id], settled)
				}
			}
		}
		if back := p.towards(p.Original()); !sameSet(back.Target(), settled) {
			t.Fatalf("%+v leads back to %v, want %v", p, back.Target(), settled)
		}
	}
}

func randomIDs(r *rand.Rand) []raft.NodeID {
	all := ids(1, 2, 3, 4, 5)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:1+r.IntN(4)]
}

func TestUnregisterBroker(t *testing.T) {
	w := newWorld(t, 3)
	unregister := func(id int32) (int16, string) {
		req := kmsg.NewPtrUnregisterBrokerRequest()
		req.BrokerID = id
		resp := w.do(req).(*kmsg.UnregisterBrokerResponse)
		return resp.ErrorCode, text(resp.ErrorMessage)
	}
	if code, message := unregister(9); code != kerr.BrokerIDNotRegistered.Code || message != "Broker ID 9 is not currently registered" {
		t.Errorf("unknown: code %d, %q", code, message)
	}
	w.alter(onBroker, "3", "cordoned.log.dirs=*")
	if code, _ := unregister(3); code != 0 {
		t.Fatalf("code %d", code)
	}
	// It was one of the initial brokers, and yet gets nothing more.
	if r := w.tryCreate(topicRequest("t", 1, 3)); r.ErrorCode != kerr.InvalidReplicationFactor.Code {
		t.Errorf("three replicas on two brokers: code %d", r.ErrorCode)
	}
	if code, _ := unregister(3); code != kerr.BrokerIDNotRegistered.Code {
		t.Errorf("again: code %d", code)
	}
	w.register(3, "")
	if w.image.Unregistered[3] || w.image.Cordoned(3) {
		t.Error("back, but unregistered or still cordoned")
	}
	w.create("t", 1, 3)
}

// TestDefaultReplicationGrows: a cluster that began with one broker and has three makes topics as if it had begun with three.
func TestDefaultReplicationGrows(t *testing.T) {
	w := newWorld(t, 1)
	for factor := raft.NodeID(1); factor <= 4; factor++ {
		w.register(factor, "")
		topic := w.create(number(int(factor)), 1, -1)
		if got := len(topic.Partitions[0].Replicas); got != min(3, int(factor)) {
			t.Errorf("%d brokers: %d replicas", factor, got)
		}
	}
}

func TestCordon(t *testing.T) {
	w := newWorld(t, 3)
	for _, c := range []struct {
		broker, op string
		code       int16
	}{
		{"", "cordoned.log.dirs=*", kerr.InvalidRequest.Code},
		{"1", "cordoned.log.dirs=/data", kerr.InvalidRequest.Code},
		{"1", "cordoned.log.dirs=*,/data", kerr.InvalidRequest.Code},
		{"1", "cordoned.log.dirs=", 0},
		{"1", "cordoned.log.dirs+=*", 0},
	} {
		if r := w.alter(onBroker, c.broker, c.op); r.ErrorCode != c.code {
			t.Errorf("broker %q: %s: code %d, want %d: %s", c.broker, c.op, r.ErrorCode, c.code, text(r.ErrorMessage))
		}
	}
	if !w.image.Cordoned(1) || w.image.Cordoned(2) {
		t.Fatal("1 is not cordoned, or 2 is")
	}
	r := w.tryCreate(topicRequest("three", 1, 3))
	if want := "The target replication factor of 3 cannot be reached because only 2 broker(s) are registered or some brokers have all their log directories cordoned."; r.ErrorCode != kerr.InvalidReplicationFactor.Code || text(r.ErrorMessage) != want {
		t.Errorf("code %d, %q", r.ErrorCode, text(r.ErrorMessage))
	}
	for i, p := range w.create("two", 20, 2).Partitions {
		if slices.Contains(p.Replicas, 1) {
			t.Errorf("partition %d is on %v", i, p.Replicas)
		}
	}
	if r := w.tryCreate(byHand("hand", []int32{1, 2})); r.ErrorCode != 0 {
		t.Errorf("by hand: code %d", r.ErrorCode)
	}
	if code, _ := w.reassign(reassignment("two", 0, 1, 2)); code != 0 {
		t.Errorf("reassigned by hand: code %d", code)
	}
	w.alter(onBroker, "1", "-cordoned.log.dirs")
	w.create("three", 1, 3)
}

// BenchmarkReassignTopic moves all partitions of a topic in one request.
func BenchmarkReassignTopic(b *testing.B) {
	w := newWorld(b, 4)
	w.create("t", 5000, 3)
	req := reassignment("t", 0, 4, 1, 2)
	for p := int32(1); p < 5000; p++ {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, reassignment("t", p, 4, 1, 2).Topics[0].Partitions[0])
	}
	for b.Loop() {
		if _, err := w.decider.Decide(w.image, req); err != nil {
			b.Fatal(err)
		}
	}
}
