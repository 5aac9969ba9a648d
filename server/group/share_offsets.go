package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeShareOffsets answers for one group, req.Groups[0], with where to look: its partitions, whose offsets are known by their
// leaders only. A topic without an id does not exist. As in Kafka, a group that does not exist has no offsets and is no error.
func (l *Leader) describeShareOffsets(req *kmsg.DescribeShareGroupOffsetsRequest) *kmsg.DescribeShareGroupOffsetsResponse {
	resp := kmsg.NewPtrDescribeShareGroupOffsetsResponse()
	asked := req.Groups[0]
	d := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
	d.GroupID = asked.GroupID
	d.Topics = []kmsg.DescribeShareGroupOffsetsResponseGroupTopic{}
	add := func(name string, id topicID, partitions []int32) {
		t := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
		t.Topic, t.TopicID = name, id
		for _, partition := range partitions {
			p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
			p.Partition, p.StartOffset = partition, -1
			t.Partitions = append(t.Partitions, p)
		}
		d.Topics = append(d.Topics, t)
	}
	topics := l.env.Topics()
	for _, t := range asked.Topics {
		id, _, _ := topics.ByName(t.Topic)
		add(t.Topic, id, t.Partitions)
	}
	if g := l.shares[asked.GroupID]; g != nil && asked.Topics == nil {
		for _, id := range sortedTopics(g.partitions[shareInitialized]) {
			if name, _, ok := topics.ByID(id); ok {
				add(name, id, g.partitions[shareInitialized][id])
			}
		}
	}
	resp.Groups = append(resp.Groups, d)
	return resp
}

// altering is an AlterShareGroupOffsets that is being decided.
type altering struct {
	resp   *kmsg.AlterShareGroupOffsetsResponse
	reply  Reply
	task   ShareTask
	places []*kmsg.AlterShareGroupOffsetsResponseTopicPartition // in resp, of the task's partitions
}

func (a *altering) refuse(r *refusal) {
	resp := kmsg.NewPtrAlterShareGroupOffsetsResponse()
	resp.ErrorCode, resp.ErrorMessage = r.err.Code, &r.message
	a.reply(resp)
}

func (a *altering) fail(err *kerr.Error) { a.refuse(refuse(err, "%s", err.Description)) }

// alterShareOffsets lets share partitions of a group without members begin elsewhere. A group that does not exist is made.
func (l *Leader) alterShareOffsets(now time.Time, req *kmsg.AlterShareGroupOffsetsRequest, reply Reply) {
	a := &altering{resp: kmsg.NewPtrAlterShareGroupOffsetsResponse(), reply: reply, task: ShareTask{Kind: AlterShare}}
	c, r := l.shareGroupToAlter(now, req.GroupID)
	if r != nil {
		a.refuse(r)
		return
	}
	a.resolve(req, l.env.Topics())
	if len(a.task.Partitions) == 0 {
		reply(a.resp)
		return
	}
	g := c.group
	var absent []SharePartition
	for _, p := range a.task.Partitions {
		switch g.partitionState(p.Topic, p.Partition) {
		case shareDeleting:
			a.refuse(refuse(kerr.CoordinatorLoadInProgress, "Offsets of group %s are being deleted.", g.id))
			return
		case shareAbsent:
			absent = append(absent, p)
		}
	}
	l.shares[g.id] = g
	c.move(inTopics(absent), shareInitializing)
	g.reserve(a.task.Partitions)
	l.commit(g.id, c.records, func(err *kerr.Error) {
		switch {
		case err == nil && l.closed != nil:
			err = l.closed
		case err == nil && l.shares[g.id] != g:
			err = kerr.GroupIDNotFound
		}
		if err != nil {
			a.fail(err)
			return
		}
		l.askToAlter(g, a)
	})
}

// shareGroupToAlter returns a share group without members.
func (l *Leader) shareGroupToAlter(now time.Time, id string) (*shareChange, *refusal) {
	switch g := l.shares[id]; {
	case id == "":
		return nil, refuse(kerr.InvalidGroupID, "%s", kerr.InvalidGroupID.Description)
	case g == nil:
		return l.makeShareGroup(id, now)
	case len(g.members) > 0:
		return nil, refuse(kerr.NonEmptyGroup, "%s", kerr.NonEmptyGroup.Description)
	default:
		return l.shareChange(g), nil
	}
}

// earliestOffset stands for the beginning of a partition, as in ListOffsets; -1 for its end. Kafka's clients look them up themselves.
const earliestOffset = -2

