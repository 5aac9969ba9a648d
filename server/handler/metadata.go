package handler

import (
	"context"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/raft"
	"balsa/server/cluster"
)

// operationsOmitted is what Kafka answers for authorized operations that were not asked for.
const operationsOmitted = math.MinInt32

// metadata answers Metadata: who the brokers are, and who leads what. Versions below 4 cannot say whether topics may
// be created; they always could.
func (b *Broker) metadata(ctx context.Context, _ Client, req *kmsg.MetadataRequest) kmsg.Response {
	resp := newResponse[*kmsg.MetadataResponse](req)
	create := b.AutoCreate && (req.Version < 4 || req.AllowAutoTopicCreation)
	var failed map[string]error
	if create {
		failed = b.createMissing(ctx, req.Topics)
	}
	img := b.Metadata.Image() // after creation, so that it holds what was created
	resp.Brokers = make([]kmsg.MetadataResponseBroker, 0, len(img.Brokers))
	for _, broker := range img.SortedBrokers() {
		if !b.Metadata.Alive(broker.ID) {
			continue
		}
		mb := kmsg.NewMetadataResponseBroker()
		mb.NodeID, mb.Host, mb.Port, mb.Rack = int32(broker.ID), broker.Host, broker.Port, rack(broker)
		resp.Brokers = append(resp.Brokers, mb)
	}
	resp.ClusterID = &img.ClusterID
	resp.ControllerID = int32(b.Metadata.Controller())
	resp.AuthorizedOperations = operationsOmitted
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	// Version 0 says "all topics" with an empty list, later ones with null.
	if req.Topics == nil || (req.Version == 0 && len(req.Topics) == 0) {
		resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(img.TopicsByName))
		for _, t := range img.SortedTopics() {
			resp.Topics = append(resp.Topics, b.metadataTopic(img, t, req))
		}
		return resp
	}
	asked := distinctTopics(req.Topics)
	resp.Topics = make([]kmsg.MetadataResponseTopic, 0, len(asked))
	for i := range asked {
		resp.Topics = append(resp.Topics, b.requestedTopic(img, &asked[i], req, failed))
	}
	return resp
}

// distinctTopics drops repetitions: a name is a few bytes, and its answer a large topic's partitions.
func distinctTopics(topics []kmsg.MetadataRequestTopic) []kmsg.MetadataRequestTopic {
	type key struct {
		name string
		id   cluster.TopicID
	}
	seen := make(map[key]bool, len(topics))
	distinct := make([]kmsg.MetadataRequestTopic, 0, len(topics))
	for _, t := range topics {
		k := key{id: t.TopicID}
		if t.Topic != nil {
			k.name = *t.Topic
		}
		if !seen[k] {
			seen[k] = true
			distinct = append(distinct, t)
		}
	}
	return distinct
}

// requestedTopic answers for one topic of the request. failed has the topics that could not be created.
func (b *Broker) requestedTopic(
	img *cluster.Image, asked *kmsg.MetadataRequestTopic, req *kmsg.MetadataRequest, failed map[string]error,
) kmsg.MetadataResponseTopic {
	var t *cluster.Topic
	var err error
	switch {
	case asked.TopicID != [16]byte{} && asked.Topic != nil && req.Version < 12:
		err = kerr.InvalidRequest // one or the other
	case asked.TopicID != [16]byte{}:
		t, err = topicWithID(img, asked.TopicID)
	case asked.Topic == nil:
		err = kerr.InvalidRequest
	default:
		if t, err = topicNamed(img, *asked.Topic); err != nil {
			if bad := cluster.ValidateTopicName(*asked.Topic); bad != nil {
				err = bad
			} else if why := failed[*asked.Topic]; why != nil {
				err = why
			}
		}
	}
	if err == nil {
		return b.metadataTopic(img, t, req)
	}
	mt := kmsg.NewMetadataResponseTopic()
	mt.Topic, mt.TopicID, mt.ErrorCode = asked.Topic, asked.TopicID, errorCode(err)
	if mt.Topic == nil && req.Version < 12 {
		mt.Topic = kmsg.StringPtr("") // not nullable before version 12
	}
	mt.Partitions = []kmsg.MetadataResponseTopicPartition{}
	mt.AuthorizedOperations = operationsOmitted
	return mt
}

