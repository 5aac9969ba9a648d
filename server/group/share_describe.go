package group

import "github.com/twmb/franz-go/pkg/kmsg"

// shareType and shareProtocolType are the type of share groups in ListGroups, and of their protocol.
const (
	shareType         = "share"
	shareProtocolType = "share"
)

// describeShare answers for one group, req.GroupIDs[0].
func (l *Leader) describeShare(req *kmsg.ShareGroupDescribeRequest) *kmsg.ShareGroupDescribeResponse {
	resp := kmsg.NewPtrShareGroupDescribeResponse()
	d := kmsg.NewShareGroupDescribeResponseGroup()
	d.GroupID = req.GroupIDs[0]
	if g := l.shares[d.GroupID]; g != nil {
		g.describe(&d, l.env.Topics())
		if req.IncludeAuthorizedOperations {
			d.AuthorizedOperations = authorizedOperations
		}
	} else {
		r := l.notShareGroup(d.GroupID)
		d.ErrorCode, d.ErrorMessage = r.err.Code, &r.message
	}
	resp.Groups = append(resp.Groups, d)
	return resp
}

func (g *shareGroup) describe(d *kmsg.ShareGroupDescribeResponseGroup, topics Topics) {
	d.GroupState, d.GroupEpoch, d.AssignmentEpoch, d.Assignor = g.stateName(), g.epoch, g.targetEpoch, assignorSimple
	for id, m := range sorted(g.members) {
		dm := kmsg.NewShareGroupDescribeResponseGroupMember()
		dm.MemberID, dm.RackID, dm.MemberEpoch = id, m.rackID, m.epoch
		dm.ClientID, dm.ClientHost = m.client.ID, m.client.Host
		dm.SubscribedTopicNames = append([]string{}, m.topics...)
		dm.Assignment.TopicPartitions = []kmsg.ShareGroupDescribeResponseGroupMemberAssignmentTopicPartition{}
		for _, topic := range sortedTopics(m.assigned) {
			name, _, ok := topics.ByID(topic)
			if !ok {
				continue // a topic that is gone has no name
			}
			t := kmsg.NewShareGroupDescribeResponseGroupMemberAssignmentTopicPartition()
			t.TopicID, t.Topic, t.Partitions = topic, name, m.assigned[topic]
			dm.Assignment.TopicPartitions = append(dm.Assignment.TopicPartitions, t)
		}
		d.Members = append(d.Members, dm)
	}
}
