package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerType is the group type of this protocol in ListGroups.
const consumerType = "consumer"

// Member types in ConsumerGroupDescribe.
const (
	classicMemberType  = 0
	consumerMemberType = 1
)

// describeConsumer answers for one group, req.Groups[0].
func (l *Leader) describeConsumer(req *kmsg.ConsumerGroupDescribeRequest) *kmsg.ConsumerGroupDescribeResponse {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	d := kmsg.NewConsumerGroupDescribeResponseGroup()
	d.Group = req.Groups[0]
	if g := l.consumers[d.Group]; g != nil {
		g.describe(&d, l.env.Topics(), l.env.Config.ConsumerAssignors)
		if req.IncludeAuthorizedOperations {
			d.AuthorizedOperations = authorizedOperations
		}
	} else {
		r := l.notConsumerGroup(d.Group)
		d.ErrorCode, d.ErrorMessage = r.err.Code, &r.message
	}
	resp.Groups = append(resp.Groups, d)
	return resp
}

func (g *consumerGroup) describe(d *kmsg.ConsumerGroupDescribeResponseGroup, topics Topics, assignors []string) {
	d.State, d.Epoch, d.AssignmentEpoch = g.stateName(), g.epoch, g.targetEpoch
	d.AssignorName = g.preferredAssignor(assignors)
	for id, m := range sorted(g.members) {
		dm := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		dm.MemberID, dm.InstanceID, dm.RackID, dm.MemberEpoch = id, m.instanceID, m.rackID, m.epoch
		dm.ClientID, dm.ClientHost = m.client.ID, m.client.Host
		dm.SubscribedTopics = append([]string{}, m.topics...)
		dm.SubscribedTopicRegex = kmsg.StringPtr(m.regex) // empty, not null, when there is none
		dm.Assignment = describedAssignment(m.assigned.partitions(), topics)
		dm.TargetAssignment = describedAssignment(g.target[id], topics)
		dm.MemberType = consumerMemberType
		if m.classic != nil {
			dm.MemberType = classicMemberType
		}
		d.Members = append(d.Members, dm)
	}
}

// describedAssignment leaves out topics that are gone: they have no name.
func describedAssignment(a assignment, topics Topics) kmsg.Assignment {
	described := kmsg.NewAssignment()
	described.TopicPartitions = []kmsg.AssignmentTopicPartition{}
	for _, id := range sortedTopics(a) {
		name, _, ok := topics.ByID(id)
		if !ok {
			continue
		}
		t := kmsg.NewAssignmentTopicPartition()
		t.TopicID, t.Topic, t.Partitions = id, name, a[id]
		described.TopicPartitions = append(described.TopicPartitions, t)
	}
	return described
}
