package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
)

// alterPartitionReassignments answers AlterPartitionReassignments (KIP-455). Each partition succeeds or fails by itself; one that is
// named twice is changed twice, as in Kafka.
func (d *Decider) alterPartitionReassignments(img *Image, req *kmsg.AlterPartitionAssignmentsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	resp.Topics = make([]kmsg.AlterPartitionAssignmentsResponseTopic, 0, len(req.Topics))
	mayResize := req.Version < 1 || req.AllowReplicationFactorChange // version 0 could not forbid it
	now := newBuilder(img)
	var records []Record
	for _, rt := range req.Topics {
		topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		topic.Topic = rt.Topic
		topic.Partitions = make([]kmsg.AlterPartitionAssignmentsResponseTopicPartition, 0, len(rt.Partitions))
		for _, rp := range rt.Partitions {
			record, f := d.reassigned(&now.image, rt.Topic, rp.Partition, rp.Replicas, mayResize)
			if record != nil {
				records = append(records, *record)
				now.apply(*record)
			}
			answer := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			answer.Partition, answer.ErrorCode, answer.ErrorMessage = rp.Partition, f.code(), f.text()
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return Decision{Records: records, Response: resp}
}

// reassigned returns the record that leads a partition to replicas, or back with replicas nil; no record if it is on its way there
// already.
func (d *Decider) reassigned(img *Image, name string, number int32, replicas []int32, mayResize bool) (*PartitionChanged, *failure) {
	topic := img.TopicsByName[name]
	if topic == nil {
		return nil, failf(kerr.UnknownTopicOrPartition, "Unable to find a topic named %s.", name)
	}
	if number < 0 || int(number) >= len(topic.Partitions) {
		return nil, failf(kerr.UnknownTopicOrPartition, "Unable to find partition %s:%d.", name, number)
	}
	current := topic.Partitions[number]
	target := current.Original()
	if replicas == nil {
		if current.Settled() {
			return nil, failf(kerr.NoReassignmentInProgress, "%s", kerr.NoReassignmentInProgress.Description)
		}
	} else {
		asked, f := assigned(replicas, len(replicas), d.knownBrokers(img))
		if f != nil {
			return nil, f
		}
		if before := len(target); !mayResize && len(replicas) != before {
			return nil, failf(kerr.InvalidReplicationFactor, "The replication factor is changed from %d to %d", before, len(replicas))
		}
		target = asked.Replicas
	}
	next := current.towards(target)
	if slices.Equal(next.Replicas, current.Replicas) && slices.Equal(next.Adding, current.Adding) && slices.Equal(next.Removing, current.Removing) {
		return nil, nil
	}
	return &PartitionChanged{Topic: topic.ID, Number: number, Partition: next}, nil
}

// towards returns the partition as a reassignment to target makes it: settled at once if the replicas are the same, perhaps in
// another order, else with both the replicas that it leads to and those that it leads away from. Those that an earlier, unfinished
// reassignment brought in stay among Adding until the partition is settled.
func (p Partition) towards(target []raft.NodeID) Partition {
	next := Partition{Replicas: slices.Clone(target), Epoch: p.Epoch + 1}
	original := p.Original()
	for _, id := range p.Replicas {
		if !slices.Contains(target, id) {
			next.Replicas = append(next.Replicas, id)
			next.Removing = append(next.Removing, id)
		}
	}
	for _, id := range next.Replicas {
		if !slices.Contains(original, id) {
			next.Adding = append(next.Adding, id)
		}
	}
	return next
}

// alterPartition answers AlterPartition (KIP-497), in which the leader of a partition says that its Raft group has the members that
// the reassignment leads to: it is done, and the partition settled.
func (d *Decider) alterPartition(img *Image, req *kmsg.AlterPartitionRequest) Decision {
	resp := req.ResponseKind().(*kmsg.AlterPartitionResponse)
	resp.Topics = make([]kmsg.AlterPartitionResponseTopic, 0, len(req.Topics))
	now := newBuilder(img)
	var records []Record
	for _, rt := range req.Topics {
		topic := kmsg.NewAlterPartitionResponseTopic()
		topic.Topic, topic.TopidID = rt.Topic, rt.TopicID
		topic.Partitions = make([]kmsg.AlterPartitionResponseTopicPartition, 0, len(rt.Partitions))
		for i := range rt.Partitions {
			rp := &rt.Partitions[i]
			record, f := settled(&now.image, req.Version, &rt, rp)
			if record != nil {
				records = append(records, *record)
				now.apply(*record)
			}
			answer := kmsg.NewAlterPartitionResponseTopicPartition()
			answer.Partition, answer.ErrorCode = rp.Partition, f.code()
			answer.LeaderID, answer.LeaderEpoch = req.BrokerID, rp.LeaderEpoch
			if p, ok := now.image.Partition(rt.TopicID, rp.Partition); ok && f == nil {
				answer.PartitionEpoch = p.Epoch
				for _, id := range p.Replicas {
					answer.ISR = append(answer.ISR, int32(id))
				}
			}
			topic.Partitions = append(topic.Partitions, answer)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return Decision{Records: records, Response: resp}
}

// settled returns the record that ends a reassignment, none if it has ended.
func settled(
	img *Image, version int16, rt *kmsg.AlterPartitionRequestTopic, rp *kmsg.AlterPartitionRequestTopicPartition,
) (*PartitionChanged, *failure) {
	p, ok := img.Partition(rt.TopicID, rp.Partition)
	if !ok {
		return nil, failf(kerr.UnknownTopicID, "There is no partition %d of topic %s.", rp.Partition, TopicID(rt.TopicID))
	}
	members := make([]raft.NodeID, 0, len(p.Replicas))
	for _, id := range rp.NewISR {
		members = append(members, raft.NodeID(id))
	}
	if version >= 3 {
		for _, isr := range rp.NewEpochISR {
			members = append(members, raft.NodeID(isr.BrokerID))
		}
	}
	target := p.Target()
	same := sameSet(members, target)
	switch {
	case p.Settled() && same:
		return nil, nil // the answer to the first message was lost
	case rp.PartitionEpoch != p.Epoch:
		return nil, failf(kerr.InvalidUpdateVersion, "The partition is at epoch %d, not %d.", p.Epoch, rp.PartitionEpoch)
	case !same:
		return nil, failf(kerr.InvalidRequest, "The members are not those that the reassignment leads to.")
	}
	next := Partition{Replicas: slices.Clone(target), Epoch: p.Epoch + 1}
	return &PartitionChanged{Topic: rt.TopicID, Number: rp.Partition, Partition: next}, nil
}

// sameSet says whether two lists have the same elements, each once, in any order.
func sameSet(a, b []raft.NodeID) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
