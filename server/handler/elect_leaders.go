package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// The types of elections that ElectLeaders knows.
const (
	electPreferred = 0
	electUnclean   = 1
)

// electLeaders answers ElectLeaders. A preferred election hands leadership over to the first replica. An unclean one is never held: Raft
// elects whom it can, and a replica that lacks acknowledged records not at all.
func (b *Broker) electLeaders(ctx context.Context, _ Client, req *kmsg.ElectLeadersRequest) kmsg.Response {
	resp := newResponse[*kmsg.ElectLeadersResponse](req)
	resp.Topics = []kmsg.ElectLeadersResponseTopic{}
	img := b.Metadata.Image()
	wanted, everywhere := req.Topics, req.Topics == nil
	if everywhere {
		wanted = allPartitions(img)
	}
	if req.ElectionType != electPreferred && req.ElectionType != electUnclean {
		resp.ErrorCode = kerr.InvalidRequest.Code
		if !everywhere {
			unknown := tell(kerr.InvalidRequest, "Unknown election type %d", req.ElectionType)
			resp.Topics = electionResults(wanted, func(string, int32) error { return unknown }, false)
		}
		return resp
	}
	if req.TimeoutMillis > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(req.TimeoutMillis)*time.Millisecond)
		defer cancel()
	}
	outcomes := b.elect(ctx, img, req.ElectionType, wanted)
	resp.Topics = electionResults(wanted, func(topic string, partition int32) error {
		return outcomes[electionKey{topic, partition}]
	}, everywhere)
	return resp
}

type electionKey struct {
	topic     string
	partition int32
}

// allPartitions names everything that has a leader, the coordinator shards included.
func allPartitions(img *cluster.Image) []kmsg.ElectLeadersRequestTopic {
	var all []kmsg.ElectLeadersRequestTopic
	for _, t := range img.SortedTopics() {
		rt := kmsg.NewElectLeadersRequestTopic()
		rt.Topic, rt.Partitions = t.Name, everyPartition(t)
		all = append(all, rt)
	}
	return all
}

// elect holds the elections and returns what became of each partition.
func (b *Broker) elect(ctx context.Context, img *cluster.Image, kind int8, wanted []kmsg.ElectLeadersRequestTopic) map[electionKey]error {
	outcomes := map[electionKey]error{}
	var due []cluster.TopicPartition
	var keys []electionKey
	for _, rt := range wanted {
		t := img.TopicsByName[rt.Topic]
		for _, number := range rt.Partitions {
			key := electionKey{rt.Topic, number}
			if _, twice := outcomes[key]; twice {
				continue
			}
			switch {
			case t == nil:
				outcomes[key] = tell(kerr.UnknownTopicOrPartition, "No such topic as %s", rt.Topic)
			case number < 0 || int(number) >= len(t.Partitions):
				outcomes[key] = tell(kerr.UnknownTopicOrPartition, "No such partition as %s-%d", rt.Topic, number)
			default:
				outcomes[key] = b.electionNeeded(t, number, kind)
			}
			if outcomes[key] == nil {
				due, keys = append(due, cluster.TopicPartition{Topic: t.ID, Partition: number}), append(keys, key)
			}
		}
	}
	if len(due) > 0 {
		for i, err := range b.Elections.ElectPreferred(ctx, due) {
			outcomes[keys[i]] = err
		}
	}
	return outcomes
}

// electionNeeded says why no election is to be held for a partition, nil if one is.
func (b *Broker) electionNeeded(t *cluster.Topic, number int32, kind int8) error {
	leader := b.Metadata.Leader(t.ID, number).Leader
	led := leader != raft.NoNode && b.Metadata.Alive(leader)
	preferred := t.Partitions[number].Replicas[0]
	switch {
	case kind == electUnclean && led, kind == electPreferred && led && leader == preferred:
		return kerr.ElectionNotNeeded
	case kind == electUnclean:
		return kerr.EligibleLeadersNotAvailable
	case !led || !b.Metadata.InService(preferred, t.ID, number):
		return kerr.PreferredLeaderNotAvailable
	}
	return nil
}

// electionResults builds the answer. Where elections were asked for everywhere, those not needed are left out, as in Kafka.
func electionResults(
	wanted []kmsg.ElectLeadersRequestTopic, outcome func(topic string, partition int32) error, everywhere bool,
) []kmsg.ElectLeadersResponseTopic {
	topics := make([]kmsg.ElectLeadersResponseTopic, 0, len(wanted))
	for _, rt := range wanted {
		topic := kmsg.NewElectLeadersResponseTopic()
		topic.Topic = rt.Topic
		topic.Partitions = []kmsg.ElectLeadersResponseTopicPartition{}
		for _, number := range rt.Partitions {
			err := outcome(rt.Topic, number)
			code := errorCode(err)
			if everywhere && code == kerr.ElectionNotNeeded.Code {
				continue
			}
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = number, code, electionMessage(err)
			topic.Partitions = append(topic.Partitions, p)
		}
		topics = append(topics, topic)
	}
	return topics
}

// told is an error of Kafka's with a text of its own for the client.
type told struct {
	code *kerr.Error
	text string
}

func tell(code *kerr.Error, format string, args ...any) error {
	return &told{code, fmt.Sprintf(format, args...)}
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.code }

// electionMessage is what the client is told about an outcome: unlike elsewhere, as in Kafka, also what the code says by itself.
func electionMessage(err error) *string {
	var known *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known) && err == error(known): //nolint:errorlint // is it the bare error?
		return kmsg.StringPtr(known.Description + ".")
	}
	return kmsg.StringPtr(err.Error())
}