// resolve fills the response and the task. Of offsets for the same partition the last one counts.
func (a *altering) resolve(req *kmsg.AlterShareGroupOffsetsRequest, topics Topics) {
	a.resp.Topics = make([]kmsg.AlterShareGroupOffsetsResponseTopic, len(req.Topics))
	known := map[SharePartition]int{}
	for i, rt := range req.Topics {
		id, partitions, _ := topics.ByName(rt.Topic)
		t := &a.resp.Topics[i]
		t.Topic, t.TopicID = rt.Topic, id
		t.Partitions = make([]kmsg.AlterShareGroupOffsetsResponseTopicPartition, len(rt.Partitions))
		for j, rp := range rt.Partitions {
			place := &t.Partitions[j]
			place.Partition = rp.Partition
			p := SharePartition{id, rp.Partition}
			n, again := known[p]
			switch {
			case rp.Partition < 0 || rp.Partition >= partitions:
				setAlterError(place, kerr.UnknownTopicOrPartition)
			case rp.StartOffset < earliestOffset:
				setAlterError(place, kerr.InvalidRequest)
			case again:
				a.task.Starts[n] = rp.StartOffset
			default:
				known[p] = len(a.places)
				a.task.Partitions = append(a.task.Partitions, p)
				a.task.Starts = append(a.task.Starts, rp.StartOffset)
				a.places = append(a.places, place)
			}
		}
	}
}

func setAlterError(p *kmsg.AlterShareGroupOffsetsResponseTopicPartition, err *kerr.Error) {
	p.ErrorCode, p.ErrorMessage = err.Code, kmsg.StringPtr(err.Description)
}

func (l *Leader) askToAlter(g *shareGroup, a *altering) {
	l.parked[a] = struct{}{}
	l.ask(g, &a.task, func(now time.Time, errs []*kerr.Error) {
		delete(l.parked, a)
		if l.shares[g.id] != g {
			a.fail(kerr.GroupIDNotFound)
			return
		}
		for i, err := range errs {
			if err != nil {
				setAlterError(a.places[i], err)
			}
		}
		l.initialized(g, now, &a.task, errs).commit(func(err *kerr.Error) {
			if err != nil {
				a.fail(err)
				return
			}
			a.reply(a.resp)
		})
	})
}

// deleteShareOffsets answers DeleteShareGroupOffsets: a group without members forgets topics, and begins anew when it reads
// them again.
func (l *Leader) deleteShareOffsets(req *kmsg.DeleteShareGroupOffsetsRequest, reply Reply) {
	refuse := func(r *refusal) {
		resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
		resp.ErrorCode, resp.ErrorMessage = r.err.Code, &r.message
		reply(resp)
	}
	g, r := l.shareGroupToForget(req.GroupID)
	if r != nil {
		refuse(r)
		return
	}
	resp := kmsg.NewPtrDeleteShareGroupOffsetsResponse()
	known := g.topics()
	var doomed []topicID
	for _, rt := range req.Topics {
		t := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
		t.Topic = rt.Topic
		id, _, ok := l.env.Topics().ByName(rt.Topic)
		switch {
		case !ok:
			setDeleteError(&t, kerr.UnknownTopicOrPartition, kerr.UnknownTopicOrPartition.Description)
		case !slices.Contains(known, id):
			setDeleteError(&t, kerr.UnknownTopicOrPartition, "There is no offset information to delete.")
		default:
			t.TopicID = id
			doomed = append(doomed, id)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if len(doomed) == 0 {
		reply(resp)
		return
	}
	l.deletePartitions(g, doomed, func(failed map[topicID]*kerr.Error, err *kerr.Error) {
		if err != nil {
			refuse(&refusal{err, err.Description})
			return
		}
		for i := range resp.Topics {
			if t := &resp.Topics[i]; failed[t.TopicID] != nil {
				setDeleteError(t, failed[t.TopicID], failed[t.TopicID].Description)
			}
		}
		reply(resp)
	})
}

// shareGroupToForget returns a share group that exists and has no members.
func (l *Leader) shareGroupToForget(id string) (*shareGroup, *refusal) {
	switch g := l.shares[id]; {
	case id == "":
		return nil, refuse(kerr.InvalidGroupID, "%s", kerr.InvalidGroupID.Description)
	case g == nil:
		return nil, l.notShareGroup(id)
	case len(g.members) > 0:
		return nil, refuse(kerr.NonEmptyGroup, "%s", kerr.NonEmptyGroup.Description)
	default:
		return g, nil
	}
}

func setDeleteError(t *kmsg.DeleteShareGroupOffsetsResponseTopic, err *kerr.Error, message string) {
	t.ErrorCode, t.ErrorMessage = err.Code, &message
}
