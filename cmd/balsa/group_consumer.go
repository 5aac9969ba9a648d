package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// consumerGroupLag describes a group of the consumer protocol (KIP-848), which the classic calls know nothing of, in the
// form of a classic one. found is false when there is no such group, or brokers do not speak that protocol.
func consumerGroupLag(ctx context.Context, admin *kadm.Client, name string) (lag kadm.DescribedGroupLag, found bool, err error) {
	described, err := admin.DescribeConsumerGroups(ctx, name)
	g, ok := described[name]
	if err != nil || !ok || g.Err != nil {
		return lag, false, nil //nolint:nilerr // the classic description has said what there is to say
	}
	committed, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return lag, false, fmt.Errorf("fetch the offsets of group %s: %w", name, err)
	}
	lag = kadm.DescribedGroupLag{
		Group: name, Coordinator: g.Coordinator, State: g.State, ProtocolType: "consumer", Protocol: g.AssignorName, Lag: kadm.GroupLag{},
	}
	read := committed.Partitions()
	owner := map[string]map[int32]*kadm.DescribedGroupMember{}
	for _, m := range g.Members {
		member := kadm.DescribedGroupMember{MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost}
		lag.Members = append(lag.Members, member)
		m.Assignment.Each(func(topic string, partition int32) {
			read.Add(topic, partition)
			if owner[topic] == nil {
				owner[topic] = map[int32]*kadm.DescribedGroupMember{}
			}
			owner[topic][partition] = &member
		})
	}
	if len(read) == 0 {
		return lag, true, nil
	}
	ends, err := admin.ListEndOffsets(ctx, read.Topics()...)
	if err != nil {
		return lag, false, fmt.Errorf("list the end offsets of what group %s reads: %w", name, err)
	}
	read.Each(func(topic string, partition int32) {
		if lag.Lag[topic] == nil {
			lag.Lag[topic] = map[int32]kadm.GroupMemberLag{}
		}
		lag.Lag[topic][partition] = partitionLag(topic, partition, owner[topic][partition], committed, ends)
	})
	return lag, true, nil
}

// partitionLag is how far a group is behind in one partition; without a commit, by all that there is.
func partitionLag(
	topic string, partition int32, member *kadm.DescribedGroupMember, committed kadm.OffsetResponses, ends kadm.ListedOffsets,
) kadm.GroupMemberLag {
	l := kadm.GroupMemberLag{Topic: topic, Partition: partition, Member: member, Lag: -1}
	l.Commit = kadm.Offset{Topic: topic, Partition: partition, At: -1, LeaderEpoch: -1}
	if c, ok := committed.Lookup(topic, partition); ok {
		l.Commit, l.Err = c.Offset, c.Err
	}
	end, ok := ends.Lookup(topic, partition)
	if !ok {
		end.Err = kerr.UnknownTopicOrPartition
	}
	if l.End = end; l.Err == nil {
		l.Err = end.Err
	}
	if l.Err == nil {
		l.Lag = max(0, end.Offset-max(0, l.Commit.At))
	}
	return l
}
