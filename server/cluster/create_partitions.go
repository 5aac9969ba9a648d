package cluster

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// createPartitions answers CreatePartitions: more partitions for existing topics.
func (d *Decider) createPartitions(img *Image, req *kmsg.CreatePartitionsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	resp.Topics = []kmsg.CreatePartitionsResponseTopic{}
	seen := map[string]int{}
	for _, t := range req.Topics {
		seen[t.Topic]++
	}
	now := newBuilder(img)
	var records []Record
	created, l := 0, countLoads(img)
	for i := range req.Topics {
		t := &req.Topics[i]
		if seen[t.Topic] == 0 {
			continue // answered as a duplicate before
		}
		var added PartitionsAdded
		var f *failure
		if seen[t.Topic] > 1 {
			seen[t.Topic] = 0
			f = failf(kerr.InvalidRequest, "Duplicate topic name.")
		} else {
			added, f = d.morePartitions(&now.image, l, t, MaxPartitionsPerRequest-created)
		}
		r := kmsg.NewCreatePartitionsResponseTopic()
		r.Topic, r.ErrorCode, r.ErrorMessage = t.Topic, f.code(), f.text()
		resp.Topics = append(resp.Topics, r)
		if f == nil {
			created += len(added.Partitions)
			records = append(records, added)
			now.apply(added)
		}
	}
	if req.ValidateOnly {
		records = nil
	}
	return Decision{Records: records, Response: resp}
}

func (d *Decider) morePartitions(img *Image, l loads, t *kmsg.CreatePartitionsRequestTopic, most int) (PartitionsAdded, *failure) {
	topic := img.TopicsByName[t.Topic]
	if topic == nil {
		return PartitionsAdded{}, failf(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	}
	if topic.Internal() {
		return PartitionsAdded{}, internalTopic(topic)
	}
	have, want := len(topic.Partitions), int(t.Count)
	more := want - have
	switch {
	case want == have:
		return PartitionsAdded{}, failf(kerr.InvalidPartitions, "Topic already has %d partition(s).", have)
	case want < have:
		return PartitionsAdded{}, failf(kerr.InvalidPartitions,
			"The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, have, want)
	case more > most:
		return PartitionsAdded{}, tooManyPartitions()
	}
	added := PartitionsAdded{Topic: topic.ID, First: int32(have)}
	factor := len(topic.Partitions[0].Target()) // what a reassignment under way leads to
	known := d.knownBrokers(img)
	if t.Assignment == nil {
		if factor > len(d.openBrokers(img)) {
			return PartitionsAdded{}, d.tooManyReplicas(img, factor)
		}
		added.Partitions = d.newPlacer(img, l, topic.Partitions, factor).placeAll(more, factor)
		return added, nil
	}
	if len(t.Assignment) != more {
		return PartitionsAdded{}, failf(kerr.InvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", more, len(t.Assignment))
	}
	for _, a := range t.Assignment {
		p, f := assigned(a.Replicas, factor, known)
		if f != nil {
			return PartitionsAdded{}, f
		}
		added.Partitions = append(added.Partitions, p)
	}
	return added, nil
}
