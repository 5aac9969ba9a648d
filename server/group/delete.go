package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteGroup answers for one group, req.Groups[0].
func (l *Leader) deleteGroup(req *kmsg.DeleteGroupsRequest, reply Reply) {
	resp := kmsg.NewPtrDeleteGroupsResponse()
	rg := kmsg.NewDeleteGroupsResponseGroup()
	rg.Group = req.Groups[0]
	done := func(err *kerr.Error) {
		rg.ErrorCode = code(err)
		resp.Groups = append(resp.Groups, rg)
		reply(resp)
	}
	consumers, g := l.consumers[rg.Group], l.find(rg.Group)
	switch {
	case l.shares[rg.Group] != nil:
		l.deleteShareGroup(rg.Group, done)
	case consumers == nil && g == nil:
		done(kerr.GroupIDNotFound)
	case consumers != nil && len(consumers.members) > 0, g != nil && g.state != stateEmpty:
		done(kerr.NonEmptyGroup)
	default:
		l.forget(rg.Group, func(_ time.Time, err *kerr.Error) { done(err) })
	}
}

// forget deletes an empty group and its offsets. From now on the group does not exist, whatever State still says.
func (l *Leader) forget(id string, done func(now time.Time, err *kerr.Error)) {
	if g := l.consumers[id]; g != nil {
		l.dropConsumerGroup(g)
	}
	if g := l.groups[id]; g != nil {
		l.removed(g)
	}
	if g := l.shares[id]; g != nil {
		l.dropShareGroup(g)
	}
	count(l.deleting, id, 1)
	l.write(id, []record{groupDeleted{id}}, false, func(now time.Time, err *kerr.Error) {
		count(l.deleting, id, -1)
		done(now, err)
	})
}

func (l *Leader) deleteOffsets(now time.Time, req *kmsg.OffsetDeleteRequest, reply Reply) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	subscribed, err := l.validateOffsetDelete(now, req.Group)
	if err != nil {
		resp.ErrorCode = err.Code
		reply(resp)
		return
	}
	var records []record
	topics := l.env.Topics()
	for _, rt := range req.Topics {
		_, partitions, _ := topics.ByName(rt.Topic)
		t := kmsg.NewOffsetDeleteResponseTopic()
		t.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			p := kmsg.NewOffsetDeleteResponseTopicPartition()
			p.Partition = rp.Partition
			s := l.state.groups[req.Group]
			_, committed := s.offset(rt.Topic, rp.Partition)
			switch {
			case rp.Partition < 0 || rp.Partition >= partitions:
				p.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case subscribed(rt.Topic):
				p.ErrorCode = kerr.GroupSubscribedToTopic.Code
			case committed || s.unstable(rt.Topic, rp.Partition) || l.writing[req.Group] > 0: // what is being written may be a commit of this partition
				records = append(records, offsetDeleted{req.Group, rt.Topic, rp.Partition})
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if len(records) == 0 {
		reply(resp)
		return
	}
	l.write(req.Group, records, true, func(_ time.Time, err *kerr.Error) {
		if err != nil {
			resp = kmsg.NewPtrOffsetDeleteResponse()
			resp.ErrorCode = err.Code
		}
		reply(resp)
	})
}

// validateOffsetDelete returns what says whether the group reads a topic. What non-consumers with members read is unknown, so
// theirs stay.
func (l *Leader) validateOffsetDelete(now time.Time, id string) (subscribed func(topic string) bool, err *kerr.Error) {
	if id == "" {
		return nil, kerr.InvalidGroupID
	}
	if g := l.consumers[id]; g != nil {
		names := g.subscribed(l.env.Topics(), now)
		return func(topic string) bool { return names[topic] }, nil
	}
	g := l.find(id)
	switch {
	case g == nil:
		return nil, kerr.GroupIDNotFound
	case g.state != stateEmpty && !g.isConsumer():
		return nil, kerr.NonEmptyGroup
	}
	return g.isSubscribed, nil
}
