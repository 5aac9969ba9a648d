package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchTopicID is the first version of OffsetFetch that names topics by id.
const fetchTopicID = 10

// fetchOffsets answers for one group, req.Groups[0]. With RequireStable the answer waits for the commits of the group
// that are on their way, so that a consumer that takes over a partition sees the last commit of who had it before; a
// partition for which a transaction is open is in error then, and the client comes back (KIP-447).
func (l *Leader) fetchOffsets(req *kmsg.OffsetFetchRequest, reply Reply) {
	asked := req.Groups[0]
	if err := l.validateFetch(&asked); err != nil {
		reply(ErrorResponse(req, err))
		return
	}
	answer := func() {
		resp := kmsg.NewPtrOffsetFetchResponse()
		resp.Groups = []kmsg.OffsetFetchResponseGroup{l.fetched(asked, req.Version, req.RequireStable)}
		reply(resp)
	}
	if !req.RequireStable || l.writing[asked.Group] == 0 {
		answer()
		return
	}
	l.write(asked.Group, nil, true, func(_ time.Time, err *kerr.Error) {
		if err != nil {
			reply(ErrorResponse(req, err))
			return
		}
		answer()
	})
}

func (l *Leader) fetched(asked kmsg.OffsetFetchRequestGroup, version int16, stable bool) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = asked.Group
	s := l.state.groups[asked.Group]
	if l.deleting[asked.Group] > 0 {
		s = nil
	}
	topics := l.env.Topics()
	if asked.Topics == nil {
		resp.Topics = fetchedAll(s, topics, version, stable)
		return resp
	}
	for _, at := range asked.Topics {
		name, id, _, err := resolve(topics, at.Topic, at.TopicID, version >= fetchTopicID)
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = at.Topic, at.TopicID
		for _, partition := range at.Partitions {
			p := noOffset(partition)
			// Commits survive a topic that is not there any more until they are cleaned up, and can be asked for by name;
			// those of an earlier topic with the name of a newer one cannot.
			o, ok := s.offset(name, partition)
			switch {
			case version >= fetchTopicID && err != nil:
				p.ErrorCode = err.Code
			case stable && s.unstable(name, partition):
				p.ErrorCode = kerr.UnstableOffsetCommit.Code
			case ok && (err != nil || o.TopicID == id):
				p = fetchedOffset(partition, o)
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// fetchedAll returns everything that a group has committed. Topics that are gone have no id to be named by in versions
// that name topics so.
func fetchedAll(s *stored, topics Topics, version int16, stable bool) []kmsg.OffsetFetchResponseGroupTopic {
	all := []kmsg.OffsetFetchResponseGroupTopic{}
	if s == nil {
		return all
	}
	for name, partitions := range sorted(s.offsets) {
		id, _, exists := topics.ByName(name)
		if !exists && version >= fetchTopicID {
			continue
		}
		t := kmsg.NewOffsetFetchResponseGroupTopic()
		t.Topic, t.TopicID = name, id
		for partition, o := range sorted(partitions) {
			switch {
			case exists && o.TopicID != id:
			case stable && s.unstable(name, partition):
				p := noOffset(partition)
				p.ErrorCode = kerr.UnstableOffsetCommit.Code
				t.Partitions = append(t.Partitions, p)
			default:
				t.Partitions = append(t.Partitions, fetchedOffset(partition, o))
			}
		}
		if len(t.Partitions) > 0 {
			all = append(all, t)
		}
	}
	return all
}

func fetchedOffset(partition int32, o Offset) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := noOffset(partition)
	p.Offset, p.LeaderEpoch, p.Metadata = o.Offset, o.LeaderEpoch, &o.Metadata
	return p
}

// noOffset is the answer for a partition without a commit: no error, and metadata that is empty, not null.
func noOffset(partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, -1, -1, kmsg.StringPtr("")
	return p
}
