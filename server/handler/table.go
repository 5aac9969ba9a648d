package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
)

// api is one row of the table of what is served.
type api struct {
	key      kmsg.Key
	min, max int16 // the versions that ApiVersions announces
	// Exactly one of these is set. start begins a request on the connection's reading side, in the order of arrival, and
	// returns what finishes it, and what tells whether the request's bytes are no longer in use. answer does all the work
	// on the answering side.
	start  func(b *Broker, r *Request) (finish finisher, settled func() bool)
	answer func(b *Broker, ctx context.Context, r *Request) Reply
}

// finisher finishes a request on the answering side of a connection, in the order of arrival. It may block: it is
// given up when ctx ends, and answers early, with what there is, when r.Waiting does.
type finisher func(ctx context.Context) Reply

// apis is everything that is served, and announced: key, versions, handler. Versions are those of Kafka 4.3; ranges
// have no holes, because some clients look at the maximum only.
//
// Produce is announced from version 0, although versions 0 to 2 are refused: librdkafka before 2.8 takes a missing
// version 0 as a sign not to compress (KAFKA-18659).
func apis() []api { //nolint:funlen // a table: a row for each API
	return []api{
		{key: kmsg.Produce, min: 0, max: 13, start: (*Broker).startProduce},
		{key: kmsg.Fetch, min: 4, max: 18, answer: (*Broker).fetch},
		{key: kmsg.ListOffsets, min: 1, max: 11, answer: message((*Broker).listOffsets)},
		{key: kmsg.Metadata, min: 0, max: 13, answer: message((*Broker).metadata)},
		{key: kmsg.OffsetCommit, min: 2, max: 10, answer: (*Broker).coordinate},
		{key: kmsg.OffsetFetch, min: 1, max: 10, answer: (*Broker).coordinate},
		{key: kmsg.FindCoordinator, min: 0, max: 6, answer: message((*Broker).findCoordinator)},
		{key: kmsg.JoinGroup, min: 0, max: 9, answer: (*Broker).coordinateWaiting},
		{key: kmsg.Heartbeat, min: 0, max: 4, answer: (*Broker).coordinate},
		{key: kmsg.LeaveGroup, min: 0, max: 5, answer: (*Broker).coordinate},
		{key: kmsg.SyncGroup, min: 0, max: 5, answer: (*Broker).coordinateWaiting},
		{key: kmsg.DescribeGroups, min: 0, max: 6, answer: (*Broker).coordinate},
		{key: kmsg.ListGroups, min: 0, max: 5, answer: (*Broker).coordinate},
		{key: kmsg.SASLHandshake, min: 0, max: 1, answer: message((*Broker).saslHandshake)},
		{key: kmsg.ApiVersions, min: 0, max: 4, answer: message((*Broker).apiVersions)},
		{key: kmsg.CreateTopics, min: 2, max: 7, answer: message((*Broker).createTopics)},
		{key: kmsg.DeleteTopics, min: 1, max: 6, answer: message((*Broker).deleteTopics)},
		{key: kmsg.DeleteRecords, min: 0, max: 2, answer: elsewhere(message((*Broker).deleteRecords))},
		{key: kmsg.InitProducerID, min: 0, max: 5, answer: elsewhere(message((*Broker).initProducerID))},
		{key: kmsg.OffsetForLeaderEpoch, min: 2, max: 4, answer: message((*Broker).offsetForLeaderEpoch)},
		{key: kmsg.AddPartitionsToTxn, min: 0, max: 5, answer: (*Broker).coordinate},
		{key: kmsg.AddOffsetsToTxn, min: 0, max: 4, answer: (*Broker).coordinate},
		{key: kmsg.EndTxn, min: 0, max: 5, answer: (*Broker).coordinate},
		{key: kmsg.WriteTxnMarkers, min: 1, max: 2, answer: elsewhere(message((*Broker).writeTxnMarkers))},
		{key: kmsg.TxnOffsetCommit, min: 0, max: 5, answer: elsewhere(message((*Broker).txnOffsetCommit))},
		{key: kmsg.DescribeACLs, min: 1, max: 3, answer: message((*Broker).describeACLs)},
		{key: kmsg.CreateACLs, min: 1, max: 3, answer: message((*Broker).createACLs)},
		{key: kmsg.DeleteACLs, min: 1, max: 3, answer: message((*Broker).deleteACLs)},
		{key: kmsg.DescribeConfigs, min: 1, max: 4, answer: message((*Broker).describeConfigs)},
		{key: kmsg.AlterConfigs, min: 0, max: 2, answer: message((*Broker).alterConfigs)},
		{key: kmsg.AlterReplicaLogDirs, min: 1, max: 2, answer: message((*Broker).alterReplicaLogDirs)},
		{key: kmsg.DescribeLogDirs, min: 1, max: 5, answer: message((*Broker).describeLogDirs)},
		{key: kmsg.SASLAuthenticate, min: 0, max: 2, answer: message((*Broker).saslAuthenticate)},
		{key: kmsg.CreatePartitions, min: 0, max: 3, answer: message((*Broker).createPartitions)},
		{key: kmsg.CreateDelegationToken, min: 1, max: 3, answer: message((*Broker).createDelegationToken)},
		{key: kmsg.RenewDelegationToken, min: 1, max: 2, answer: message((*Broker).renewDelegationToken)},
		{key: kmsg.ExpireDelegationToken, min: 1, max: 2, answer: message((*Broker).expireDelegationToken)},
		{key: kmsg.DescribeDelegationToken, min: 1, max: 3, answer: message((*Broker).describeDelegationToken)},
		{key: kmsg.DeleteGroups, min: 0, max: 2, answer: (*Broker).coordinate},
		{key: kmsg.ElectLeaders, min: 0, max: 2, answer: elsewhere(message((*Broker).electLeaders))},
		{key: kmsg.IncrementalAlterConfigs, min: 0, max: 1, answer: message((*Broker).incrementalAlterConfigs)},
		{key: kmsg.AlterPartitionAssignments, min: 0, max: 1, answer: message((*Broker).alterPartitionReassignments)},
		{key: kmsg.ListPartitionReassignments, min: 0, max: 0, answer: message((*Broker).listPartitionReassignments)},
		{key: kmsg.OffsetDelete, min: 0, max: 0, answer: (*Broker).coordinate},
		{key: kmsg.DescribeClientQuotas, min: 0, max: 1, answer: message((*Broker).describeClientQuotas)},
		{key: kmsg.AlterClientQuotas, min: 0, max: 1, answer: message((*Broker).alterClientQuotas)},
		{key: kmsg.DescribeUserSCRAMCredentials, min: 0, max: 0, answer: message((*Broker).describeUserSCRAMCredentials)},
		{key: kmsg.AlterUserSCRAMCredentials, min: 0, max: 0, answer: message((*Broker).alterUserSCRAMCredentials)},
		{key: kmsg.DescribeQuorum, min: 0, max: 2, answer: message((*Broker).describeQuorum)},
		{key: kmsg.UpdateFeatures, min: 0, max: 2, answer: message((*Broker).updateFeatures)},
		{key: kmsg.DescribeCluster, min: 0, max: 2, answer: message((*Broker).describeCluster)},
		{key: kmsg.DescribeProducers, min: 0, max: 0, answer: message((*Broker).describeProducers)},
		{key: kmsg.UnregisterBroker, min: 0, max: 0, answer: message((*Broker).unregisterBroker)},
		{key: kmsg.DescribeTransactions, min: 0, max: 0, answer: (*Broker).coordinate},
		{key: kmsg.ListTransactions, min: 0, max: 2, answer: (*Broker).coordinate},
		{key: kmsg.ConsumerGroupHeartbeat, min: 0, max: 1, answer: (*Broker).consumerGroup},
		{key: kmsg.ConsumerGroupDescribe, min: 0, max: 1, answer: (*Broker).consumerGroup},
		{key: kmsg.GetTelemetrySubscriptions, min: 0, max: 0, answer: message((*Broker).getTelemetrySubscriptions)},
		{key: kmsg.PushTelemetry, min: 0, max: 0, answer: message((*Broker).pushTelemetry)},
		{key: kmsg.ListConfigResources, min: 0, max: 1, answer: message((*Broker).listConfigResources)},
		{key: kmsg.DescribeTopicPartitions, min: 0, max: 0, answer: message((*Broker).describeTopicPartitions)},
		{key: kmsg.ShareGroupHeartbeat, min: 1, max: 1, answer: (*Broker).shareGroup},
		{key: kmsg.ShareGroupDescribe, min: 1, max: 1, answer: (*Broker).shareGroup},
		{key: kmsg.ShareFetch, min: 1, max: 2, answer: (*Broker).shareFetch},
		{key: kmsg.ShareAcknowledge, min: 1, max: 2, answer: (*Broker).shareAcknowledge},
		{key: kmsg.StreamsGroupHeartbeat, min: 0, max: 0, answer: message((*Broker).streamsGroupHeartbeat)},
		{key: kmsg.StreamsGroupDescribe, min: 0, max: 0, answer: message((*Broker).streamsGroupDescribe)},
		{key: kmsg.DescribeShareGroupOffsets, min: 0, max: 1, answer: (*Broker).shareGroup},
		{key: kmsg.AlterShareGroupOffsets, min: 0, max: 0, answer: (*Broker).shareGroup},
		{key: kmsg.DeleteShareGroupOffsets, min: 0, max: 0, answer: (*Broker).shareGroup},
	}
}