func (b *Broker) metadataTopic(img *cluster.Image, t *cluster.Topic, req *kmsg.MetadataRequest) kmsg.MetadataResponseTopic {
	mt := kmsg.NewMetadataResponseTopic()
	mt.Topic, mt.TopicID, mt.IsInternal = &t.Name, t.ClientID(), t.Internal()
	mt.AuthorizedOperations = operationsOmitted
	if req.IncludeTopicAuthorizedOperations {
		mt.AuthorizedOperations = topicOperations
	}
	mt.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, len(t.Partitions))
	for i := range t.Partitions {
		mt.Partitions = append(mt.Partitions, b.metadataPartition(img, t, int32(i)))
	}
	return mt
}

// replicaStates says which replicas a partition has, which are in sync and which are out of service. Raft has no in-sync set; the
// replicas that are in service stand for it, which is what tools want to know, except those that a reassignment brings in: they may
// have no more than a part of the data until it is done.
func (b *Broker) replicaStates(t *cluster.Topic, partition int32, leader raft.NodeID) (replicas, inSync, offline []int32) {
	p := t.Partitions[partition]
	inSync, offline = make([]int32, 0, len(p.Replicas)), []int32{}
	for _, node := range p.Replicas {
		switch {
		case node == leader && b.Metadata.Alive(node):
			inSync = append(inSync, int32(node)) // whatever was heard of its replica before
		case !b.Metadata.InService(node, t.ID, partition):
			offline = append(offline, int32(node))
		case !slices.Contains(p.Adding, node):
			inSync = append(inSync, int32(node))
		}
	}
	return brokerIDs(p.Replicas), inSync, offline
}

// metadataPartition answers for one partition. A partition whose leader is not known, or not registered, is LEADER_NOT_AVAILABLE: the
// client asks again.
func (b *Broker) metadataPartition(img *cluster.Image, t *cluster.Topic, partition int32) kmsg.MetadataResponseTopicPartition {
	mp := kmsg.NewMetadataResponseTopicPartition()
	mp.Partition = partition
	current := b.Metadata.Leader(t.ID, partition)
	mp.Replicas, mp.ISR, mp.OfflineReplicas = b.replicaStates(t, partition, current.Leader)
	mp.Leader, mp.LeaderEpoch = int32(current.Leader), int32(current.Epoch)
	if _, registered := img.Brokers[current.Leader]; !registered || !b.Metadata.Alive(current.Leader) {
		mp.ErrorCode = kerr.LeaderNotAvailable.Code
		mp.Leader = int32(raft.NoNode)
	}
	return mp
}

// createMissing creates the named topics that do not exist, with the broker's defaults, and says which it could not.
// It returns when this node's image has them, so the answer that asked for a topic already describes it; its partitions
// have no leader until their first election.
func (b *Broker) createMissing(ctx context.Context, topics []kmsg.MetadataRequestTopic) map[string]error {
	img := b.Metadata.Image()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	req.TimeoutMillis = autoCreateTimeoutMillis
	asked := make(map[string]bool)
	for _, t := range topics {
		if t.Topic == nil || asked[*t.Topic] || img.TopicsByName[*t.Topic] != nil || cluster.ValidateTopicName(*t.Topic) != nil ||
			isKafkaInternal(*t.Topic) {
			continue
		}
		asked[*t.Topic] = true
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = *t.Topic, -1, -1
		req.Topics = append(req.Topics, rt)
	}
	if len(req.Topics) == 0 {
		return nil
	}
	failed := make(map[string]error)
	resp, err := b.Controller.Do(ctx, req)
	created, ok := resp.(*kmsg.CreateTopicsResponse)
	if err != nil || !ok {
		// The controller is not to be reached now, or the outcome is not known: to the client, a leader is missing.
		for name := range asked {
			failed[name] = kerr.LeaderNotAvailable
		}
		return failed
	}
	for _, t := range created.Topics {
		// Somebody else may have been faster, which is as good.
		if t.ErrorCode != 0 && t.ErrorCode != kerr.TopicAlreadyExists.Code {
			failed[t.Topic] = autoCreateError(t.ErrorCode)
		} else {
			failed[t.Topic] = kerr.LeaderNotAvailable // unless the image has it
		}
	}
	return failed
}

// isKafkaInternal says whether Kafka keeps its own state in a topic of this name. Tools look for them; they are not
// created by a look: that would only pretend that there is something to read.
func isKafkaInternal(name string) bool {
	switch name {
	case "__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata":
		return true
	default:
		return false
	}
}

// autoCreateTimeoutMillis bounds the creation that a Metadata request waits for.
const autoCreateTimeoutMillis = 10_000

// autoCreateError turns a code of CreateTopics into one that clients expect from Metadata: what a retry cures is a
// missing leader.
func autoCreateError(code int16) error {
	err := kerr.TypedErrorForCode(code)
	if err == nil || err.Retriable {
		return kerr.LeaderNotAvailable
	}
	return err
}
