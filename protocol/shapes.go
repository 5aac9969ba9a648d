package protocol

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"balsa/internal/invariant"
)

// shapes is the wire layout of every request that we decode, transcribed from Kafka's message definitions. A number
// is a field of that many bytes, s a string, b bytes, [x] an array of x, {...} a record, ?{...} one that may be null, <tag: ...> the tagged fields
// that the decoder enters. @3+ means from version 3, @2-4 versions 2 to 4, @-7 up to version 7. A test encodes every
// version of every request with kmsg and checks that the walk ends at the last byte.
var shapes = compileShapes(map[kmsg.Key]string{
	kmsg.Produce: `s@3+ 2 4 [{s@-12 16@13+ [{4 b}]}]`,
	kmsg.Fetch: `4@-14 4 4 4@3+ 1@4+ 4@7+ 4@7+ [{s@-12 16@13+ [{4 4@9+ 8 4@12+ 8@5+ 4 <0: 16 1: 8>}]}]
		[{s@7-12 16@13+ [4]}]@7+ s@11+ <0: s 1: {4 8}>`,
	kmsg.ListOffsets:             `4 1@2+ [{s [{4 4@4+ 8 4@-0}]}] 4@10+`,
	kmsg.Metadata:                `[{16@10+ s}] 1@4+ 1@8-10 1@8+`,
	kmsg.OffsetCommit:            `s 4@1+ s@1+ s@7+ 8@2-4 [{s@-9 16@10+ [{4 8 8@1-1 4@6+ s}]}]`,
	kmsg.OffsetFetch:             `s@-7 [{s [4]}]@-7 [{s s@9+ 4@9+ [{s@-9 16@10+ [4]}]}]@8+ 1@7+`,
	kmsg.FindCoordinator:         `s@-3 1@1+ [s]@4+`,
	kmsg.JoinGroup:               `s 4 4@1+ s s@5+ s [{s b}] s@8+`,
	kmsg.Heartbeat:               `s 4 s s@3+`,
	kmsg.LeaveGroup:              `s s@-2 [{s s s@5+}]@3+`,
	kmsg.SyncGroup:               `s 4 s s@3+ s@5+ s@5+ [{s b}]`,
	kmsg.DescribeGroups:          `[s] 1@3+`,
	kmsg.ListGroups:              `[s]@4+ [s]@5+`,
	kmsg.ApiVersions:             `s@3+ s@3+ s@5+ 4@5+`,
	kmsg.CreateTopics:            `[{s 4 2 [{4 [4]}] [{s s}]}] 4 1@1+`,
	kmsg.DeleteTopics:            `[s]@-5 [{s 16}]@6+ 4`,
	kmsg.DeleteRecords:           `[{s [{4 8}]}] 4`,
	kmsg.InitProducerID:          `s 4 8@3+ 2@3+`,
	kmsg.AddPartitionsToTxn:      `[{s 8 2 1 [{s [4]}]}]@4+ s@-3 8@-3 2@-3 [{s [4]}]@-3`,
	kmsg.AddOffsetsToTxn:         `s 8 2 s`,
	kmsg.EndTxn:                  `s 8 2 1`,
	kmsg.WriteTxnMarkers:         `[{8 2 1 [{s [4]}] 4 1@2+}]`,
	kmsg.DescribeTransactions:    `[s]`,
	kmsg.ListTransactions:        `[s] [8] 8@1+ s@2+`,
	kmsg.TxnOffsetCommit:         `s s 8 2 4@3+ s@3+ s@3+ [{s@-5 16@6+ [{4 8 4@2+ s}]}]`,
	kmsg.OffsetForLeaderEpoch:    `4@3+ [{s [{4 4@2+ 4}]}]`,
	kmsg.DescribeConfigs:         `[{1 s [s]}] 1@1+ 1@3+`,
	kmsg.AlterConfigs:            `[{1 s [{s s}]}] 1`,
	kmsg.DescribeLogDirs:         `[{s [4]}]`,
	kmsg.CreatePartitions:        `[{s 4 [{[4]}]}] 4 1`,
	kmsg.DeleteGroups:            `[s]`,
	kmsg.IncrementalAlterConfigs: `[{1 s [{s 1 s}]}] 1`,
	kmsg.OffsetDelete:            `s [{s [{4}]}]`,
	kmsg.ConsumerGroupHeartbeat:  `s s 4 s s 4 [s] s@1+ s [{16 [4]}]`,
	kmsg.ConsumerGroupDescribe:   `[s] 1`,
	kmsg.ShareGroupHeartbeat:     `s s 4 s [s]`,
	kmsg.ShareGroupDescribe:      `[s] 1`,
	kmsg.ShareFetch:              `s s 4 4 4 4 4@1+ 4@1+ 1@2+ 1@2+ [{16 [{4 4@-0 [{8 8 [1]}]}]}] [{16 [4]}]`,
	kmsg.ShareAcknowledge:        `s s 4 1@2+ [{16 [{4 [{8 8 [1]}]}]}]`,
	kmsg.DescribeCluster:         `1 1@1+ 1@2+`,
	kmsg.DescribeProducers:       `[{s [4]}]`,

	// Administration.
	kmsg.DescribeClientQuotas:      `[{s 1 s}] 1`,
	kmsg.AlterClientQuotas:         `[{[{s s}] [{s 8 1}]}] 1`,
	kmsg.UpdateFeatures:            `4 [{s 2 1@-0 1@1+}] 1@1+`,
	kmsg.ListConfigResources:       `[1]@1+`,
	kmsg.AlterReplicaLogDirs:       `[{s [{s [4]}]}]`,
	kmsg.GetTelemetrySubscriptions: `16`,
	kmsg.PushTelemetry:             `16 4 1 1 b`,
	// Security.
	kmsg.SASLHandshake:                `s`,
	kmsg.SASLAuthenticate:             `b`,
	kmsg.DescribeACLs:                 `1 s 1@1+ s s 1 1`,
	kmsg.CreateACLs:                   `[{1 s 1@1+ s s 1 1}]`,
	kmsg.DeleteACLs:                   `[{1 s 1@1+ s s 1 1}]`,
	kmsg.CreateDelegationToken:        `s@3+ s@3+ [{s s}] 8`,
	kmsg.RenewDelegationToken:         `b 8`,
	kmsg.ExpireDelegationToken:        `b 8`,
	kmsg.DescribeDelegationToken:      `[{s s}]`,
	kmsg.DescribeUserSCRAMCredentials: `[{s}]`,
	kmsg.AlterUserSCRAMCredentials:    `[{s 1}] [{s 1 4 b b}]`,
	// Streams groups.
	kmsg.StreamsGroupHeartbeat: `s s 4 4 s s 4 ?{4 [{s [s] [s] [{s 4 2 [{s s}]}] [s] [{s 4 2 [{s s}]}] [{[2] [2] [2]}]}]}
		[{s [4]}] [{s [4]}] [{s [4]}] s ?{s 2} [{s s}] [{s 4 8}] [{s 4 8}] 1`,
	kmsg.StreamsGroupDescribe: `[s] 1 1@1+`,
	// Offsets of share groups.
	kmsg.DescribeShareGroupOffsets: `[{s [{s [4]}]}]`,
	kmsg.AlterShareGroupOffsets:    `s [{s [{4 8}]}]`,
	kmsg.DeleteShareGroupOffsets:   `s [{s}]`,
	// Cluster operations.
	kmsg.ElectLeaders:               `1@1+ [{s [4]}] 4`,
	kmsg.AlterPartitionAssignments:  `4 1@1+ [{s [{4 [4]}]}]`,
	kmsg.ListPartitionReassignments: `4 [{s [4]}]`,
	kmsg.DescribeQuorum:             `[{s [{4}]}]`,
	kmsg.UnregisterBroker:           `4`,
	kmsg.DescribeTopicPartitions:    `[{s}] 4 ?{s 4}`,

	// Not for clients: brokers forward these to the controller, beside the ones above.
	kmsg.BrokerRegistration:  `4 s 16 [{s s 2 2}] [{s 2 2}] s 1@1+ [16]@2+ 8@3+`,
	kmsg.AllocateProducerIDs: `4 8`,
	kmsg.AlterPartition:      `4 8 [{s@-1 16@2+ [{4 4 [4]@-2 [{4 8}]@3+ 1@1+ 4}]}]`,
})

func compileShapes(notations map[kmsg.Key]string) map[int16]shape {
	m := make(map[int16]shape, len(notations))
	for key, notation := range notations {
		s, err := parseShape(notation)
		invariant.Check(err == nil, "%s: %v", key.Name(), err)
		m[int16(key)] = s
	}
	return m
}