// elsewhere adapts a handler that mostly waits for work that others do: its time is not what a client pays for (KIP-124).
func elsewhere(answer func(*Broker, context.Context, *Request) Reply) func(*Broker, context.Context, *Request) Reply {
	return func(b *Broker, ctx context.Context, r *Request) Reply {
		r.work.pause()
		return answer(b, ctx, r)
	}
}

// message adapts a handler that turns one kmsg request into its response.
func message[R kmsg.Request](h func(*Broker, context.Context, Client, R) kmsg.Response) func(*Broker, context.Context, *Request) Reply {
	return func(b *Broker, ctx context.Context, r *Request) Reply {
		req, ok := r.Body.(R)
		invariant.Check(ok, "table gives a %T to another API's handler", r.Body)
		return Reply{Message: h(b, ctx, r.Client, req)}
	}
}

// coordinate hands a request to the coordinator of its group or transactional id.
func (b *Broker) coordinate(ctx context.Context, r *Request) Reply {
	r.work.pause() // mostly it waits
	return Reply{Message: b.Coordinator.Handle(ctx, r.Client, r.Body)}
}

// coordinateWaiting does so for requests that wait for other members: those are not waited for once the client has gone.
func (b *Broker) coordinateWaiting(_ context.Context, r *Request) Reply {
	return b.coordinate(r.Waiting, r)
}
