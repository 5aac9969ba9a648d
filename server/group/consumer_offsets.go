package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// validateMember checks the epoch that a commit or a fetch of offsets claims. holds says whether a member holds what it is about.
// A member may use an earlier epoch for partitions that it has had since then: nobody else can have committed in between
// (KIP-1251).
func (g *consumerGroup) validateMember(memberID string, epoch int32, holds func(m *consumerMember) bool) *kerr.Error {
	m := g.members[memberID]
	switch {
	case m == nil:
		return kerr.UnknownMemberID
	case epoch == m.epoch:
		return nil
	case m.classic != nil:
		return kerr.IllegalGeneration
	case epoch < m.epoch && holds(m):
		return nil
	}
	return kerr.StaleMemberEpoch
}

// heldSince says whether a member has had a partition since an epoch, or before.
func (m *consumerMember) heldSince(topic topicID, partition, epoch int32) bool {
	for _, set := range []ownership{m.assigned, m.revoking} {
		if since, ok := set[topic][partition]; ok {
			return since <= epoch
		}
	}
	return false
}

// commitConsumerEpoch is the first version of OffsetCommit whose clients know member epochs.
const commitConsumerEpoch = 9

// validateConsumerCommit checks that the committer may commit to a group of the consumer protocol: a member in its epoch, or,
// with epoch -1, anybody while the group has no members.
func (l *Leader) validateConsumerCommit(g *consumerGroup, req *kmsg.OffsetCommitRequest) *kerr.Error {
	if req.Generation < 0 && len(g.members) == 0 {
		return nil
	}
	if m := g.members[req.MemberID]; m != nil && m.classic == nil && req.Version < commitConsumerEpoch {
		return kerr.UnsupportedVersion
	}
	return g.validateMember(req.MemberID, req.Generation, func(m *consumerMember) bool {
		for _, t := range req.Topics {
			_, id, _, err := resolve(l.env.Topics(), t.Topic, t.TopicID, req.Version >= commitTopicID)
			for _, p := range t.Partitions {
				if err != nil || !m.heldSince(id, p.Partition, req.Generation) {
					return false
				}
			}
		}
		return true
	})
}

// validateConsumerTransactional does so for TxnOffsetCommit, whose clients know generations only.
func (l *Leader) validateConsumerTransactional(g *consumerGroup, req *kmsg.TxnOffsetCommitRequest) *kerr.Error {
	anonymous := req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil
	if anonymous || req.Generation < 0 && len(g.members) == 0 {
		return nil
	}
	err := g.validateMember(req.MemberID, req.Generation, func(m *consumerMember) bool {
		for _, t := range req.Topics {
			id, _, _ := l.env.Topics().ByName(t.Topic)
			for _, p := range t.Partitions {
				if !m.heldSince(id, p.Partition, req.Generation) {
					return false
				}
			}
		}
		return true
	})
	if err == kerr.StaleMemberEpoch {
		return kerr.IllegalGeneration
	}
	return err
}

// validateFetch checks the member epoch that a fetch of offsets claims, if it claims one.
func (l *Leader) validateFetch(asked *kmsg.OffsetFetchRequestGroup) *kerr.Error {
	g := l.consumers[asked.Group]
	if g == nil || asked.MemberID == nil && asked.MemberEpoch < 0 {
		return nil
	}
	id := ""
	if asked.MemberID != nil {
		id = *asked.MemberID
	}
	return g.validateMember(id, asked.MemberEpoch, func(*consumerMember) bool { return false })
}
