package cluster

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteTopics answers DeleteTopics, by name (up to v5) or by name or id (v6).
func (d *Decider) deleteTopics(img *Image, req *kmsg.DeleteTopicsRequest) Decision {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	resp.Topics = []kmsg.DeleteTopicsResponseTopic{}
	wanted := req.Topics
	if req.Version < 6 {
		wanted = make([]kmsg.DeleteTopicsRequestTopic, len(req.TopicNames))
		for i := range req.TopicNames {
			wanted[i].Topic = &req.TopicNames[i]
		}
	}
	duplicates := countDeletes(img, wanted)
	var records []Record
	for i := range wanted {
		id, f := d.deletable(img, req.Version, &wanted[i])
		if f == nil && duplicates[id] > 1 {
			f = failf(kerr.InvalidRequest, "The topic is named more than once in the request.")
		}
		r := kmsg.NewDeleteTopicsResponseTopic()
		r.Topic, r.TopicID, r.ErrorCode, r.ErrorMessage = wanted[i].Topic, wanted[i].TopicID, f.code(), f.text()
		if f == nil {
			name := img.Topics[id].Name
			r.Topic, r.TopicID = &name, id
			records = append(records, TopicDeleted{ID: id})
		}
		resp.Topics = append(resp.Topics, r)
	}
	return Decision{Records: records, Response: resp}
}

// countDeletes counts how often the request names each topic, by name or id.
func countDeletes(img *Image, wanted []kmsg.DeleteTopicsRequestTopic) map[TopicID]int {
	n := make(map[TopicID]int, len(wanted))
	for _, w := range wanted {
		if t := wantedTopic(img, w); t != nil {
			n[t.ID]++
		}
	}
	return n
}

// wantedTopic finds a topic by name, or by id when there is no name.
func wantedTopic(img *Image, w kmsg.DeleteTopicsRequestTopic) *Topic {
	if w.Topic != nil {
		return img.TopicsByName[*w.Topic]
	}
	return img.TopicByClientID(w.TopicID)
}

func (d *Decider) deletable(img *Image, version int16, w *kmsg.DeleteTopicsRequestTopic) (TopicID, *failure) {
	hasID := w.TopicID != [16]byte{}
	t := wantedTopic(img, *w)
	switch {
	case !d.Config.DeleteTopics && version < 3:
		return TopicID{}, failf(kerr.InvalidRequest, "Topic deletion is disabled.")
	case !d.Config.DeleteTopics:
		return TopicID{}, failf(kerr.TopicDeletionDisabled, "Topic deletion is disabled.")
	case w.Topic != nil && hasID:
		return TopicID{}, failf(kerr.InvalidRequest, "You may not specify both topic name and topic id.")
	case w.Topic == nil && !hasID:
		return TopicID{}, failf(kerr.InvalidRequest, "Neither topic name nor id were specified.")
	case t == nil && hasID:
		return TopicID{}, failf(kerr.UnknownTopicID, "This server does not host this topic ID.")
	case t == nil:
		return TopicID{}, failf(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	case t.Internal():
		return TopicID{}, internalTopic(t)
	}
	return t.ID, nil
}
